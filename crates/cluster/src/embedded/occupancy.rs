//! Which rooms somebody is in, when there is but one node for them to be on.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use turnpike_wire::RoomId;

use super::clock::unix_ms;
use crate::{Occupancy, Soon, Turn, Unavailable};

/// As many as have somebody in them, and those whose last turn is still owed.
pub(super) struct EmbeddedOccupancy {
    rooms: Mutex<Rooms>,
}

struct Rooms {
    by_name: HashMap<RoomId, (Turn, Debt)>,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Debt {
    Owed,
    Told,
}

impl EmbeddedOccupancy {
    pub(super) fn new() -> Self {
        // Higher than what an earlier process gave out: it had fewer than one change a millisecond.
        Self { rooms: Mutex::new(Rooms { by_name: HashMap::new(), number: unix_ms() }) }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, room: &RoomId, occupied: bool) -> Option<Turn> {
        let Rooms { by_name, number } = &mut *self.rooms();
        let known = by_name.get(room).copied();
        match known {
            Some((turn, debt)) if turn.occupied == occupied => (debt == Debt::Owed).then_some(turn),
            // Nobody was there, so nobody left.
            None if !occupied => None,
            _ => {
                *number += 1;
                let turn = Turn { occupied, number: *number };
                by_name.insert(room.clone(), (turn, Debt::Owed));
                Some(turn)
            }
        }
    }
}

impl Occupancy for EmbeddedOccupancy {
    fn is_shared(&self) -> bool {
        false
    }

    fn enter(&self, room: &RoomId) -> Soon<Result<Option<Turn>, Unavailable>> {
        Soon::Now(Ok(self.turn(room, true)))
    }

    fn leave(&self, room: &RoomId) -> Soon<Result<Option<Turn>, Unavailable>> {
        Soon::Now(Ok(self.turn(room, false)))
    }

    fn told(&self, room: &RoomId, turn: Turn) -> Soon<Result<(), Unavailable>> {
        let mut rooms = self.rooms();
        if let Some((last, debt)) = rooms.by_name.get_mut(room)
            && *last == turn
        {
            *debt = Debt::Told;
            if !turn.occupied {
                rooms.by_name.remove(room);
            }
        }
        Soon::Now(Ok(()))
    }

    fn take_over(&self) -> Soon<Result<Vec<(RoomId, Turn)>, Unavailable>> {
        Soon::Now(Ok(Vec::new()))
    }
}
