//! Rooms of several nodes over one store, with users that come, go, break, return elsewhere and hide, writes that fail and
//! changes that get lost. What the clients are told is checked against what is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use turnpike_cluster::Row;
use turnpike_wire::presence::{Activity, Status};

use super::super::announcer::EVERY_MS;
use super::*;

const NODES: u64 = 3;
const TICK_MS: u64 = 50;
/// From the death of a node until all others know.
const NOTICED_MS: u64 = 4_000;
const UNDER_WAY_MS: u64 = 20;

type Socket = u32;

struct Store {
    version: u64,
    rows: BTreeMap<(Incarnation, RowKey), Row>,
    dead: HashSet<Incarnation>,
}

struct Node {
    incarnation: Incarnation,
    room: Room<Socket>,
    /// What is on its way to it.
    bus: VecDeque<(u64, PresenceDelta)>,
    /// What it has asked for and has not been answered yet.
    reads: Option<u64>,
    group: BTreeSet<Socket>,
    version: Option<u64>,
}

/// A connection, and what its user sees.
struct Client {
    user: UserId,
    node: u64,
    visible: bool,
    has_hidden: bool,
    /// Some once it has been shown the room.
    sees: Option<BTreeMap<UserId, Status>>,
    /// Does not know everybody, and would ask.
    partial: bool,
    log: Vec<(u64, Changes)>,
}

struct World {
    now_ms: u64,
    store: Store,
    nodes: BTreeMap<u64, Node>,
    clients: BTreeMap<Socket, Client>,
    next_incarnation: u64,
    /// Nodes that have died, and when the others know.
    dying: Vec<(u64, Incarnation)>,
    dead: HashSet<Incarnation>,
    lose: u8,
    fail: u8,
    /// From a change's being written until other nodes hear it, and until a reading is answered.
    under_way_ms: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Join {
        socket: Socket,
        user: u8,
        node: u64,
        status: u8,
    },
    Leave(Socket),
    Break(Socket),
    /// Breaks, and comes back on another connection to some node.
    Return {
        socket: Socket,
        to: Socket,
        node: u64,
        after_ms: u64,
    },
    Update {
        socket: Socket,
        status: u8,
        does: u8,
    },
    Wait(u64),
    Lose(u8),
    FailWrites(u8),
    Crash(u64),
}

fn status(number: u8) -> Status {
    [Status::Online, Status::Busy, Status::Away, Status::Invisible][usize::from(number % 4)]
}

fn user(number: u8) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

impl World {
    fn new() -> Self {
        let store = Store { version: 0, rows: BTreeMap::new(), dead: HashSet::new() };
        let mut world = Self {
            now_ms: 10_000,
            store,
            nodes: BTreeMap::new(),
            clients: BTreeMap::new(),
            next_incarnation: 1,
            dying: Vec::new(),
            dead: HashSet::new(),
            lose: 0,
            fail: 0,
            under_way_ms: UNDER_WAY_MS,
        };
        for node in 0..NODES {
            world.start(node);
        }
        world
    }

