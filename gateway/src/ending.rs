//! Ending connections on our part: one, or all of them because the node leaves. The client is told why first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use turnpike_cluster::{Incarnation, Node};
use turnpike_engine::{Close, Departure, SocketRef};
use turnpike_wire::Disconnect;
use turnpike_wire::event::server::Closing;

use crate::app::App;

/// Until routers and proxies know that nobody is taken in here.
const NOTICE: Duration = Duration::from_secs(1);
/// In which the clients of one wave come back.
const RETURN_WITHIN: Duration = Duration::from_secs(1);
/// Those of a node that was taken for dead are closed all at once.
const RETURN_WITHIN_AT_ONCE: Duration = Duration::from_secs(2);
/// How many different times they are told.
const RETURNS: u32 = 16;
/// What was asked of a broker that cannot be reached is not waited for.
const ANSWERS_MAX: Duration = Duration::from_secs(2);

/// Whether the drain has begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draining(Arc<AtomicBool>);

impl Draining {
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tells one client why, and closes its connection.
pub(crate) fn dismiss(app: &App, socket: &SocketRef, why: Disconnect) {
    app.handle.close(socket, close(app, why));
}

pub(crate) fn close(app: &App, why: Disconnect) -> Close {
    Close::new(why.code(), why.slug(), why.comes_back()).farewell(app.outgoing.closing(&why.into()))
}

/// Takes nobody in any more, and sends everybody away over the window, at the pace at which the other nodes have places for
/// them. What they had asked for is answered first. Gives their number.
pub(crate) async fn drain(app: &App, window: Duration) -> usize {
    let (own, nodes) = (app.cluster.membership.own(), app.cluster.membership.nodes());
    let vacancies = Mutex::new(Vacancies::default());
    let pace = move |wanted| {
        let nodes = nodes.borrow().clone();
        vacancies.lock().unwrap_or_else(PoisonError::into_inner).take(reported(&nodes, own), wanted)
    };
    let departure = Departure {
        window,
        notice: NOTICE,
        closes: farewells(app, Disconnect::Drain, RETURN_WITHIN),
        answers_max: ANSWERS_MAX,
        pace: Some(Box::new(pace)),
    };
    app.handle.depart(departure).await
}

/// The same, at once.
pub(crate) async fn abandon(app: &App) -> usize {
    let closes = farewells(app, Disconnect::NodeLost, RETURN_WITHIN_AT_ONCE);
    let departure = Departure {
        window: Duration::ZERO,
        notice: Duration::ZERO,
        closes,
        answers_max: Duration::ZERO,
        pace: None,
    };
    app.handle.depart(departure).await
}

/// For a crowd that is told in turn: they do not all come back in the same moment.
fn farewells(app: &App, why: Disconnect, within: Duration) -> Vec<Close> {
    let farewell = |number: u32| {
        let after = within * number / RETURNS;
        let closing = Closing { reconnect_after_ms: Some(after.as_millis() as u64), ..why.into() };
        Close::new(why.code(), why.slug(), why.comes_back()).farewell(app.outgoing.closing(&closing))
    };
    (0..RETURNS).map(farewell).collect()
}

/// Places that the other nodes together say they have. None: nobody says anything.
fn reported(nodes: &[Node], own: Incarnation) -> Option<usize> {
    let others = nodes.iter().filter(|node| node.incarnation != own && !node.draining);
    others.filter_map(|node| node.places).map(|places| places as usize).reduce(usize::saturating_add)
}

/// What was taken of the places that others report. They count who has come, but say so late: until they report something
/// else, those who were sent count as on their way.
#[derive(Debug, Default)]
struct Vacancies {
    reported: usize,
    taken: usize,
}

impl Vacancies {
    /// How many of so many may go.
    fn take(&mut self, reported: Option<usize>, wanted: usize) -> usize {
        // Nobody to be considered: it is the only node, or the others do not say.
        let Some(reported) = reported else { return wanted };
        if reported != self.reported {
            *self = Self { reported, taken: 0 };
        }
        let granted = wanted.min(self.reported - self.taken.min(self.reported));
        self.taken += granted;
        granted
    }
}

/// In what steps a node says how many places it has, as parts of all it has: nobody acts on less.
const VACANCY_STEPS: u32 = 16;

/// What is told to the others of so many places, so that it is not told anew with each client.
pub(crate) fn vacancy(places: usize, connections_max: usize) -> u32 {
    let step = (u32::try_from(connections_max).unwrap_or(u32::MAX) / VACANCY_STEPS).max(1);
    u32::try_from(places).unwrap_or(u32::MAX) / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_go_as_the_others_have_places_for() {
        let mut vacancies = Vacancies::default();
        assert_eq!(vacancies.take(None, 50), 50, "alone");
        assert_eq!([30, 30, 30].map(|wanted| vacancies.take(Some(70), wanted)), [30, 30, 10]);
        assert_eq!(vacancies.take(Some(70), 5), 0, "until they say more");
        assert_eq!(vacancies.take(Some(75), 50), 50);
        assert_eq!(vacancies.take(Some(0), 50), 0);
    }

    #[test]
    fn places_are_told_in_steps_and_never_more_than_there_are() {
        for (places, of, told) in [(9_000, 9_000, 8_992), (8_993, 9_000, 8_992), (561, 9_000, 0), (3, 10, 3)]
        {
            assert_eq!(vacancy(places, of), told);
        }
        assert_eq!(vacancy(usize::MAX, usize::MAX), u32::MAX / 268_435_455 * 268_435_455);
    }
}
