//! Which relay somebody is sent to who publishes a stream or watches it. For a stream that lives nowhere yet, everybody who
//! knows the same nodes finds the same relay, and none has more than its share while another has room.
//!
//! What relays say of their load is a little old. Whoever sends them somebody counts that until they will have said it
//! themselves, or all that come within that time would be sent to the same. Pure: the time is an argument.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Bound, Candidate, WEIGHT_MAX, place};
use crate::{Incarnation, Node, RelayOffer};

/// By then a relay has said how many are there: it looks every two seconds, and what it says is heard within one more.
const TOLD_AFTER: Duration = Duration::from_secs(4);

/// The more nodes there are, the less often each has its turn to say so.
const TOLD_AFTER_PER_NODE: Duration = Duration::from_millis(200);

/// More are sent somewhere within that time by nobody. The oldest are forgotten: the relay will say so soon.
const SENT_MAX: usize = 16_384;

/// A relay that has less to do than this is not spared: a link to another costs more than it would be worth.
const CALM_PERMILLE: u64 = 250;

/// Whom somebody asks for a relay, and how many it has sent where.
#[derive(Debug, Default)]
pub struct Relays {
    sent: VecDeque<(Instant, Incarnation)>,
    /// How many of `sent` each has.
    counts: HashMap<Incarnation, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Of a stream that is published nowhere.
    Publish,
    /// Of a stream that lives there.
    Watch { home: Incarnation },
}

impl Relays {
    /// Where a session of that stream belongs, of the relays that take anybody in and that `may` be chosen.
    ///
    /// Who publishes does so near by as long as that relay has not more than its share, and else where the stream belongs. Who
    /// watches is served near by, then at the stream's home as long as that has not clearly more to do than others, and
    /// else where others will be sent who watch the same: so few relays have to fetch it. `near` is the node of whoever asks.
    pub fn find<'n>(
        &mut self,
        stream: &str,
        side: Side,
        near: Option<Incarnation>,
        nodes: &'n [Node],
        may: impl Fn(&Node) -> bool,
        now: Instant,
    ) -> Option<&'n Node> {
        self.forget(nodes.len(), now);
        let open =
            |node: &&Node| !node.draining && offer(node).is_some_and(|offer| offer.has_room) && may(node);
        let open = nodes.iter().filter(open);
        let open: Vec<&Node> = match side {
            Side::Publish => open.collect(),
            Side::Watch { home } => {
                let gives = gives(nodes, home);
                let has_it = |node: &&Node| {
                    node.incarnation == home
                        || (gives && offer(node).is_some_and(|offer| offer.link.is_some()))
                };
                open.filter(has_it).collect()
            }
        };
        let candidates = self.candidates(&open);
        let at = |one: Incarnation| open.iter().position(|node| node.incarnation == one);
        let near = near.and_then(at);
        let found = match side {
            Side::Publish => near.filter(|near| is_within_bound(*near, &candidates)),
            Side::Watch { home } => near.or_else(|| {
                at(home).filter(|home| {
                    is_calm(open[*home], &candidates[*home]) || is_within_bound(*home, &candidates)
                })
            }),
        };
        found.or_else(|| place(stream, &candidates)).map(|index| open[index])
    }

    /// Somebody is sent there.
    pub fn sent(&mut self, relay: Incarnation, nodes: usize, now: Instant) {
        self.forget(nodes, now);
        self.sent.push_back((now, relay));
        *self.counts.entry(relay).or_default() += 1;
    }

    /// What relays have said themselves by now.
    fn forget(&mut self, nodes: usize, now: Instant) {
        let told = TOLD_AFTER + TOLD_AFTER_PER_NODE * u32::try_from(nodes).unwrap_or(u32::MAX);
        let is_told = |at: Instant| now.saturating_duration_since(at) >= told;
        while self.sent.len() >= SENT_MAX || self.sent.front().is_some_and(|(at, _)| is_told(*at)) {
            let Some((_, relay)) = self.sent.pop_front() else { return };
            let Some(count) = self.counts.get_mut(&relay) else { continue };
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&relay);
            }
        }
    }

    fn candidates<'n>(&self, open: &[&'n Node]) -> Vec<Candidate<'n>> {
        let sent = |node: &Node| self.counts.get(&node.incarnation).copied().unwrap_or_default();
        let smallest = open.iter().filter_map(|node| offer(node)).map(|offer| offer.sessions_max).min();
        let candidate = |node: &&'n Node| {
            let (load, weight) = match (offer(node), smallest) {
                (Some(offer), Some(smallest @ 1..)) => {
                    (offer.sessions.into(), (offer.sessions_max / smallest).clamp(1, WEIGHT_MAX))
                }
                // One of them does not count what all of them count.
                (offer, _) => (offer.map_or(0, |offer| offer.load_permille.into()), 1),
            };
            Candidate { name: &node.name, weight, load: sent(node).saturating_add(load) }
        };
        open.iter().map(candidate).collect()
    }
}

