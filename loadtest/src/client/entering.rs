//! How a user comes in: the connection, the token, the room, and the session that may go on.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;
use turnpike_wire::Position;

use super::{
    Client, Expected,
    ear::Ear,
    link::{Broken, Ears, Link},
};
use crate::{
    accounting::Track,
    dialect::{Packet, Request, Ticket},
    figures::Measure,
    reader::Listener,
};

/// Coming in that takes longer has failed.
const ENTER_MAX: Duration = Duration::from_secs(30);
/// Whoever cannot get in tries again after this, if the server says nothing else, twice as long each time.
const RETRY_US: u64 = 250_000;
const RETRY_US_MAX: u64 = 8_000_000;

impl Client {
    /// Connects and joins; whether it is in. The time counts from when that was due.
    pub(super) async fn enter(&mut self, due_us: u64) -> bool {
        self.run.note_start(due_us, self.run.now_us());
        if let Some(room) = &mut self.ear.heard().room {
            room.recovering(&self.run, due_us);
        }
        match tokio::time::timeout(ENTER_MAX, self.connect()).await {
            Ok(Ok(recovered)) => {
                self.done(Measure::Connect, due_us, Ok(()));
                self.refusals = 0;
                self.is_in(recovered).await
            }
            Ok(Err(broken)) => {
                match broken {
                    Broken::OutOfFiles => self.run.out_of_files.fetch_add(1, Ordering::Relaxed),
                    Broken::OutOfPorts => self.run.out_of_ports.fetch_add(1, Ordering::Relaxed),
                    _ => 0,
                };
                if let Broken::Status(_, Some(after_ms)) = broken {
                    self.return_after_ms = self.return_after_ms.or(Some(after_ms));
                }
                self.turned_away(due_us, &broken.name())
            }
            Err(_) => self.turned_away(due_us, "took too long"),
        }
    }

    async fn is_in(&mut self, recovered: bool) -> bool {
        self.run.connected.fetch_add(1, Ordering::Relaxed);
        self.counted = true;
        let now_us = self.run.now_us();
        self.plan.is_back(now_us);
        let joined = self.is_at_once_in_its_room(recovered, now_us) || self.join(now_us).await;
        if joined {
            self.send_again().await;
        }
        joined
    }

    /// Whether there is no room to be joined.
    fn is_at_once_in_its_room(&mut self, recovered: bool, now_us: u64) -> bool {
        let mut heard = self.ear.heard();
        let Some(room) = &mut heard.room else { return true };
        room.online_us = now_us;
        let inbox = self.inbox.as_mut().filter(|_| !recovered);
        let is_in = recovered || inbox.is_some();
        if let Some(inbox) = inbox {
            inbox.begin(&self.run, room);
        }
        if is_in {
            room.look_for_recovery(&self.run, now_us);
        }
        is_in
    }

    fn turned_away(&mut self, due_us: u64, why: &str) -> bool {
        self.link = None;
        self.done(Measure::Connect, due_us, Err(why));
        self.refusals = self.refusals.saturating_add(1);
        let patience = (RETRY_US << self.refusals.min(6)).min(RETRY_US_MAX);
        let after_us = self.return_after_ms.take().map_or(patience, |ms| ms.saturating_mul(1_000));
        self.return_us = self.run.now_us() + after_us;
        false
    }

    /// Whether the session went on, with its room.
    async fn connect(&mut self) -> Result<bool, Broken> {
        let run = Arc::clone(&self.run);
        self.link = Some(self.open().await?);
        let token = self.run.tokens.user(&self.name);
        let device = self.inbox.as_ref().map(|inbox| inbox.device.clone());
        let device = device.as_deref();
        let mut said = None;
        if run.dialect.enters_at_once() {
            said = Some(run.dialect.enter(&token, device, None));
        }
        loop {
            if let Some(text) = said.take() {
                self.link_mut()?.send(text).await?;
            }
            let until = Instant::now() + ENTER_MAX;
            let Some(text) = self.link_mut()?.next(until).await? else {
                return Err(Broken::Other("took too long".to_owned()));
            };
            match run.dialect.read(&text) {
                Packet::Open => said = Some(run.dialect.enter(&token, device, self.ticket().as_ref())),
                Packet::Entered(entered) => return Ok(self.keep_ticket(entered.pid.as_deref())),
                Packet::Refused(refusal) => {
                    self.return_after_ms = refusal.retry_after_ms;
                    // A session that the server does not want is not shown again.
                    self.pid = None;
                    return Err(Broken::Other(refusal.name()));
                }
                other => self.take(other).await?,
            }
        }
    }

    /// At the first host that answers, from the one where it is at home now: whoever finds nobody there asks at the next at once.
    async fn open(&mut self) -> Result<Link, Broken> {
        let path = self.run.dialect.path();
        let mut left = self.run.places.hosts();
        loop {
            let ears = Ears { reader: &self.reader, listener: self.listener() };
            let place = self.run.places.place(self.number, self.turns);
            left -= 1;
            match Link::open(&place, &self.run.tls, ears, &path).await {
                Err(Broken::Other(_) | Broken::Status(..)) if left > 0 => self.turns += 1,
                opened => return opened,
            }
        }
    }

    /// Nobody if each delivery is for the client itself to see: a device confirms what it was given.
    fn listener(&self) -> Option<Arc<dyn Listener>> {
        let judges = self.inbox.is_none() && self.run.dialect.has_positions();
        judges.then(|| Arc::<Ear>::clone(&self.ear) as Arc<dyn Listener>)
    }

    fn ticket(&self) -> Option<Ticket> {
        let pid = self.pid.clone()?;
        Some(Ticket { pid, offset: self.ear.heard().offset.clone() })
    }

    fn keep_ticket(&mut self, pid: Option<&str>) -> bool {
        // The plain websocket has none: there a room is joined from where it was left.
        let Some(pid) = pid else { return false };
        // The stock client's rule: the same private id means that the session goes on.
        if self.pid.as_deref() == Some(pid) {
            return true;
        }
        self.pid = Some(pid.to_owned());
        self.ear.heard().offset.clear();
        false
    }

    /// Whether it is in its room.
    pub(super) async fn join(&mut self, due_us: u64) -> bool {
        let (name, since) = match &self.ear.heard().room {
            None => return true,
            Some(room) => {
                let position = |track: &Track| Position { epoch: track.epoch, seq: track.reached() };
                (Arc::clone(&room.name), room.track.as_ref().map(position))
            }
        };
        let presence = self.run.profile.rooms.as_ref().is_some_and(|rooms| rooms.presence);
        self.ask(Request::Join { room: &name, since, presence }, Expected::Join { due_us }).await
    }
}
