//! One user that keeps a connection: does what is due when it is due, hears what comes, and accounts for it.
//!
//! It does not know goose: what it did is left in `outcomes` for whoever drives it.

mod ear;
mod entering;
mod hearing;
mod inbox;
mod judging;
mod knock;
mod link;
mod plan;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    dialect::{Answer, Request},
    figures::Measure,
    reader::Reader,
    run::Run,
    tag::Tag,
};
use ear::Ear;
use inbox::Inbox;
use judging::Room;
use link::{Broken, Link};
use plan::Plan;

pub use knock::knock;

pub struct Client {
    run: Arc<Run>,
    number: u32,
    name: String,
    link: Option<Link>,
    /// Counted among those who are connected.
    counted: bool,
    /// Has its room.
    ear: Arc<Ear>,
    reader: Arc<Reader>,
    /// How often it has turned to the next host.
    turns: u32,
    /// Of a device, whose room is its user's own.
    inbox: Option<Inbox>,
    /// Of the session that may go on.
    pid: Option<String>,
    plan: Plan,
    asked: u64,
    /// What waits for its answer, by the number of the question.
    waiting: BTreeMap<u64, Expected>,
    /// Messages that were made so far.
    sent: u32,
    /// When to come back, while there is no connection.
    return_us: u64,
    /// What the server said about that.
    return_after_ms: Option<u64>,
    /// Attempts to come in since the last that succeeded.
    refusals: u32,
    outcomes: Vec<Outcome>,
}

/// A request that has ended, for other books than our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub measure: Measure,
    pub us: u64,
    pub failure: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Join { due_us: u64 },
    Leave { due_us: u64 },
    Typing { due_us: u64 },
    Send { tag: Tag },
    Received { due_us: u64, seq: u64 },
}

impl Expected {
    fn measure(self) -> (Measure, u64) {
        match self {
            Self::Join { due_us } => (Measure::Join, due_us),
            Self::Leave { due_us } => (Measure::Leave, due_us),
            Self::Typing { due_us } => (Measure::Typing, due_us),
            Self::Send { tag } => (Measure::Send, tag.due_us),
            Self::Received { due_us, .. } => (Measure::Receipt, due_us),
        }
    }
}

/// Messages of one user on their way at once. A server that answers none is not given more.
const WAITING_MAX: usize = 1_000;
/// What has ended is told so much later at most, if anything else happens by then.
const TELL_US: u64 = 1_000_000;
const ANSWER_MAX: Duration = Duration::from_secs(15);

impl Client {
    pub fn new(run: &Arc<Run>, reader: &Arc<Reader>, number: u32) -> Self {
        let profile = &run.profile;
        let inbox = Inbox::of(run, number);
        let room = profile.rooms.as_ref().map(|rooms| {
            // Neighbours are in different rooms, so that what goes on in one is spread over time.
            let room = number % rooms.count(profile.users);
            let name = inbox.as_ref().map_or_else(|| run.room_name(room), |inbox| inbox.room_name().into());
            Room::new(name, run.room(room), number)
        });
        let name = inbox.as_ref().map(|inbox| inbox.user.clone());
        Self {
            run: Arc::clone(run),
            number,
            name: name.unwrap_or_else(|| format!("load-{:x}-{number}", run.id)),
            link: None,
            counted: false,
            ear: Ear::new(run, room),
            reader: Arc::clone(reader),
            turns: 0,
            inbox,
            pid: None,
            plan: Plan::default(),
            asked: 0,
            waiting: BTreeMap::new(),
            sent: 0,
            return_us: u64::MAX,
            return_after_ms: None,
            refusals: 0,
            outcomes: Vec::new(),
        }
    }

    /// Comes in for the first time.
    pub async fn begin(&mut self) {
        let now_us = self.run.now_us();
        self.enter(now_us).await;
    }

    /// The load begins then, and ends then.
    pub fn plan(&mut self, start_us: u64, stop_us: u64) {
        self.plan = Plan::new(&self.run.profile, self.number, start_us, stop_us);
    }

    /// Nothing new is due; what was due already is still done. Who is away comes back.
    pub fn rest(&mut self) {
        if self.plan.is_away() {
            self.return_us = self.return_us.min(self.run.now_us());
        }
        self.plan.rest();
    }