fn offer(node: &Node) -> Option<&RelayOffer> {
    node.relay.as_ref()
}

/// Whether others can have it from there. Of a home that has just gone another will be there soon.
fn gives(nodes: &[Node], home: Incarnation) -> bool {
    let found = nodes.iter().find(|node| node.incarnation == home);
    found.is_none_or(|node| offer(node).is_some_and(|offer| offer.link.is_some()))
}

fn is_calm(node: &Node, candidate: &Candidate<'_>) -> bool {
    let Some(offer) = offer(node) else { return false };
    let permille = match offer.sessions_max {
        0 => offer.load_permille.into(),
        max => candidate.load.saturating_mul(1_000) / u64::from(max),
    };
    permille < CALM_PERMILLE
}

/// Of all candidates, that one: what it carries against what is its share.
fn is_within_bound(index: usize, candidates: &[Candidate<'_>]) -> bool {
    Bound::of(candidates).has_room(&candidates[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Incarnation = Incarnation(2);

    fn node(number: u64, sessions: u32) -> Node {
        let relay = RelayOffer {
            link: Some("192.0.2.1:3030".parse().unwrap()),
            load_permille: 0,
            sessions,
            sessions_max: 1_000,
            has_room: sessions < 950,
            ..RelayOffer::default()
        };
        Node {
            incarnation: Incarnation(number),
            name: format!("relay-{number}"),
            address: None,
            version: String::new(),
            draining: false,
            places: None,
            relay: Some(relay),
        }
    }

    fn changed(mut node: Node, change: impl FnOnce(&mut RelayOffer)) -> Node {
        change(node.relay.as_mut().unwrap());
        node
    }

    fn home_of(relays: &mut Relays, stream: &str, nodes: &[Node], now: Instant) -> usize {
        let found = relays.find(stream, Side::Publish, None, nodes, |_| true, now).unwrap();
        nodes.iter().position(|node| node.incarnation == found.incarnation).unwrap()
    }

    /// Publishes through several who know nothing of each other, while relays say how many they have every so often.
    fn published(askers: usize, streams: usize, per_second: u64, told_every: u64) -> Vec<u32> {
        let mut nodes: Vec<Node> = (1..=3).map(|number| node(number, 0)).collect();
        let mut askers: Vec<Relays> = (0..askers).map(|_| Relays::default()).collect();
        let (begun, mut loads, mut told_ms) = (Instant::now(), vec![0; 3], 0);
        for number in 0..streams {
            let now_ms = number as u64 * 1_000 / per_second;
            if now_ms >= told_ms + told_every {
                told_ms = now_ms;
                for (node, load) in nodes.iter_mut().zip(&loads) {
                    node.relay.as_mut().unwrap().sessions = *load;
                }
            }
            let now = begun + Duration::from_millis(now_ms);
            let index = number % askers.len();
            let asker = &mut askers[index];
            let home = home_of(asker, &format!("live:{number}"), &nodes, now);
            asker.sent(nodes[home].incarnation, nodes.len(), now);
            loads[home] += 1;
        }
        loads
    }

    #[test]
    fn of_sixty_streams_none_of_three_relays_has_more_than_its_share() {
        for per_second in [1, 20, 1_000] {
            let loads = published(1, 60, per_second, 2_000);
            assert!(loads.iter().all(|load| *load <= 25), "{per_second} a second: {loads:?}");
        }
    }

    #[test]
    fn several_who_know_nothing_of_each_other_stay_close_to_it() {
        for per_second in [5, 50, 1_000] {
            let loads = published(4, 600, per_second, 2_000);
            assert!(loads.iter().all(|load| *load <= 252), "{per_second} a second: {loads:?}");
        }
    }

    #[test]
    fn a_publisher_is_near_until_that_has_its_share() {
        let nodes: Vec<Node> = (1..=3).map(|number| node(number, 0)).collect();
        let (mut relays, now, mut loads) = (Relays::default(), Instant::now(), [0; 3]);
        for number in 0..60 {
            let stream = format!("live:{number}");
            let found = relays.find(&stream, Side::Publish, Some(HOME), &nodes, |_| true, now).unwrap();
            assert!(number > 0 || found.incarnation == HOME, "of equal ones the one that is near");
            relays.sent(found.incarnation, nodes.len(), now);
            loads[found.incarnation.0 as usize - 1] += 1;
        }
        assert!(loads.iter().all(|load| *load <= 25) && loads[1] >= 20, "{loads:?}");
    }

    #[test]
    fn everybody_who_knows_the_same_finds_the_same() {
        let nodes: Vec<Node> = (1..=5).map(|number| node(number, 10)).collect();
        let mut turned = nodes.clone();
        turned.rotate_left(2);
        for number in 0..100 {
            let stream = format!("live:{number}");
            let now = Instant::now();
            let one = home_of(&mut Relays::default(), &stream, &nodes, now);
            let other = home_of(&mut Relays::default(), &stream, &turned, now);
            assert_eq!(nodes[one].name, turned[other].name);
        }
    }

    #[test]
    fn what_a_relay_has_said_itself_is_not_counted_twice() {
        let nodes = [node(1, 0), node(2, 0)];
        let (mut relays, begun) = (Relays::default(), Instant::now());
        for _ in 0..SENT_MAX + 10 {
            relays.sent(HOME, nodes.len(), begun);
        }
        assert_eq!((relays.sent.len(), relays.counts[&HOME]), (SENT_MAX, SENT_MAX as u64));
        assert_eq!(
            home_of(&mut relays, "live:a", &nodes, begun),
            0,
            "who was just sent so many gets no more"
        );
        let later = begun + TOLD_AFTER + 2 * TOLD_AFTER_PER_NODE;
        home_of(&mut relays, "live:a", &nodes, later);
        assert!(relays.sent.is_empty() && relays.counts.is_empty());
    }

    #[test]
    fn larger_ones_get_more() {
        let nodes = [node(1, 0), changed(node(2, 0), |offer| offer.sessions_max = 3_000)];
        let (mut relays, now) = (Relays::default(), Instant::now());
        let mut counts = [0; 2];
        for number in 0..400 {
            let home = home_of(&mut relays, &format!("live:{number}"), &nodes, now);
            relays.sent(nodes[home].incarnation, nodes.len(), now);
            counts[home] += 1;
        }
        assert!((275..=325).contains(&counts[1]), "{counts:?}");
    }

    fn watched(nodes: &[Node], near: u64) -> Option<u64> {
        let (near, side) = (Some(Incarnation(near)), Side::Watch { home: HOME });
        let found = Relays::default().find("live:a", side, near, nodes, |_| true, Instant::now());
        found.map(|node| node.incarnation.0)
    }

    #[test]
    fn a_viewer_is_near_then_at_home_then_where_others_watch_it_too() {
        let full = |number| node(number, 1_000);
        assert_eq!(watched(&[node(1, 900), node(2, 10), node(3, 0)], 1), Some(1), "near");
        assert_eq!(watched(&[full(1), node(2, 200), node(3, 0)], 1), Some(2), "at home, while that is calm");
        assert_eq!(
            watched(&[full(1), node(2, 600), node(3, 500)], 1),
            Some(2),
            "and while others have as much"
        );
        assert_eq!(
            watched(&[full(1), node(2, 900), node(3, 0)], 1),
            Some(3),
            "but not when they have clearly less"
        );
        assert_eq!(watched(&[full(1), full(2), node(3, 900)], 1), Some(3));
        assert_eq!(watched(&[full(1), full(2)], 1), None);
        assert_eq!(watched(&[full(1), node(3, 0)], 1), Some(3), "another home will be found");
        let unlinked = |number, sessions| changed(node(number, sessions), |offer| offer.link = None);
        assert_eq!(
            watched(&[unlinked(1, 0), node(2, 900), full(3)], 1),
            Some(2),
            "near cannot get the stream"
        );
        assert_eq!(
            watched(&[node(1, 0), unlinked(2, 900), node(3, 0)], 1),
            Some(2),
            "nobody gets it from there"
        );
        let leaving = Node { draining: true, ..node(2, 10) };
        assert_eq!(watched(&[full(1), leaving, node(3, 0)], 1), Some(3));
        // All who are sent away from a home are sent to the same, as long as that has room.
        let nodes = [node(2, 900), node(3, 100), node(4, 100), node(5, 100)];
        let first = watched(&nodes, 9).unwrap();
        assert!((0..10).all(|_| watched(&nodes, 9) == Some(first)));
    }

    #[test]
    fn where_somebody_does_not_count_shares_are_of_what_they_can_do() {
        let old = |number, permille| {
            changed(node(number, 0), |offer| (offer.sessions_max, offer.load_permille) = (0, permille))
        };
        for number in 0..20 {
            let nodes = [old(1, 900), node(2, 900), old(3, 100)];
            let home = home_of(&mut Relays::default(), &format!("live:{number}"), &nodes, Instant::now());
            assert_ne!(home, 0, "it has far more to do than the others");
        }
    }

    #[test]
    fn who_may_not_be_chosen_is_not() {
        let nodes = [node(1, 0), node(2, 0)];
        let found = |may: fn(&Node) -> bool| {
            Relays::default().find("live:a", Side::Publish, None, &nodes, may, Instant::now()).is_some()
        };
        assert!(found(|node| node.incarnation == HOME) && !found(|_| false));
    }
}
