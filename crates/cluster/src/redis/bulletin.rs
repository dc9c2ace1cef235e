//! What is posted for all nodes. Each reads on from where it has read, twice a second and at once when the bus says that
//! there is something; who cannot read on reads everything that holds, and puts back what Redis has lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::access::{Access, bytes_of};
use super::reply;
use crate::board::{Board, Kept, unix_ms};
use crate::bulletin::{NOTICES_MAX, fits};
use crate::{Bulletin, NotPosted, Notice, Notices, Soon, Topic, Unavailable};

/// Who missed the word of the bus knows a notice after this.
const READ_PAUSE: Duration = Duration::from_millis(500);

/// Between two readings that the bus asks for, so that many words of it are one reading.
const READ_PAUSE_MIN: Duration = Duration::from_millis(10);

const NEWS_PER_CALL: u32 = 256;
const NOTICES_PER_PAGE: u32 = 500;

pub(crate) struct RedisBulletin {
    access: Arc<Access>,
    board: Arc<Board>,
}

/// Under the seal. What it says counts, and not where it stood.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    topic: &'a str,
    #[serde(borrow)]
    key: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    value: std::borrow::Cow<'a, str>,
    until_ms: u64,
}

/// As Redis has it.
struct Entry {
    number: u64,
    ends_ms: u64,
    payload: Bytes,
}

struct News {
    run: String,
    last: u64,
    is_behind: bool,
    entries: Vec<(u64, Entry)>,
}

impl RedisBulletin {
    /// Done when this node knows all that holds.
    pub(crate) async fn start(
        access: Arc<Access>,
        leaving: watch::Receiver<bool>,
    ) -> Result<Self, Unavailable> {
        let board = Arc::new(Board::default());
        let mut reader = Reader {
            access: Arc::clone(&access),
            board: Arc::clone(&board),
            run: String::new(),
            place: 0,
            old: Vec::new(),
        };
        reader.read().await?;
        access.runtime.spawn(reader.run(leaving));
        Ok(Self { access, board })
    }
}

impl Bulletin for RedisBulletin {
    fn post(&self, notice: Notice) -> Soon<Result<(), NotPosted>> {
        if let Err(too_large) = fits(&notice) {
            return Soon::Now(Err(too_large));
        }
        let (access, board) = (Arc::clone(&self.access), Arc::clone(&self.board));
        let topic = notice.topic;
        let until_ms = notice.until_ms.min(turnpike_wire::limits::INTEGER_MAX);
        let payload = write(&access, &notice);
        let args = vec![
            bytes_of(&notice.key),
            bytes_of(until_ms),
            payload.clone(),
            bytes_of(NOTICES_MAX),
            access.keys.bulletin("c").into(),
        ];
        Soon::later(async move {
            let posted = |answer: &Value| {
                let [number, ends, given_up] = reply::array(answer)? else { return None };
                Some((reply::number(number)?, reply::number(ends)?, reply::number(given_up)?))
            };
            let (number, ends_ms, given_up) =
                access.call("turnpike_bulletin_post", &keys_of(&access, topic), args, posted).await?;
            if given_up > 0 {
                warn!(
                    topic = topic.slug(),
                    "there are too many notices, the one that ends soonest is given up"
                );
            }
            pin(&access, &board, notice, Entry { number, ends_ms, payload });
            Ok(())
        })
    }

    fn listen(&self, topic: Topic) -> Notices {
        self.board.listen(topic)
    }

    fn holding(&self, topic: Topic) -> Vec<Notice> {
        self.board.holding(topic)
    }
}

/// Held, their ends, news, meta.
fn keys_of(access: &Access, topic: Topic) -> [String; 4] {
    let key = |what: &str| access.keys.bulletin(what);
    [key(&format!("held:{}", topic.slug())), key(&format!("ends:{}", topic.slug())), key("news"), key("meta")]
}

fn write(access: &Access, notice: &Notice) -> Bytes {
    let Notice { topic, key, value, until_ms } = notice;
    let (key, value) = (&**key, &**value);
    let written = Written { topic: topic.slug(), key: key.into(), value: value.into(), until_ms: *until_ms };
    let json = serde_json::to_vec(&written).expect("text and a number can be written");
    access.seal.at(&access.keys.bulletin("c")).close(&[], json.into())
}

/// What a node of this cluster has written there, if it was one.
fn read(access: &Access, payload: &[u8]) -> Option<Notice> {
    let Ok(json) = access.seal.at(&access.keys.bulletin("c")).open(&[], payload) else {
        access.forged("notice");
        return None;
    };
    let read = || {
        let Written { topic, key, value, until_ms } = serde_json::from_slice(json).ok()?;
        let notice = Notice::new(Topic::parse(topic)?, &*key, &*value, until_ms);
        fits(&notice).ok().map(|()| notice)
    };
    let notice = read();
    if notice.is_none() {
        access.client.metrics.undecodable.inc();
    }
    notice
}

fn pin(access: &Access, board: &Board, notice: Notice, entry: Entry) {
    let Entry { number, ends_ms, payload } = entry;
    // When a notice ends its sender has said under the seal; Redis says only for how long a lifted one is remembered.
    let ends_ms = if notice.is_lifting() { ends_ms } else { notice.until_ms };
    let put = board.put(notice, Some(number), ends_ms, payload, unix_ms());
    access.client.metrics.notices_given_up.inc_by(put.given_up.len() as u64);
}

struct Reader {
    access: Arc<Access>,
    board: Arc<Board>,
    /// The process that was read, and up to where.
    run: String,
    place: u64,
    /// Sealed with a secret that is on its way out.
    old: Vec<Kept>,
}

