//! How a user comes in: the connection, the token, the room, and the session that may go on.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;
use turnpike_wire::Position;

use super::{
    Client, Expected,
    link::{Broken, Link},
};
use crate::{
    dialect::{Packet, Request, Ticket},
    figures::Measure,
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
        if let Some(room) = &mut self.room {
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
        let joined = match &mut self.room {
            None => true,
            Some(room) => {
                room.online_us = now_us;
                if let Some(inbox) = self.inbox.as_mut().filter(|_| !recovered) {
                    inbox.begin(&self.run, room);
                    room.look_for_recovery(&self.run, now_us);
                    true
                } else if recovered {
                    room.look_for_recovery(&self.run, now_us);
                    true
                } else {
                    self.join(now_us).await
                }
            }
        };
        if joined {
            self.send_again().await;
        }
        joined
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
        let link = Link::open(&run.places, &run.tls, self.number, &run.dialect.path()).await?;
        self.link = Some(link);
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
                Packet::Open => said = Some(run.dialect.enter(&token, device, self.ticket.as_ref())),
                Packet::Entered(entered) => return Ok(self.keep_ticket(entered.pid.as_deref())),
                Packet::Refused(refusal) => {
                    self.return_after_ms = refusal.retry_after_ms;
                    // A session that the server does not want is not shown again.
                    self.ticket = None;
                    return Err(Broken::Other(refusal.name()));
                }
                other => self.take(other).await?,
            }
        }
    }

    fn keep_ticket(&mut self, pid: Option<&str>) -> bool {
        // The plain websocket has none: there a room is joined from where it was left.
        let Some(pid) = pid else { return false };
        // The stock client's rule: the same private id means that the session goes on.
        if self.ticket.as_ref().is_some_and(|ticket| ticket.pid == pid) {
            return true;
        }
        self.ticket = Some(Ticket { pid: pid.to_owned(), offset: String::new() });
        false
    }

    /// Whether it is in its room.
    pub(super) async fn join(&mut self, due_us: u64) -> bool {
        let Some(room) = &self.room else { return true };
        let name = Arc::clone(&room.name);
        let since = room.track.as_ref().map(|track| Position { epoch: track.epoch, seq: track.reached() });
        let presence = self.run.profile.rooms.as_ref().is_some_and(|rooms| rooms.presence);
        self.ask(Request::Join { room: &name, since, presence }, Expected::Join { due_us }).await
    }
}
