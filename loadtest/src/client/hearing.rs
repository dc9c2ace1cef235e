//! What a client makes of what the server says: answers find their questions, and the rest goes where it belongs.

use std::sync::atomic::Ordering;

use super::{Client, Expected, link::Broken};
use crate::{
    dialect::{Answer, Packet, Refusal},
    run::{Phase, held},
};

impl Client {
    pub(super) async fn hear(&mut self, text: &str) {
        let packet = self.run.dialect.read(text);
        if let Err(broken) = self.take(packet).await {
            self.lose(&broken);
        }
        self.confirm().await;
    }

    pub(super) async fn take(&mut self, packet: Packet<'_>) -> Result<(), Broken> {
        match packet {
            Packet::Ping => return self.link_mut()?.send("3".to_owned()).await,
            Packet::Message(message, offset) => {
                self.keep_offset(offset);
                let now_us = self.run.now_us();
                if let Some(room) = &mut self.ear.heard().room {
                    room.take(&self.run, &message, now_us);
                }
            }
            Packet::Tagged(text, offset) => {
                self.keep_offset(offset);
                let now_us = self.run.now_us();
                if let Some(room) = &mut self.ear.heard().room {
                    room.take_tagged(&self.run, text, now_us);
                }
            }
            Packet::Resync(resync, offset) => {
                self.keep_offset(offset);
                if let Some(room) = self.ear.heard().room.as_mut().filter(|room| *room.name == *resync.room) {
                    room.begin_anew(&self.run, resync.epoch, resync.seq);
                }
            }
            Packet::Event(offset) => self.keep_offset(offset),
            Packet::Answer(id, answer) => self.answered(id, &answer),
            Packet::Closing(closing) => self.return_after_ms = closing.reconnect_after_ms,
            Packet::Refused(refusal) => return Err(Broken::Other(refusal.name())),
            Packet::Closed => return Err(Broken::Other("closed by the server".to_owned())),
            Packet::Garbage => {
                return Err(Broken::Other("said something that is not in the protocol".to_owned()));
            }
            Packet::Open | Packet::Entered(_) => {}
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, id: u64, answer: &Answer<'_>) {
        let Some(expected) = self.waiting.remove(&id) else { return };
        let (measure, due_us) = expected.measure();
        let failure = (!answer.ok).then(|| answer.error.as_ref().map_or("refused".to_owned(), Refusal::name));
        self.done(measure, due_us, failure.as_deref().map_or(Ok(()), Err));
        let mut heard = self.ear.heard();
        let Some(room) = &mut heard.room else { return };
        match (expected, answer.epoch, answer.seq) {
            (Expected::Send { .. }, ..) if failure.is_some() => {
                self.run.under_way.fetch_sub(1, Ordering::Relaxed);
                room.account.refused += 1;
            }
            (Expected::Send { tag }, epoch, seq) => {
                self.run.under_way.fetch_sub(1, Ordering::Relaxed);
                room.account.acknowledged += 1;
                let ledger = self.inbox.as_ref().map_or(&room.ledger, |inbox| &inbox.friend_ledger);
                let mut ledger = held(ledger);
                match (epoch, seq) {
                    (Some(epoch), Some(seq)) => ledger.acknowledged(epoch, seq, tag.mark()),
                    _ => ledger.taken_from(tag.sender, u64::from(tag.number)),
                }
            }
            (Expected::Received { seq, .. }, ..) => {
                if let Some(inbox) = &mut self.inbox {
                    inbox.answered(failure.is_none().then_some(seq), self.run.now_us());
                }
            }
            (Expected::Join { .. }, Some(epoch), Some(seq)) if failure.is_none() => {
                let now_us = self.run.now_us();
                match &room.track {
                    Some(track) if answer.recovered == Some(true) && track.epoch == epoch => {
                        for message in &answer.messages {
                            room.take(&self.run, message, now_us);
                        }
                    }
                    Some(track) if track.epoch != epoch || track.reached() != seq => {
                        room.begin_anew(&self.run, epoch, seq);
                    }
                    Some(_) => {}
                    None => room.begin(&self.run, epoch, seq),
                }
                room.look_for_recovery(&self.run, now_us);
            }
            (Expected::Join { .. }, None, _) if failure.is_none() => {
                room.is_early |= self.run.phase() == Phase::Gathering;
                let now_us = self.run.now_us();
                room.look_for_recovery(&self.run, now_us);
            }
            _ => {}
        }
    }

    fn keep_offset(&self, offset: Option<&str>) {
        if let Some(offset) = offset {
            self.ear.heard().stands_at(offset);
        }
    }
}