impl Reader {
    async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut pause = interval(READ_PAUSE);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let access = Arc::clone(&self.access);
            tokio::select! {
                () = async { drop(leaving.wait_for(|leaving| *leaving).await) } => return,
                () = access.posted.notified() => {}
                _ = pause.tick() => {}
            }
            sleep(READ_PAUSE_MIN).await;
            self.board.sweep(unix_ms());
            // Whoever cannot be asked is asked again.
            if self.read().await.is_ok() {
                let _ = self.seal_again().await;
            }
        }
    }

    /// Until there is nothing more to be read.
    async fn read(&mut self) -> Result<(), Unavailable> {
        loop {
            let news = self.news().await?;
            if news.is_behind {
                self.reread(news.run, news.last).await?;
                continue;
            }
            let Some((place, _)) = news.entries.last() else { return Ok(()) };
            self.place = *place;
            for (_, entry) in news.entries {
                self.take(entry);
            }
        }
    }

    /// Gives its key, if somebody of this cluster has written it.
    fn take(&self, entry: Entry) -> Option<Arc<str>> {
        let notice = read(&self.access, &entry.payload)?;
        let key = Arc::clone(&notice.key);
        pin(&self.access, &self.board, notice, entry);
        Some(key)
    }

    async fn news(&self) -> Result<News, Unavailable> {
        let [.., news, meta] = keys_of(&self.access, Topic::ALL[0]);
        let args = vec![bytes_of(self.place), bytes_of(NEWS_PER_CALL), bytes_of(&self.run)];
        self.access.call("turnpike_bulletin_news", &[news, meta], args, news_of).await
    }

    /// All that holds. What this node has and Redis has not, or has an earlier word of, a failover has lost.
    async fn reread(&mut self, run: String, last: u64) -> Result<(), Unavailable> {
        let access = Arc::clone(&self.access);
        for topic in Topic::ALL {
            let known = self.board.all(topic);
            let keys = keys_of(&access, topic);
            let mut there: HashMap<Arc<str>, u64> = HashMap::new();
            let mut cursor = "0".to_owned();
            loop {
                let args = vec![bytes_of(&cursor), bytes_of(NOTICES_PER_PAGE)];
                let (next, entries) =
                    access.call("turnpike_bulletin_page", &keys[..1], args, page_of).await?;
                for entry in entries {
                    let number = entry.number;
                    if let Some(key) = self.take(entry) {
                        there.insert(key, number);
                    }
                }
                if next == "0" {
                    break;
                }
                cursor = next;
            }
            let is_there =
                |kept: &Kept| there.get(&kept.notice.key).is_some_and(|number| *number >= kept.number);
            let lost = known.into_iter().filter(|kept| !kept.stored.is_empty() && !is_there(kept));
            let mut restored = 0;
            for kept in lost {
                restored += self.restore(&keys, &kept, false).await?;
            }
            let own = self.access.keys.bulletin("c");
            let is_old = |kept: &Kept| !self.access.seal.at(&own).is_newest(&[], &kept.stored);
            let old =
                self.board.all(topic).into_iter().filter(|kept| !kept.stored.is_empty() && is_old(kept));
            self.old.extend(old);
            if restored > 0 {
                info!(topic = topic.slug(), restored, "Redis had lost notices");
            }
        }
        (self.run, self.place) = (run, last);
        Ok(())
    }

    /// While a secret is exchanged: what was sealed with the one that goes is sealed with the one that stays, or who comes
    /// later could not read it.
    async fn seal_again(&mut self) -> Result<(), Unavailable> {
        while let Some(mut kept) = self.old.pop() {
            kept.stored = write(&self.access, &kept.notice);
            let keys = keys_of(&self.access, kept.notice.topic);
            self.restore(&keys, &kept, true).await?;
            self.board.seal_again(&kept);
        }
        Ok(())
    }

    async fn restore(&self, keys: &[String], kept: &Kept, again: bool) -> Result<u64, Unavailable> {
        let args = vec![
            bytes_of(&kept.notice.key),
            bytes_of(kept.number),
            bytes_of(kept.ends_ms),
            kept.stored.clone(),
            bytes_of(NOTICES_MAX),
            self.access.keys.bulletin("c").into(),
            bytes_of(u8::from(again)),
        ];
        self.access.call("turnpike_bulletin_restore", keys, args, reply::number).await
    }
}

fn news_of(answer: &Value) -> Option<News> {
    let [run, last, is_behind, entries @ ..] = reply::array(answer)? else { return None };
    let entries = entries.chunks(4).map(|words| {
        let (place, entry) = words.split_first()?;
        Some((reply::number(place)?, entry_of(entry)?))
    });
    Some(News {
        run: reply::text(run)?.to_owned(),
        last: reply::number(last)?,
        is_behind: reply::number(is_behind)? != 0,
        entries: entries.collect::<Option<_>>()?,
    })
}

fn page_of(answer: &Value) -> Option<(String, Vec<Entry>)> {
    let (cursor, words) = reply::array(answer)?.split_first()?;
    Some((reply::text(cursor)?.to_owned(), words.chunks(3).map(entry_of).collect::<Option<_>>()?))
}

fn entry_of(words: &[Value]) -> Option<Entry> {
    let [number, ends, payload] = words else { return None };
    Some(Entry {
        number: reply::number(number)?,
        ends_ms: reply::number(ends)?,
        payload: reply::bytes(payload)?,
    })
}
