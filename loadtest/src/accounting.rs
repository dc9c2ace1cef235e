//! What became of every delivery: lost, doubled, out of order, late, or as it should be.
//!
//! Numbers in, verdicts out. A [`Track`] is what one client saw of one room, [`Senders`] the same where messages have no
//! place, a [`Ledger`] what all clients together know of the room. No clock and no connection in here.

mod ledger;
mod senders;
mod track;

use serde::{Deserialize, Serialize};

pub use ledger::Ledger;
pub use senders::Senders;
pub use track::{Seen, Track, Verdict};

/// Over all clients and rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Messages that were handed to a connection, each counted once however often it was sent.
    pub sent: u64,
    /// Those whose place in the room was told to their sender.
    pub acknowledged: u64,
    /// Those that the server did not take.
    pub refused: u64,
    /// Those of which the sender heard nothing until the end.
    pub unanswered: u64,
    /// Deliveries of messages of this run, doubled ones included.
    pub delivered: u64,
    /// Deliveries of messages that this run did not send.
    pub foreign: u64,
    pub lost: u64,
    pub doubled: u64,
    pub disordered: u64,
    /// Deliveries to a device that had not confirmed them when its connection ended.
    pub repeated: u64,
    pub late: u64,
    /// Places at which two clients, or the sender's ack and a delivery, have different messages.
    pub altered: u64,
    /// Rooms that began anew for a client: what was before cannot be judged.
    pub resyncs: u64,
    /// Pictures that viewers had whole.
    pub frames: u64,
    /// Between the first that a viewer had and the last of which anything came.
    pub frames_lost: u64,
    pub packets: u64,
    /// Of those, that had come before or came too late.
    pub packets_again: u64,
    /// Pictures that publishers made.
    pub frames_published: u64,
}

impl Account {
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.delivered += other.delivered;
        self.foreign += other.foreign;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.repeated += other.repeated;
        self.late += other.late;
        self.altered += other.altered;
        self.resyncs += other.resyncs;
        self.frames += other.frames;
        self.frames_lost += other.frames_lost;
        self.packets += other.packets;
        self.packets_again += other.packets_again;
        self.frames_published += other.frames_published;
    }

    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.disordered + self.altered + self.resyncs == 0
    }
}
