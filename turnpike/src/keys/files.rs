//! Public keys in files, read again while the process runs: whoever exchanges a key need not start anything anew.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use turnpike_daemon::tasks::Stop;
use turnpike_guard::TokenKey;

use crate::config::{self, PublicKey};

const INTERVAL: Duration = Duration::from_secs(2);
/// How long a key stays when its file is gone or holds none: longer than it takes to write one, and short enough that a
/// key whose file was removed is dead within a minute.
const FAULTY_MAX: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) struct Files(Vec<KeyFile>);

#[derive(Clone)]
struct KeyFile {
    path: PathBuf,
    id: Option<String>,
    /// What `key` was made of. Empty: of the first reading, which was elsewhere.
    content: String,
    key: Option<TokenKey>,
    faulty_since: Option<Instant>,
}

impl Files {
    pub(super) fn new(keys: &[PublicKey]) -> Self {
        let file = |key: &PublicKey| {
            Some(KeyFile {
                path: key.file.clone()?,
                id: key.key.id().map(ToOwned::to_owned),
                content: String::new(),
                key: Some(key.key.clone()),
                faulty_since: None,
            })
        };
        Self(keys.iter().filter_map(file).collect())
    }

    pub(super) fn keys(&self) -> Vec<TokenKey> {
        self.0.iter().filter_map(|file| file.key.clone()).collect()
    }

    /// Those of the list, until it is another.
    pub(super) async fn keep(
        mut self,
        set: impl Fn(Vec<TokenKey>),
        mut listed: watch::Receiver<Self>,
        mut stop: Stop,
    ) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                Ok(()) = listed.changed() => {
                    self = listed.borrow_and_update().clone();
                    set(self.keys());
                }
                () = stop.requested() => return,
            }
            // A disk that hangs holds a thread made for that. No reading begins before the last one has ended.
            let mut files = self.clone();
            let read = tokio::task::spawn_blocking(move || {
                let changed = files.look(Instant::now());
                (files, changed)
            });
            let Ok((files, changed)) = read.await else { continue };
            self = files;
            if changed {
                set(self.keys());
            }
        }
    }

    /// Whether there are other keys than before.
    fn look(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for file in &mut self.0 {
            changed |= file.take(config::read(&file.path), now);
        }
        changed
    }
}

impl KeyFile {
    fn take(&mut self, read: io::Result<String>, now: Instant) -> bool {
        if let Ok(content) = &read
            && *content == self.content
            && self.key.is_some()
        {
            self.faulty_since = None;
            return false;
        }
        let path = self.path.display();
        let made = read.map_err(|error| format!("cannot be read: {error}")).and_then(|content| {
            let key = config::key(&content, self.id.as_deref())?;
            Ok((key, content))
        });
        match made {
            Ok((key, content)) => {
                let is_first = self.content.is_empty();
                let was_there = self.key.replace(key).is_some();
                (self.content, self.faulty_since) = (content, None);
                if !is_first || !was_there {
                    tracing::info!(%path, id = self.id, "a key of tokens was read from its file");
                }
                true
            }
            Err(problem) => match self.faulty_since {
                None => {
                    self.faulty_since = Some(now);
                    tracing::error!(%path, problem, "the file of a key holds none: what it held goes on for 30 s");
                    false
                }
                Some(since) if now - since >= FAULTY_MAX && self.key.is_some() => {
                    self.key = None;
                    tracing::error!(%path, problem, "a key of tokens is dead: its file holds none");
                    true
                }
                Some(_) => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use turnpike_daemon::config::Setting as _;

    use super::*;

    const KEYS: [&str; 2] = [
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n-----END PUBLIC KEY-----\n",
    ];

    fn file() -> KeyFile {
        let path = std::env::temp_dir().join(format!("turnpike-keys-{}", std::process::id()));
        std::fs::write(&path, KEYS[0]).unwrap();
        let key = PublicKey::parse(&format!("a=file:{}", path.display())).unwrap();
        std::fs::remove_file(&path).unwrap();
        Files::new(&[key]).0.remove(0)
    }

    #[test]
    fn a_file_may_be_gone_or_half_written_for_a_while_and_then_its_key_is_dead() {
        let gone = || Err(io::Error::from(io::ErrorKind::NotFound));
        let half = || Ok(KEYS[1][..40].to_owned());
        let whole = |at: usize| Ok(KEYS[at].to_owned());
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut file = file();
        assert!(file.take(whole(0), at(0)) && !file.take(whole(0), at(2)), "read once");
        assert!(!file.take(half(), at(4)) && !file.take(gone(), at(33)) && file.key.is_some());
        assert!(file.take(whole(1), at(33)), "another one");
        assert!(!file.take(gone(), at(40)) && !file.take(whole(1), at(42)), "the same one again");
        assert!(!file.take(gone(), at(50)) && !file.take(half(), at(79)) && file.key.is_some());
        assert!(file.take(gone(), at(80)) && file.key.is_none(), "dead");
        assert!(!file.take(gone(), at(82)) && !file.take(half(), at(300)));
        assert!(file.take(whole(1), at(301)), "the same key, alive again");
        assert_eq!(file.key.unwrap().id(), Some("a"), "under the same name");
    }

    /// A key is dead within a minute, readings included.
    const _: () = assert!(FAULTY_MAX.as_secs() + 2 * INTERVAL.as_secs() < 60);
}