    fn start(&mut self, node: u64) {
        let incarnation = Incarnation(self.next_incarnation);
        self.next_incarnation += 1;
        let node_state = Node {
            incarnation,
            room: Room::new(false),
            bus: VecDeque::new(),
            reads: None,
            group: BTreeSet::new(),
            version: None,
        };
        self.nodes.insert(node, node_state);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join { socket, user: number, node, status: shown } => {
                self.leave(socket, false);
                self.join(socket, &user(number), node, status(shown));
            }
            Step::Leave(socket) => self.leave(socket, false),
            Step::Break(socket) => self.leave(socket, true),
            Step::Return { socket, to, node, after_ms } => {
                let Some(client) = self.clients.get(&socket) else { return };
                let user = client.user.clone();
                let look = self.nodes[&client.node].room.own.look(&user, &socket).cloned();
                self.leave(socket, true);
                self.run(after_ms);
                self.leave(to, false);
                self.join(to, &user, node, look.unwrap_or_default().status);
            }
            Step::Update { socket, status: shown, does } => {
                let Some(client) = self.clients.get_mut(&socket) else { return };
                let activity = (does > 0).then(|| Activity::parse(&format!(r#"{{"n":{does}}}"#)).unwrap());
                let look = Look { status: status(shown), activity };
                client.visible = look.is_visible();
                client.has_hidden |= !client.visible;
                let key = RowKey { user: client.user.clone(), device: socket.to_string().into() };
                let node = self.nodes.get_mut(&client.node).unwrap();
                node.room.enter(socket, &key, &look, self.now_ms);
            }
            Step::Wait(wait_ms) => self.run(wait_ms),
            Step::Lose(count) => self.lose = count,
            Step::FailWrites(count) => self.fail = count,
            Step::Crash(node) => {
                let incarnation = self.nodes[&node].incarnation;
                self.clients.retain(|_, client| client.node != node);
                self.dying.push((self.now_ms + NOTICED_MS, incarnation));
                self.start(node);
            }
        }
    }

    fn join(&mut self, socket: Socket, user: &UserId, node: u64, status: Status) {
        let key = RowKey { user: user.clone(), device: socket.to_string().into() };
        let look = Look { status, activity: None };
        let state = self.nodes.get_mut(&node).unwrap();
        let mut effects = Vec::new();
        state.room.enter(socket, &key, &look, self.now_ms);
        state.room.watch(state.incarnation, self.now_ms, &mut effects);
        let client = Client {
            user: user.clone(),
            node,
            visible: look.is_visible(),
            has_hidden: !look.is_visible(),
            sees: None,
            partial: false,
            log: Vec::new(),
        };
        self.clients.insert(socket, client);
        self.carry_out(node, effects);
        self.show(node);
    }

    /// Those who wait for the room to be ready are shown it.
    fn show(&mut self, node: u64) {
        let state = self.nodes.get_mut(&node).unwrap();
        if !state.room.is_ready() {
            return;
        }
        let mut effects = Vec::new();
        for (socket, client) in &mut self.clients {
            if client.node == node && client.sees.is_none() {
                let shown = state.room.show(*socket, &client.user, 1_000, &mut effects).unwrap();
                assert_eq!(shown.count, shown.members.len());
                let sees = shown.members.into_iter().map(|member| (member.shown.user, member.shown.status));
                client.sees = Some(sees.collect());
            }
        }
        self.carry_out(node, effects);
    }

    fn leave(&mut self, socket: Socket, is_broken: bool) {
        let Some(client) = self.clients.remove(&socket) else { return };
        let state = self.nodes.get_mut(&client.node).unwrap();
        let mut effects = Vec::new();
        state.room.exit(socket, &client.user, is_broken, self.now_ms, &mut effects);
        // What the engine does of itself.
        state.group.remove(&socket);
        self.carry_out(client.node, effects);
    }

    fn run(&mut self, for_ms: u64) {
        let until_ms = self.now_ms + for_ms;
        while self.now_ms < until_ms {
            self.now_ms += 10;
            self.notice();
            for node in 0..NODES {
                self.hear(node);
                let state = self.nodes.get_mut(&node).unwrap();
                if self.now_ms.is_multiple_of(TICK_MS)
                    && state.room.due_ms().is_some_and(|due| due <= self.now_ms)
                {
                    let mut effects = Vec::new();
                    state.room.tick(self.now_ms, &mut effects);
                    self.carry_out(node, effects);
                }
            }
            (0..NODES).for_each(|node| self.hear(node));
        }
    }

    fn hear(&mut self, node: u64) {
        let state = self.nodes.get_mut(&node).unwrap();
        while state.bus.front().is_some_and(|(at, _)| *at <= self.now_ms) {
            let (_, delta) = state.bus.pop_front().unwrap();
            state.room.heard(&delta, &self.dead, self.now_ms);
        }
        if state.reads.is_some_and(|at| at <= self.now_ms) {
            state.reads = None;
            let rows = self.store.rows.iter();
            let rows = rows.map(|((incarnation, key), row)| (*incarnation, key.clone(), row.clone()));
            let read = Read { version: self.store.version, rows: rows.collect() };
            let read = if self.fail > 0 { Err(100) } else { Ok(read) };
            state.room.was_read(state.incarnation, read, &self.dead, self.now_ms);
            self.show(node);
        }
        let state = self.nodes.get_mut(&node).unwrap();
        let version = state.room.view.as_ref().and_then(|view| view.roster.version());
        // PR3, as long as the room is looked at.
        assert!(version.is_none() || version >= state.version, "{version:?} after {:?}", state.version);
        state.version = version.max(state.version);
    }

    /// Nodes that have been dead for long enough.
    fn notice(&mut self) {
        let (known, dying) = self.dying.iter().partition(|(at, _)| *at <= self.now_ms);
        self.dying = dying;
        let known: Vec<(u64, Incarnation)> = known;
        for (_, incarnation) in known {
            self.dead.insert(incarnation);
            for node in self.nodes.values_mut() {
                node.room.dead(incarnation, self.now_ms);
            }
            self.store.dead.insert(incarnation);
            self.store.rows.retain(|(other, _), _| *other != incarnation);
            self.publish(PresenceDelta { incarnation, version: None, gone: true, rows: Vec::new() });
        }
    }

    fn publish(&mut self, mut delta: PresenceDelta) {
        self.store.version += 1;
        delta.version = Some(self.store.version);
        if self.lose > 0 {
            self.lose -= 1;
            return;
        }
        for node in self.nodes.values_mut() {
            node.bus.push_back((self.now_ms + self.under_way_ms, delta.clone()));
        }
    }

    fn carry_out(&mut self, node: u64, effects: Vec<Effect<Socket>>) {
        for effect in effects {
            let now_ms = self.now_ms;
            let state = self.nodes.get_mut(&node).unwrap();
            match effect {
                Effect::Tell(changes) => {
                    for socket in state.group.clone() {
                        self.told(socket, &changes);
                    }
                }
                Effect::TellOne(socket, changes) => self.told(socket, &changes),
                Effect::Admit(socket) => assert!(state.group.insert(socket), "was there already"),
                Effect::Dismiss(socket) => drop(state.group.remove(&socket)),
                Effect::Write(changes) => self.write(node, changes),
                Effect::Read => assert!(state.reads.replace(now_ms + self.under_way_ms).is_none()),
            }
        }
        if self.nodes[&node].reads == Some(self.now_ms) {
            self.hear(node);
        }
    }

    fn write(&mut self, node: u64, changes: Vec<Change>) {
        let incarnation = self.nodes[&node].incarnation;
        let fails = self.fail > 0;
        self.fail = self.fail.saturating_sub(1);
        // Every other failure has had its effect.
        if !fails || self.fail.is_multiple_of(2) {
            let mut rows = Vec::new();
            for Change { key, row } in changes {
                assert!(row.as_ref().is_none_or(|row| Look::of(row).is_visible()), "nobody need know of it");
                match &row {
                    Some(row) => drop(self.store.rows.insert((incarnation, key.clone()), row.clone())),
                    None => drop(self.store.rows.remove(&(incarnation, key.clone()))),
                }
                rows.push((key, row));
            }
            self.publish(PresenceDelta { incarnation, version: None, gone: false, rows });
        }
        let result = if fails { Err(100) } else { Ok(()) };
        self.nodes.get_mut(&node).unwrap().room.written(result, self.now_ms);
    }

    /// PR4: who joins was not there, who leaves was.
    fn told(&mut self, socket: Socket, changes: &Changes) {
        let client = self.clients.get_mut(&socket).unwrap();
        let last = client.log.last().filter(|_| !client.has_hidden);
        assert!(last.is_none_or(|(at, _)| self.now_ms >= at + EVERY_MS), "one event a second");
        client.log.push((self.now_ms, changes.clone()));
        let sees = client.sees.as_mut().expect("who is told has been shown the room");
        let own = &client.user;
        client.partial |= changes.partial;
        let strict = |user: &UserId| !client.partial && user != own;
        for shown in &changes.joined {
            let before = sees.insert(shown.user.clone(), shown.status);
            assert!(before.is_none() || !strict(&shown.user), "{socket}: {} joined twice", shown.user);
        }
        for user in &changes.left {
            assert!(sees.remove(user).is_some() || !strict(user), "{socket}: {user} left and was not there");
        }
        for shown in &changes.changed {
            let before = sees.insert(shown.user.clone(), shown.status);
            assert!(before.is_some() || !strict(&shown.user), "{socket}: {} was not there", shown.user);
        }
        assert!(client.partial || changes.count == sees.len(), "{socket}: {changes:?} {sees:?}");
    }

    fn there(&self) -> BTreeMap<UserId, Status> {
        let mut there: BTreeMap<UserId, Status> = BTreeMap::new();
        for (socket, client) in &self.clients {
            let look = self.nodes[&client.node].room.own.look(&client.user, socket).unwrap();
            if look.is_visible() {
                let best = there.entry(client.user.clone()).or_insert(look.status);
                *best = (*best).min(look.status);
            }
        }
        there
    }

    /// PR5: at rest everybody sees those who are connected, and the store has their rows. PR6: nobody else's.
    fn rest(&mut self) {
        (self.lose, self.fail) = (0, 0);
        // The store tells of versions that were missed.
        self.publish(PresenceDelta {
            incarnation: Incarnation(0),
            version: None,
            gone: false,
            rows: Vec::new(),
        });
        self.run(20_000);
        let there = self.there();
        for (socket, client) in &self.clients {
            let sees = client.sees.as_ref().expect("the room could be read");
            assert!(client.partial || *sees == there, "{socket} sees {sees:?}, there are {there:?}");
            let page = self.nodes[&client.node].room.page(socket, &client.user, None, 1_000).unwrap();
            let listed: BTreeMap<_, _> =
                page.members.into_iter().map(|member| (member.shown.user, member.shown.status)).collect();
            assert_eq!(listed, there, "{socket}");
        }
        let stored: BTreeSet<&UserId> = self.store.rows.keys().map(|(_, key)| &key.user).collect();
        assert_eq!(stored, there.keys().collect());
        let living: BTreeSet<Incarnation> = self.nodes.values().map(|node| node.incarnation).collect();
        assert!(self.store.rows.keys().all(|(incarnation, _)| living.contains(incarnation)));
        for node in self.nodes.values() {
            let watched =
                self.clients.values().any(|client| self.nodes[&client.node].incarnation == node.incarnation);
            assert!(watched || node.room.is_empty(), "an empty room is forgotten");
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_u32, 0..4_u8, 0..NODES, 0..5_u8)
            .prop_map(|(socket, user, node, status)| Step::Join { socket, user, node, status: status % 4 }),
        2 => (0..8_u32).prop_map(Step::Leave),
        2 => (0..8_u32).prop_map(Step::Break),
        2 => (0..8_u32, 0..8_u32, 0..NODES, 0..6_000_u64)
            .prop_map(|(socket, to, node, after_ms)| Step::Return { socket, to, node, after_ms }),
        3 => (0..8_u32, 0..4_u8, 0..3_u8).prop_map(|(socket, status, does)| Step::Update { socket, status, does }),
        6 => prop_oneof![0..100_u64, 0..2_000_u64].prop_map(Step::Wait),
        1 => (1..3_u8).prop_map(Step::Lose),
        1 => (1..4_u8).prop_map(Step::FailWrites),
        1 => (0..NODES).prop_map(Step::Crash),
    ]
}

proptest! {
    #[test]
    fn pr3_pr4_pr5_pr6_everybody_sees_who_is_there(steps in proptest::collection::vec(step(), 1..50)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.rest();
    }

    /// What others are told, and when, is the same whether somebody who cannot be seen is there or not. (Who comes into a
    /// room themselves may be told up to a tick sooner if somebody hears of it already.)
    #[test]
    fn nobody_notices_who_cannot_be_seen(
        joins in proptest::collection::vec((0..8_u32, 0..4_u8, 0..NODES, 0..3_u8), 1..10),
        steps in proptest::collection::vec((step(), any::<bool>()), 1..40),
    ) {
        let run = |with_hidden: bool| {
            let mut world = World::new();
            for (socket, user, node, status) in &joins {
                world.step(&Step::Join { socket: *socket, user: *user, node: *node, status: *status });
            }
            world.run(3_000);
            for (step, hidden) in &steps {
                match step {
                    // Sockets from 100 on are theirs who cannot be seen.
                    Step::Join { socket, user, node, .. } if with_hidden => {
                        world.step(&Step::Join { socket: socket + 100, user: user + 100, node: *node, status: 3 });
                    }
                    Step::Update { socket, does, .. } if with_hidden && *hidden => {
                        world.step(&Step::Update { socket: socket + 100, status: 3, does: *does });
                    }
                    Step::Leave(socket) if with_hidden && *hidden => world.step(&Step::Leave(socket + 100)),
                    Step::Break(socket) if with_hidden && *hidden => world.step(&Step::Break(socket + 100)),
                    Step::Update { .. } | Step::Leave(_) | Step::Break(_) if !hidden => world.step(step),
                    Step::Wait(_) => world.step(step),
                    _ => {}
                }
            }
            world.run(10_000);
            let seen = world.clients.into_iter().filter(|(socket, client)| *socket < 100 && client.visible);
            seen.map(|(socket, client)| (socket, client.sees, client.log)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(true), run(false));
    }
}

fn join(socket: Socket, user: u8, node: u64) -> Step {
    Step::Join { socket, user, node, status: 0 }
}

fn sees(world: &World, socket: Socket, number: u8) -> bool {
    world.clients[&socket].sees.as_ref().unwrap().contains_key(&user(number))
}

#[test]
fn pr1_no_ghost_beyond_eight_seconds_after_a_crash() {
    let mut world = World::new();
    for step in [join(1, 1, 0), join(2, 2, 1), Step::Wait(1_990)] {
        world.step(&step);
    }
    assert!(sees(&world, 1, 2));
    world.step(&Step::Crash(1));
    // In a room in which something happens all the time as well.
    for socket in 10..26 {
        world.step(&join(socket, socket as u8, 0));
        world.step(&Step::Wait(500));
    }
    assert!(!sees(&world, 1, 2));
}

#[test]
fn a_clean_leave_is_visible_within_200_ms() {
    let mut world = World::new();
    for step in [join(1, 1, 0), join(2, 2, 1), Step::Wait(3_000), Step::Leave(2)] {
        world.step(&step);
    }
    world.step(&Step::Wait(200));
    assert!(!sees(&world, 1, 2));
}

#[test]
fn pr7_a_return_elsewhere_within_the_grace_makes_no_event() {
    for (from, to) in [(1, 1), (1, 2), (0, 1), (1, 0)] {
        for is_crash in [false, true] {
            let mut world = World::new();
            for step in [join(1, 1, 0), join(2, 2, from), Step::Wait(3_000)] {
                world.step(&step);
            }
            if is_crash && from == 0 {
                continue;
            }
            let told = world.clients[&1].log.len();
            if is_crash {
                world.step(&Step::Crash(from));
                world.step(&Step::Wait(3_900));
                world.step(&join(3, 2, to));
            } else {
                world.step(&Step::Return { socket: 2, to: 3, node: to, after_ms: 3_900 });
            }
            world.step(&Step::Wait(15_000));
            assert_eq!(world.clients[&1].log.len(), told, "{from} {to} {is_crash}");
            assert!(sees(&world, 1, 2));
            world.rest();
        }
    }
}

#[test]
fn who_comes_back_is_told_to_ask_again() {
    let mut world = World::new();
    for step in [join(1, 1, 0), Step::Wait(3_000)] {
        world.step(&step);
    }
    let node = world.nodes.get_mut(&1).unwrap();
    let key = RowKey { user: user(2), device: "2".into() };
    let mut effects = Vec::new();
    node.room.enter(2, &key, &Look::default(), world.now_ms);
    node.room.watch(node.incarnation, world.now_ms, &mut effects);
    node.room.come_back(2, &user(2), world.now_ms);
    let client = Client {
        user: user(2),
        node: 1,
        visible: true,
        has_hidden: false,
        sees: Some(BTreeMap::new()),
        partial: false,
        log: Vec::new(),
    };
    world.clients.insert(2, client);
    world.carry_out(1, effects);
    world.step(&Step::Wait(500));
    let (_, told) = &world.clients[&2].log[0];
    assert_eq!((told.count, told.partial), (2, true));
    world.step(&join(3, 3, 0));
    world.step(&Step::Wait(2_000));
    assert!(sees(&world, 2, 3), "from then on it hears what all hear");
}

#[test]
fn who_asks_to_be_shown_the_room_again_is_a_newcomer_again() {
    let mut world = World::new();
    for step in [join(1, 1, 0), Step::Wait(3_000), join(2, 2, 0)] {
        world.step(&step);
    }
    let node = world.nodes.get_mut(&0).unwrap();
    assert!(node.group.contains(&1));
    let mut effects = Vec::new();
    let shown = node.room.show(1, &user(1), 100, &mut effects).unwrap();
    assert_eq!(shown.count, 2, "she has seen what all others are about to be told");
    assert_eq!(effects, [Effect::Dismiss(1)]);
    world.carry_out(0, effects);
    let sees = shown.members.into_iter().map(|member| (member.shown.user, member.shown.status)).collect();
    world.clients.get_mut(&1).unwrap().sees = Some(sees);
    world.rest();
}

#[test]
fn what_the_store_has_lost_is_written_again_when_the_room_is_read() {
    let mut world = World::new();
    for step in [join(1, 1, 0), join(2, 2, 1), Step::Wait(3_000)] {
        world.step(&step);
    }
    world.store.rows.clear();
    for node in world.nodes.values_mut() {
        if let Some(view) = &mut node.room.view {
            view.roster.doubt();
        }
    }
    world.rest();
}

#[test]
fn pages_go_on_where_the_last_ended() {
    let mut world = World::new();
    for number in 0..25 {
        world.step(&join(u32::from(number), number, u64::from(number) % NODES));
    }
    world.step(&Step::Wait(5_000));
    let room = &world.nodes[&0].room;
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = room.page(&0, &user(0), after.as_ref(), 10).unwrap();
        assert_eq!(page.count, 25);
        all.extend(page.members.into_iter().map(|member| member.shown.user));
        after = all.last().cloned();
        if !page.more {
            break;
        }
    }
    let mut expected: Vec<UserId> = (0..25).map(user).collect();
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(room.page(&0, &user(0), None, 0).map(|page| (page.count, page.more)), Some((25, true)));
}