    pub fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Whether everything that it waits for is there.
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
            && self.plan.is_done()
            && self.link.is_some()
            && self.ear.heard().room.as_ref().is_none_or(|room| room.is_complete(&self.run))
    }

    /// Lives until then, or until something has happened that others should know of for a while.
    pub async fn live(&mut self, until_us: u64) {
        let told_us = self.run.now_us() + TELL_US;
        loop {
            let now_us = self.run.now_us();
            if now_us >= until_us || (now_us >= told_us && !self.outcomes.is_empty()) {
                return;
            }
            self.act(now_us).await;
            let mut wake_us = until_us.min(self.plan.next_us(self.link.is_some()));
            if self.link.is_none() {
                wake_us = wake_us.min(self.return_us);
            }
            let moment = self.run.moment(wake_us);
            match &mut self.link {
                None => tokio::time::sleep_until(moment).await,
                Some(link) => match link.next(moment).await {
                    Ok(None) => {}
                    Ok(Some(text)) => self.hear(&text).await,
                    Err(broken) => self.lose(&broken),
                },
            }
        }
    }

    /// Does everything that is due.
    async fn act(&mut self, now_us: u64) {
        if self.link.is_none() && self.return_us <= now_us {
            let due_us = std::mem::replace(&mut self.return_us, u64::MAX);
            self.enter(due_us).await;
        }
        if let Some(away) = self.plan.cut(now_us, self.run.id) {
            self.cut(now_us + away.as_micros() as u64);
        }
        self.visit(now_us).await;
        while self.link.is_some() {
            if let Some(due_us) = self.plan.message(now_us) {
                self.send_message(due_us).await;
            } else if let Some(due_us) = self.plan.typing(now_us) {
                let name = self.room_name();
                self.say(Request::Typing { room: &name }, Expected::Typing { due_us }).await;
            } else {
                break;
            }
        }
    }

    /// The connection ends without a word, and the user wants nothing until it is back.
    fn cut(&mut self, return_us: u64) {
        if self.link.take().is_some() {
            self.uncount();
            if self.inbox.is_some() {
                // A device that was switched off knows of no session.
                self.pid = None;
            }
            self.return_us = return_us;
            self.plan.away_until(return_us);
        }
    }

    async fn visit(&mut self, now_us: u64) {
        let Some(visits) = self.run.profile.visits.clone() else { return };
        if let Some(due_us) = self.plan.leave(now_us) {
            if visits.keep_connection && self.link.is_some() {
                let name = self.room_name();
                self.ask(Request::Leave { room: &name }, Expected::Leave { due_us }).await;
            } else {
                self.close().await;
            }
            if let Some(room) = &mut self.ear.heard().room {
                room.finish(&self.run);
            }
            self.plan.left(self.run.now_us(), &visits);
        } else if let Some(due_us) = self.plan.come(now_us) {
            if visits.keep_connection && self.link.is_some() {
                self.run.note_start(due_us, now_us);
                self.join(due_us).await;
            } else if self.link.is_none() {
                self.pid = None;
                self.enter(due_us).await;
            }
            self.plan.came(self.run.now_us(), &visits);
        }
    }

    fn room_name(&self) -> Arc<str> {
        self.ear.heard().room.as_ref().map(|room| Arc::clone(&room.name)).unwrap_or_default()
    }

    async fn send_message(&mut self, due_us: u64) {
        let now_us = self.run.now_us();
        if self.ear.heard().room.as_ref().is_some_and(|room| due_us >= room.online_us) {
            self.run.note_start(due_us, now_us);
        }
        if self.waiting.len() >= WAITING_MAX {
            self.done(Measure::Send, due_us, Err("not sent: too many without an answer"));
            return;
        }
        self.sent += 1;
        let tag = Tag { run: self.run.id, sender: self.number, number: self.sent, due_us };
        if let Some(room) = &mut self.ear.heard().room {
            room.account.sent += 1;
        }
        self.run.under_way.fetch_add(1, Ordering::Relaxed);
        self.send_tagged(tag).await;
    }

    async fn send_tagged(&mut self, tag: Tag) {
        let name = self.inbox.as_ref().map_or_else(|| self.room_name(), |inbox| Arc::clone(&inbox.friend));
        let bytes = self.run.profile.messages.as_ref().map_or(0, |messages| messages.body_bytes);
        let (id, body) = (tag.message_id(), tag.body(bytes as usize));
        self.say(Request::Send { room: &name, id: &id, body: &body }, Expected::Send { tag }).await;
    }

    /// What was not answered before the connection ended, under the same ids and in the same order.
    async fn send_again(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for expected in waiting.into_values() {
            match expected {
                Expected::Send { tag } => self.send_tagged(tag).await,
                // Whoever cannot tell whether that was heard says it of what comes next.
                Expected::Received { .. } => {}
                _ => {
                    let (measure, due_us) = expected.measure();
                    self.done(measure, due_us, Err("the connection ended before the answer"));
                }
            }
        }
    }

    /// Says something whose answer comes when it comes; the number of that answer.
    async fn say(&mut self, request: Request<'_>, expected: Expected) -> u64 {
        self.asked += 1;
        let id = self.asked;
        // What the server has no word for is not said.
        let Some(text) = self.run.dialect.ask(id, request) else { return id };
        self.waiting.insert(id, expected);
        if let Some(link) = &mut self.link
            && let Err(broken) = link.send(text).await
        {
            self.lose(&broken);
        } else if !self.run.dialect.has_acks() {
            // Said is done.
            self.answered(id, &Answer { ok: true, ..Answer::default() });
        }
        id
    }

    /// Says something and hears on until its answer; whether that was good.
    async fn ask(&mut self, request: Request<'_>, expected: Expected) -> bool {
        let id = self.say(request, expected).await;
        let until = Instant::now() + ANSWER_MAX;
        while self.waiting.contains_key(&id) {
            let Some(link) = &mut self.link else { break };
            match link.next(until).await {
                Ok(Some(text)) => self.hear(&text).await,
                Ok(None) => break,
                Err(broken) => self.lose(&broken),
            }
        }
        // Nobody waits for it any longer.
        match self.waiting.remove(&id) {
            None => self.link.is_some(),
            Some(expected) => {
                let (measure, due_us) = expected.measure();
                self.done(measure, due_us, Err("no answer"));
                false
            }
        }
    }

    fn link_mut(&mut self) -> Result<&mut Link, Broken> {
        self.link.as_mut().ok_or_else(|| Broken::Other("closed".to_owned()))
    }

    /// The server, or something between, ended the connection.
    fn lose(&mut self, broken: &Broken) {
        if self.link.take().is_none() {
            return;
        }
        self.uncount();
        let now_us = self.run.now_us();
        let after_ms = self.return_after_ms.take();
        // A server that says when to come back has not failed.
        if after_ms.is_none() {
            self.run.failed(self.number, Measure::Connection, &broken.name());
        }
        self.turns += 1;
        let after_us =
            after_ms.map_or_else(|| self.plan.return_after_us(self.run.id), |ms| ms.saturating_mul(1_000));
        self.return_us = now_us + after_us;
    }

    fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.run.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn close(&mut self) {
        if let Some(link) = self.link.take() {
            self.uncount();
            link.close().await;
        }
    }

    /// Leaves for good, and says what became of everything.
    pub async fn end(&mut self) {
        self.close().await;
        for expected in std::mem::take(&mut self.waiting).into_values() {
            let (measure, due_us) = expected.measure();
            if let (Expected::Send { .. }, Some(room)) = (expected, &mut self.ear.heard().room) {
                room.account.unanswered += 1;
                self.run.under_way.fetch_sub(1, Ordering::Relaxed);
            }
            self.done(measure, due_us, Err("no answer"));
        }
        // Its connection did not come back in time for them.
        while let Some(due_us) = self.plan.message(u64::MAX) {
            self.done(Measure::Send, due_us, Err("not sent: no connection"));
        }
        if let Some(room) = &mut self.ear.heard().room {
            room.finish(&self.run);
            self.run.settle(&room.account);
        }
    }

    fn done(&mut self, measure: Measure, due_us: u64, result: Result<(), &str>) {
        let us = self.run.now_us().saturating_sub(due_us);
        match result {
            Ok(()) => self.run.record(self.number, measure, us),
            Err(why) => self.run.failed(self.number, measure, why),
        }
        self.outcomes.push(Outcome { measure, us, failure: result.err().map(ToOwned::to_owned) });
    }
}
