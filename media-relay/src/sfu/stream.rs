//! A stream: who publishes it, who watches it, and when its sessions are told how it is.

use std::time::Instant;

use smallvec::SmallVec;
use turnpike_wire::RoomId;

use super::asks::Waiting;
use super::branch::Branch;
use super::feed::Feed;
use super::news::{INTERVAL, News};
use super::speaker::Speaker;
use super::track::TrackKey;
use crate::record::Tap;

/// Of everybody who watches, publishers are told so many by name.
pub(crate) use turnpike_wire::limits::VIEWERS_NAMED_MAX;

pub(crate) struct Stream {
    pub(crate) name: RoomId,
    /// Peers, the oldest first.
    pub(crate) publishers: Vec<usize>,
    pub(crate) viewers: Vec<usize>,
    pub(crate) tracks: Vec<TrackKey>,
    /// Whoever records it.
    pub(crate) tap: Option<Tap>,
    /// Where it comes from, besides its publishers.
    pub(crate) feed: Option<Box<Feed>>,
    /// Where it goes to, besides its viewers.
    pub(crate) branches: Vec<Branch>,
    /// Who wants to watch what has not been heard of yet.
    pub(crate) waiting: Vec<Waiting>,
    /// The branches are to be told before they are given another packet.
    pub(crate) is_urgent: bool,
    /// Something has changed of which the other ends of its pipes may have to know.
    pub(crate) is_touched: bool,
    /// When they are told next, if there is anything to tell.
    pub(crate) branches_due: Option<Instant>,
    pub(crate) speaker: Speaker<TrackKey>,
    /// What of it all see.
    pub(crate) news: News,
    /// What was told of its layers.
    pub(crate) shown: SmallVec<[LayerShown; 4]>,
    looked: Option<Instant>,
}

/// What is told of a layer, as far as it is worth telling when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerShown {
    pub(crate) is_active: bool,
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) bits_per_second: u64,
}

impl LayerShown {
    /// Whether that is something else. A bitrate always wavers.
    pub(crate) fn differs(&self, told: &Self) -> bool {
        let (now, before) = (self.bits_per_second, told.bits_per_second);
        self.is_active != told.is_active
            || self.size != told.size
            || (self.is_active && (now > before.saturating_mul(2) || now.saturating_mul(2) < before))
    }
}

impl Stream {
    pub(crate) fn new(name: RoomId) -> Self {
        Self {
            name,
            publishers: Vec::new(),
            viewers: Vec::new(),
            tracks: Vec::new(),
            tap: None,
            feed: None,
            branches: Vec::new(),
            waiting: Vec::new(),
            is_urgent: false,
            is_touched: false,
            branches_due: None,
            speaker: Speaker::default(),
            news: News::default(),
            shown: SmallVec::new(),
            looked: None,
        }
    }

    pub(crate) fn has_pipes(&self) -> bool {
        self.feed.is_some() || !self.branches.is_empty()
    }

    /// Whether nobody has anything to do with it. One that is only handed on to relays where nobody watches is over.
    pub(crate) fn is_empty(&self) -> bool {
        let is_watched_below = self.branches.iter().any(|branch| branch.viewers > 0);
        self.publishers.is_empty() && self.viewers.is_empty() && self.feed.is_none() && !is_watched_below
    }

    /// Whether it is kept, here or where it comes from.
    pub(crate) fn is_recorded(&self) -> bool {
        self.tap.is_some() || self.feed.as_ref().is_some_and(|feed| feed.is_recorded)
    }

    /// Whether somebody here or further down has to do with it.
    pub(crate) fn is_watched(&self) -> bool {
        !(self.viewers.is_empty()
            && self.branches.is_empty()
            && self.waiting.is_empty()
            && self.tap.is_none())
    }

    /// When its sessions are to be told, or it is to be looked for something to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        let looks = self.looked.filter(|_| !self.tracks.is_empty()).map(|looked| looked + INTERVAL);
        [self.news.due(), looks].into_iter().flatten().min()
    }

    /// Whether it is time to look at what nobody tells of: sound, and layers.
    pub(crate) fn looks(&mut self, now: Instant) -> bool {
        let looks = !self.tracks.is_empty() && self.looked.is_none_or(|looked| now >= looked + INTERVAL);
        if looks {
            self.looked = Some(now);
        }
        looks
    }
}
