//! Rooms on their way to being followed: where they stand is asked for many at once.

use std::collections::HashMap;

use turnpike_wire::RoomId;

use super::{Comparison, Effect, Follower, Gap, Place, RETRY_MS, Unanswered};

/// Questions about single rooms are put together: so many rooms in one.
const COMPARED_MAX: usize = 1_000;

/// So many questions at once. While they are under way the next ones grow.
const ASKED_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) losses: u64,
    pub(super) rooms: Vec<RoomId>,
}

impl Follower {
    /// Asks about rooms that open.
    pub(super) fn ask(&mut self) {
        while !self.to_ask.is_empty() && self.asked.len() < ASKED_MAX {
            let rest = self.to_ask.split_off(self.to_ask.len().min(COMPARED_MAX));
            let mut names = std::mem::replace(&mut self.to_ask, rest);
            names.sort_unstable();
            names.dedup();
            let number = self.number();
            let mut known = Vec::with_capacity(names.len());
            for name in names {
                let Some(room) = self.rooms.get(&name).filter(|room| !room.is_open()) else { continue };
                known.push((name, room.place()));
            }
            if !known.is_empty() {
                let rooms = known.iter().map(|(room, _)| room.clone()).collect();
                self.asked.insert(number, Asked { losses: self.losses, rooms });
                self.requests.push_back(Effect::Compare { number, rooms: known, quiet: None });
            }
        }
    }

    pub(super) fn rooms_compared(
        &mut self,
        asked: Asked,
        answer: Result<Comparison, Unanswered>,
        now_ms: u64,
    ) {
        let known_epoch = self.epoch;
        let comparison = match answer {
            // Something may have been missed since it was asked, or the process does not know that the lane has gone on.
            Ok(comparison) if asked.losses == self.losses && comparison.lane.epoch == known_epoch => {
                comparison
            }
            Ok(comparison) if comparison.lane.epoch > known_epoch && self.is_live() => {
                return self.lose(Gap::Epoch);
            }
            _ => {
                if self.is_live() {
                    self.to_ask.extend(asked.rooms);
                    self.retry_ms = now_ms + RETRY_MS;
                }
                return;
            }
        };
        if self.level_at.is_some_and(|level| level > comparison.lane) {
            // What has come to these rooms since may still be on its way, and the node says that it has everything.
            self.to_ask.extend(asked.rooms);
            return;
        }
        let differing: HashMap<usize, Option<Place>> = comparison.differing.iter().copied().collect();
        for (index, name) in asked.rooms.iter().enumerate() {
            let Some(room) = self.rooms.get_mut(name).filter(|room| !room.is_open() && room.subscribed)
            else {
                continue;
            };
            let place = differing.get(&index).copied().unwrap_or(room.place());
            let (standing, waiters) = room.opened(place, &comparison);
            self.waiting.push_back(Effect::Opened(name.clone(), standing));
            self.waiting.extend(waiters.into_iter().map(Effect::Done));
        }
    }
}
