//! A connection's place while it is agreed on: counted from before the answer to its request until it is there, or until
//! its client has gone. So no shard promises more than it has.

use std::cell::Cell;
use std::rc::Rc;

pub(crate) struct Place(Rc<Cell<usize>>);

impl Place {
    pub(super) fn take(places: &Rc<Cell<usize>>) -> Self {
        places.set(places.get() + 1);
        Self(Rc::clone(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
