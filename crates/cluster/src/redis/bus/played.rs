//! The connection of the bus as a test plays it: it brings what the test says, to the listener that is there in production.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use turnpike_wire::RoomId;

use super::{Bus, ORDERS_MAX, Order, Shared};
use crate::{Lane, lane_of};

pub(crate) struct PlayedLine {
    shared: Arc<Shared>,
    connection: u64,
}

impl Bus {
    pub(crate) fn played(&self) -> PlayedLine {
        PlayedLine { shared: Arc::clone(&self.shared), connection: 0 }
    }
}

impl PlayedLine {
    /// Whether somebody listens by now.
    pub(crate) fn is_started(&self) -> bool {
        self.shared.listener.get().is_some()
    }

    /// All lanes are on it. Gives what is to be subscribed, and the channels that always are.
    pub(crate) fn up(&mut self) -> (mpsc::Receiver<Order>, [String; 2]) {
        self.connection = self.shared.next_connection();
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        for lane in Lane::all() {
            self.shared.attached.attach(
                lane,
                self.connection,
                &orders,
                || true,
                || {
                    self.shared.listener.get().expect("it was started").up(lane);
                },
            );
        }
        self.shared.heard.send_replace(true);
        let [own, bulletin] = &self.shared.fixed_channels;
        (inbox, [own.0.clone(), bulletin.0.clone()])
    }

    pub(crate) fn down(&self) {
        for lane in Lane::all() {
            self.shared.detach(lane, self.connection);
        }
    }

    pub(crate) fn channel_of(&self, room: &RoomId) -> String {
        self.shared.keys.channel(room)
    }

    pub(crate) fn subscribed(&self, room: &RoomId, number: u64) {
        if let Some(listener) = self.shared.listener.get() {
            listener.subscribed(lane_of(room), room, number);
        }
    }

    pub(crate) fn announced(&self, channel: &str, frame: &Bytes) {
        if let Some(channel) = self.shared.channel(channel) {
            self.shared.announced(self.connection, &channel, frame);
        }
    }
}
