//! The plane on a real disk: a process that is killed while it writes, and how fast it writes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use turnpike_cluster::embedded::{Config, Embedded};
use turnpike_cluster::{Cluster, Continuity, HistoryLimits, Publication, PublishError, Range, Read};
use turnpike_lab::Directory;
use turnpike_wire::{MessageId, RoomId, UserId};

/// Names the directory to the child.
const DIRECTORY: &str = "TURNPIKE_TEST_DIRECTORY";
/// Tells it to publish one after the other, and to try again.
const STUBBORN: &str = "TURNPIKE_TEST_STUBBORN";
const PUBLISHERS: usize = 16;
const ROOMS: u64 = 8;

fn config(directory: &Path) -> Config {
    let history = HistoryLimits {
        room_messages_max: 10_000_000,
        room_bytes_max: 1 << 40,
        bytes_max: 1 << 40,
        ..HistoryLimits::default()
    };
    Config { history, disk: Some(directory.to_owned()), ..Config::new("n1") }
}

fn room(number: u64) -> RoomId {
    RoomId::parse(&format!("chat:{}", number % ROOMS)).unwrap()
}

fn publication(room: RoomId, id: &str) -> Publication {
    Publication {
        room,
        from: UserId::parse("alice").unwrap(),
        id: Some(MessageId::parse(id).unwrap()),
        age_ms: 0,
        body: format!(r#"{{"text":"{id} {}"}}"#, "x".repeat(150)).into(),
        attachments: Vec::new(),
    }
}

/// Publishes from so many tasks until `on` says that it is enough.
async fn publish(
    cluster: &Cluster,
    publishers: usize,
    run: &str,
    on: impl Fn(&str) -> bool + Send + Sync + 'static,
) {
    let on = Arc::new(on);
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..publishers)
        .map(|_| {
            let (broker, next, on, run) =
                (Arc::clone(&cluster.broker), Arc::clone(&next), Arc::clone(&on), run.to_owned());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let id = format!("{run}-{number}");
                    let receipt = broker.publish(publication(room(number), &id)).wait().await.unwrap();
                    if !on(&format!("ack {id} {} {} {}\n", number % ROOMS, receipt.epoch, receipt.seq)) {
                        return;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Publishes one after the other; what is refused is said and tried again.
async fn publish_stubbornly(cluster: &Cluster, say: impl Fn(&str)) {
    for number in 0.. {
        let id = format!("large-{number}");
        loop {
            let mut publication = publication(room(number), &id);
            publication.attachments = vec![vec![7; 20_000].into()];
            match cluster.broker.publish(publication).wait().await {
                Ok(receipt) => {
                    say(&format!("ack {id} {} {} {}\n", number % ROOMS, receipt.epoch, receipt.seq));
                    break;
                }
                Err(PublishError::Unavailable(_)) => say("refused\n"),
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What the child does, until it is killed. Nothing when it is run as a test.
#[test]
fn child_that_publishes() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let embedded = Embedded::start(&config(Path::new(&directory))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let run = std::process::id().to_string();
    let say = |line: &str| -> bool {
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_ok()
    };
    runtime.block_on(async {
        if std::env::var_os(STUBBORN).is_some() {
            publish_stubbornly(&embedded.cluster(), |line| {
                say(line);
            })
            .await;
        } else {
            publish(&embedded.cluster(), PUBLISHERS, &run, say).await;
        }
    });
}

fn spawn(directory: &Path) -> (Child, BufReader<ChildStdout>) {
    begin(Command::new(std::env::current_exe().unwrap()), directory)
}

fn begin(mut command: Command, directory: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = command
        .args(["embedded_disk::child_that_publishes", "--exact", "--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

type Acknowledged = HashMap<String, (u64, u64, u64)>;

fn note(line: &str, acknowledged: &mut Acknowledged) -> bool {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("ack") {
        return false;
    }
    let id = words.next().unwrap().to_owned();
    let numbers: Vec<u64> = words.map(|number| number.parse().unwrap()).collect();
    acknowledged.insert(id, (numbers[0], numbers[1], numbers[2]));
    true
}

/// Everything that was acknowledged is where it was said to be, once, and no room has a hole.
fn check(directory: &Path, acknowledged: &Acknowledged) {
    let embedded = Embedded::start(&config(directory)).unwrap();
    let mut there: HashMap<String, (u64, u64, u64)> = HashMap::new();
    for number in 0..ROOMS {
        let read = Read {
            room: room(number),
            range: Range::AfterSeq(0),
            messages_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        let page = embedded.cluster().broker.read(&read).now().unwrap().unwrap();
        assert_eq!((page.continuity, page.more), (Continuity::Whole, false));
        assert_eq!(page.messages.len() as u64, page.standing.seq);
        for (index, message) in page.messages.iter().enumerate() {
            assert_eq!(message.seq, index as u64 + 1);
            let event: serde_json::Value = serde_json::from_str(&message.data).unwrap();
            let id = event["id"].as_str().unwrap().to_owned();
            assert!(event["body"]["text"].as_str().unwrap().starts_with(&id), "{event}");
            let before = there.insert(id, (number, message.at.epoch, message.seq));
            assert_eq!(before, None, "an id stands there twice: {event}");
        }
    }
    for (id, position) in acknowledged {
        assert_eq!(there.get(id), Some(position), "{id}");
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let directory = Directory::new("kill").unwrap();
    let mut acknowledged = Acknowledged::new();
    for round in 0..20u32 {
        let (mut child, mut out) = spawn(directory.path());
        let mut line = String::new();
        let mut left = 20 + round * 13 % 97;
        while left > 0 {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the child ends only when it is killed");
            left -= u32::from(note(&line, &mut acknowledged));
        }
        // SIGKILL: in the middle of whatever it does.
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        loop {
            rest.clear();
            if out.read_line(&mut rest).unwrap() == 0 {
                break;
            }
            // The last line may have been cut.
            if rest.ends_with('\n') {
                note(&rest, &mut acknowledged);
            }
        }
        check(directory.path(), &acknowledged);
    }
    assert!(acknowledged.len() >= 20 * 20, "{}", acknowledged.len());
}

/// A limit on the size of files is to a process what a full disk is: the file cannot grow, and then it can.
#[test]
fn a_file_that_cannot_grow_and_then_can() {
    let directory = Directory::new("full").unwrap();
    let mut shell = Command::new("sh");
    // The signal is ignored, so that the write fails instead; 8,000 blocks of 512 or 1,024 bytes.
    shell
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f 8000; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap());
    shell.env(STUBBORN, "1");
    let (mut child, mut out) = begin(shell, directory.path());
    let mut acknowledged = Acknowledged::new();
    let mut line = String::new();
    let mut read_until = |what: &str, done: &mut dyn FnMut(&str, usize) -> bool| loop {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the child has ended before {what}");
        note(&line, &mut acknowledged);
        if done(&line, acknowledged.len()) {
            break acknowledged.len();
        }
    };
    let before = read_until("the file was full", &mut |line, _| line == "refused\n");
    assert!(before > 20, "{before} fit");
    let lifted =
        Command::new("prlimit").args(["--pid", &child.id().to_string(), "--fsize=unlimited:"]).status();
    assert!(lifted.expect("prlimit is there, as on every Linux").success());
    read_until("there was room again", &mut |_, acks| acks > before + 50);
    child.kill().unwrap();
    child.wait().unwrap();
    check(directory.path(), &acknowledged);
}

/// Figures, not a test: acknowledgements a second, each on the disk.
#[test]
#[ignore = "takes twelve seconds and says nothing about what is right"]
fn acknowledgements_a_second() {
    let mut report = String::new();
    for publishers in [1, 16, 256] {
        let directory = Directory::new("figures").unwrap();
        let config = Config { disk: Some(directory.path().to_owned()), ..Config::new("n1") };
        let embedded = Embedded::start(&config).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (started, acks) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&acks);
        runtime.block_on(publish(&embedded.cluster(), publishers, "m", move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            started.elapsed() < Duration::from_secs(4)
        }));
        let rate = acks.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        let size = std::fs::metadata(directory.path().join("turnpike.redb")).unwrap().len();
        writeln!(
            report,
            "{publishers:4} publishers: {rate:.0} acks/s, {:.2} ms each, file {} MB, {:?}",
            1000.0 * publishers as f64 / rate,
            size >> 20,
            embedded.levels()
        )
        .unwrap();
        drop(embedded);
        let opened = Instant::now();
        drop(Embedded::start(&config).unwrap());
        writeln!(report, "     opened again in {:?}", opened.elapsed()).unwrap();
    }
    println!("{report}");
}
