//! What a shard counts. One writer each, the shard's thread; any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::spread::{Spread, SpreadCount};

/// A number that one thread changes and others read.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Load and store instead of a locked addition: there is one writer.
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(amount), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long things took, over all shards since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From an event's publication, as it says itself, until it was written to the last of its receivers on a shard
    /// who was not behind.
    pub delivery_lag: Spread,
    /// From a CONNECT to its answer.
    pub entering: Spread,
}

impl Times {
    pub(crate) fn add(&mut self, shard: &ShardCounters) {
        self.delivery_lag.add(&shard.delivery_lag);
        self.entering.add(&shard.entering);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Sums over all shards since the start; `*_now` are levels.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Default)]
        #[repr(align(128))] // own cache lines: shards must not slow one another down by counting
        pub(crate) struct ShardCounters {
            $(pub(crate) $name: Count,)*
            pub(crate) delivery_lag: SpreadCount,
            pub(crate) entering: SpreadCount,
        }

        impl Counters {
            pub(crate) fn add(&mut self, shard: &ShardCounters) {
                $(self.$name = self.$name.wrapping_add(shard.$name.get());)*
            }

            /// Each counter's name, what it says, and its value.
            pub fn list(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    connections_now,
    /// Connections whose transport is a websocket.
    websockets_now,
    /// Sockets that speak HTTP, idle ones included, and those that carry bytes for other nodes.
    http_sockets_now,
    sockets_now,
    rooms_now,
    /// Namespaces that somebody is in, counted once for each shard.
    namespaces_now,
    /// Deadlines that have not passed, also of what is long done.
    timers_now,
    connections_opened,
    connections_refused_full,
    /// TCP connections that the application did not want, before anything was read of them.
    connections_turned_away,
    /// Those that had to begin with an introduction and did not.
    introductions_refused,
    /// Requests that the application did not want, by their client's address.
    requests_turned_away,
    /// Sessions that the application did not want, by their client's address.
    sessions_turned_away,
    /// Requests of pages that may not talk to us.
    origins_refused,
    /// Requests whose headers or body did not arrive in time, and connections that sent none.
    requests_timed_out,
    /// New sessions that were told to try again later because too many came at once.
    handshakes_put_off,
    /// Sockets that were not let in for the same reason.
    connects_put_off,
    handshakes_refused,
    upgrades,
    upgrades_failed,
    closed_client_left,
    closed_transport_closed,
    closed_transport_error,
    closed_ping_timeout,
    closed_protocol_error,
    closed_slow_reader,
    closed_server,
    closed_shutdown,
    sockets_recovered,
    recoveries_refused,
    events_in,
    bytes_in,
    bytes_out,
    /// Events handed to a connection's queue.
    deliveries,
    /// Bytes of events that went to clients compressed: what they would have been, and what they were.
    deflated_bytes_before,
    deflated_bytes_after,
    broadcasts,
    /// Reliable events not queued because the connection was behind; it is refilled later.
    deliveries_deferred,
    volatile_dropped,
    state_replaced,
    refills,
    /// Commands for sockets that were gone.
    commands_stale,
    queue_bytes_now,
    polls,
    posts,
    /// Requests that arrived on another shard of this node.
    handed_over,
    /// Requests that were passed on to the node that owns their session.
    forwarded,
    /// Those of them that the node did not answer.
    forwards_failed,
    /// Websockets that are carried on to the node that owns their session.
    tunnels_now,
    acks_timed_out,
    panics,
}
