//! Files that are not as they were left, or not ours.

use std::fs;
use std::path::PathBuf;

use super::super::tables;
use super::*;

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("turnpike-cluster-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn config(&self) -> Config {
        Config { disk: Some(self.0.clone()), ..config() }
    }

    fn file(&self) -> PathBuf {
        self.0.join("turnpike.redb")
    }

    fn refusal(&self) -> OpenError {
        Embedded::start(&self.config()).err().expect("it is refused")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn filled() -> Vec<u8> {
    let shaky = Arc::new(Shaky::default());
    {
        let embedded = start(&shaky);
        let broker = embedded.cluster().broker;
        let answers: Vec<_> = (0..300)
            .map(|number| {
                let room = room(&format!("chat:{}", number % 7));
                broker.publish(publication(&room, Some(&format!("m{number}")), "\"text\""))
            })
            .collect();
        for answer in answers {
            drop(wait(answer).unwrap());
        }
    }
    shaky.bytes()
}

/// What can be read of it, without the lane's own position.
fn contents(embedded: &Embedded) -> Vec<Vec<Arc<Message>>> {
    (0..7).map(|number| read(embedded, &room(&format!("chat:{number}")), Range::Latest).messages).collect()
}

/// Whatever byte is not what it was: it is said, or it makes no difference. Never a panic, never another content.
#[test]
fn a_damaged_file_is_refused_or_whole() {
    let bytes = filled();
    let whole = contents(&start(&Shaky::with_bytes(bytes.clone())));
    let mut random = Random(0x5eed);
    let mut refused = 0;
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    for turn in 0..150 {
        let mut bytes = bytes.clone();
        match turn % 3 {
            // Where something stands.
            0 => bytes[used[random.below(used.len() as u64) as usize]] ^= 1 << random.below(8),
            // A page that was never written, or was written elsewhere.
            1 => {
                let page = used[random.below(used.len() as u64) as usize] / 4096 * 4096;
                bytes[page..page + 4096].fill(if turn % 2 == 0 { 0 } else { 0xa5 });
            }
            _ => bytes.truncate(random.below(bytes.len() as u64) as usize),
        }
        if bytes.is_empty() {
            continue;
        }
        match Embedded::start_on(&config(), Some(Medium::Shaky(Shaky::with_bytes(bytes)))) {
            Ok(embedded) => assert!(contents(&embedded) == whole, "turn {turn}: something else is read"),
            Err(
                error @ (OpenError::Damaged { .. } | OpenError::Foreign { .. } | OpenError::Newer { .. }),
            ) => {
                assert!(error.to_string().starts_with("turnpike.redb "), "{error}");
                refused += 1;
            }
            Err(OpenError::Io { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused > 50, "only {refused} of 150 were noticed");
}

#[test]
fn two_processes_cannot_share_a_file() {
    let directory = Directory::new("shared");
    let first = Embedded::start(&directory.config()).unwrap();
    let refusal = directory.refusal();
    assert!(matches!(&refusal, OpenError::InUse { path } if *path == directory.file()), "{refusal:?}");
    assert!(refusal.to_string().ends_with("each process needs a directory of its own"), "{refusal}");
    publish(&first, &room("chat:a"), None, "1").unwrap();
    drop(first);
    let second = Embedded::start(&directory.config()).unwrap();
    assert_eq!(
        seqs(&read(&second, &room("chat:a"), Range::Latest)),
        [1],
        "and it is free when the first has ended"
    );
}

#[test]
fn what_is_not_ours_is_left_alone() {
    const THEIRS: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("theirs");
    let directory = Directory::new("foreign");
    fs::write(directory.file(), "somebody's notes\n".repeat(1_000)).unwrap();
    let refusal = directory.refusal();
    assert!(matches!(refusal, OpenError::Damaged { .. } | OpenError::Foreign { .. }), "{refusal:?}");
    assert!(fs::read(directory.file()).unwrap().starts_with(b"somebody's"));
    fs::remove_file(directory.file()).unwrap();

    let database = redb::Database::create(directory.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(THEIRS).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refusal = directory.refusal();
    assert!(matches!(&refusal, OpenError::Foreign { path } if *path == directory.file()), "{refusal:?}");
}

#[test]
fn a_later_format_is_refused() {
    let directory = Directory::new("later");
    drop(Embedded::start(&directory.config()).unwrap());
    let database = redb::Database::open(directory.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    tables::set_format(&transaction, tables::FORMAT + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refusal = directory.refusal().to_string();
    assert!(refusal.contains("was written by a later version (format 2, this one knows 1)"), "{refusal}");
}

#[test]
fn a_file_that_was_only_begun_is_begun_anew() {
    let directory = Directory::new("begun");
    fs::write(directory.0.join("turnpike.redb.new"), "half of it").unwrap();
    let embedded = Embedded::start(&directory.config()).unwrap();
    publish(&embedded, &room("chat:a"), None, "1").unwrap();
    assert!(!directory.0.join("turnpike.redb.new").exists());
}

#[test]
fn a_directory_that_cannot_be_made() {
    let directory = Directory::new("blocked");
    fs::write(directory.0.join("file"), "").unwrap();
    let config = Config { disk: Some(directory.0.join("file").join("below")), ..config() };
    let refusal = Embedded::start(&config).err().expect("it is refused");
    assert!(matches!(refusal, OpenError::Io { .. }), "{refusal:?}");
}
