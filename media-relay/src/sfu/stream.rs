//! A stream: who publishes it, who watches it, and when its sessions are told how it is.

use std::time::{Duration, Instant};

use turnpike_wire::RoomId;

use super::asks::Waiting;
use super::branch::Branch;
use super::feed::Feed;
use super::track::TrackKey;
use crate::record::Tap;

/// Whoever comes and goes in between is told together.
const NEWS_INTERVAL: Duration = Duration::from_millis(500);
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
    has_news: bool,
    told: Option<Instant>,
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
            has_news: false,
            told: None,
        }
    }

    pub(crate) fn changed(&mut self) {
        (self.has_news, self.is_touched) = (true, true);
    }

    pub(crate) fn has_pipes(&self) -> bool {
        self.feed.is_some() || !self.branches.is_empty()
    }

    /// Whether nobody has anything to do with it. One that is only handed on to relays where nobody watches is over.
    pub(crate) fn is_empty(&self) -> bool {
        let is_watched_below = self.branches.iter().any(|branch| branch.viewers > 0);
        self.publishers.is_empty() && self.viewers.is_empty() && self.feed.is_none() && !is_watched_below
    }

    /// Whether somebody here or further down has to do with it.
    pub(crate) fn is_watched(&self) -> bool {
        !(self.viewers.is_empty()
            && self.branches.is_empty()
            && self.waiting.is_empty()
            && self.tap.is_none())
    }

    /// When its sessions are to be told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.has_news.then(|| self.told.map(|told| told + NEWS_INTERVAL)).flatten()
    }

    /// Whether they are to be told now.
    pub(crate) fn tells(&mut self, now: Instant) -> bool {
        let tells = self.has_news && self.told.is_none_or(|told| now >= told + NEWS_INTERVAL);
        if tells {
            self.has_news = false;
            self.told = Some(now);
        }
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_are_told_together() {
        let (start, mut stream) = (Instant::now(), Stream::new("live".parse().unwrap()));
        let mut told = Vec::new();
        for ms in 0..2_000 {
            if ms < 1_200 && ms % 3 == 0 {
                stream.changed();
            }
            if stream.tells(start + Duration::from_millis(ms)) {
                told.push(ms);
            }
        }
        assert_eq!(told, [0, 500, 1_000, 1_500]);
        assert_eq!(stream.due(), None);
    }
}
