//! How much a path carries, and how that is shared and paced.
//!
//! Numbers in, numbers out: every part takes `now` as an argument and knows neither RTP nor sockets nor who is
//! behind them. A peer that publishes has one [`twcc::Arrivals`]. A peer that watches has
//!
//! - [`history::Sent`]: numbers what is sent and, when feedback comes, says what became of it;
//! - [`estimator::Estimator`]: makes a bitrate of that, and asks for probes;
//! - [`pacer::Pacer`]: spreads what is sent over time, and carries the probes out;
//! - [`allocation::Allocator`]: chooses the layers that fit.
//!
//! ```text
//! packet --> Pacer::admit --Send--> Sent::send --> wire
//!              | Queued
//!              v
//!            Pacer::poll --Release--> Sent::send --> wire
//!
//! feedback --> Sent::acknowledge --reports--> Estimator::on_reports --> target --> Pacer::set_target, Allocator::allocate
//!                                             Estimator::poll --Probe--> Pacer::probe      |
//!                                             Estimator::set_demand <-------- next, most --+
//! ```

// Microseconds since a start and lengths of short rings, far from the sign bit; differences of sequence numbers, where
// the sign is what is meant.
#![allow(clippy::cast_possible_wrap)]

pub mod allocation;
pub mod estimator;
pub mod history;
pub mod pacer;
pub mod probe;
pub mod twcc;

/// What a packet is for. The order is that of the pacer: what comes first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Audio,
    Retransmission,
    Video,
    Padding,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Audio, Self::Retransmission, Self::Video, Self::Padding];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}
