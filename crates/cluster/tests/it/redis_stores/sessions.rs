//! Session records: one winner, and their end.

use std::time::Duration;

use futures_util::future::join_all;
use turnpike_cluster::{
    Base, BaseId, Control, LANES, LanePosition, RoomRecord, SessionId, SessionRecord, Taken,
};

use super::stage::{Node, config, node, nodes, room, until, user};

fn record(name: &str) -> SessionRecord {
    let joined = LanePosition { epoch: 1_790_000_000_000, pos: 12_345 };
    let rooms = ["chat:a", "chat:b"].map(|name| RoomRecord { room: room(name), joined, presence: true });
    SessionRecord { user: user(name), identity: r#"{"name":"A"}"#.into(), rooms: rooms.to_vec() }
}

fn id(number: usize) -> SessionId {
    format!("node.session-{number}").into()
}

async fn put(node: &Node, id: &SessionId, record: &SessionRecord) -> bool {
    node.plane.sessions.put(id, record).wait().await.unwrap()
}

async fn take(node: &Node, id: &SessionId) -> Option<Taken> {
    node.plane.sessions.take(id).wait().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_who_take_it_one_wins() {
    let nodes = nodes(10).await;
    let first = nodes[0].own();
    assert!(put(&nodes[0], &id(1), &record("alice")).await);
    let takes = (0..100).map(|number| {
        let node = &nodes[1 + number % 9];
        async move { (node.own(), take(node, &id(1)).await.expect("it is there")) }
    });
    let taken = join_all(takes).await;
    assert_eq!(taken.iter().filter(|(_, taken)| taken.from == first).count(), 1);
    assert!(taken.iter().all(|(_, taken)| taken.record == record("alice")));
    // It is one's alone in the end.
    let mut owners = Vec::new();
    for node in &nodes {
        if put(node, &id(1), &record("alice")).await {
            owners.push(node.own());
        }
    }
    assert_eq!(owners.len(), 1, "{owners:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lost_it_is_told_and_changes_nothing_more() {
    let nodes = nodes(2).await;
    assert!(put(&nodes[0], &id(1), &record("alice")).await);
    // The nodes must know each other, or nobody is told.
    until("two nodes", async || (nodes[1].plane.membership.nodes().borrow().len() == 2).then_some(())).await;
    assert_eq!(take(&nodes[1], &id(1)).await.unwrap().from, nodes[0].own());
    let expected = Control::Taken { session: id(1) };
    until("word of it", async || nodes[0].heard.controls.lock().unwrap().contains(&expected).then_some(()))
        .await;
    assert!(!put(&nodes[0], &id(1), &record("mallory")).await);
    nodes[0].plane.sessions.remove(&id(1)).wait().await.unwrap();
    assert_eq!(take(&nodes[1], &id(1)).await.unwrap().record, record("alice"));
    nodes[1].plane.sessions.remove(&id(1)).wait().await.unwrap();
    assert_eq!(take(&nodes[1], &id(1)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_dead_node_wait_for_the_window_and_then_go() {
    let prefix = turnpike_lab::unique_prefix();
    let window = Duration::from_secs(3);
    let mut config = config(turnpike_lab::shared().seeds(), &prefix);
    config.recovery_window = window;
    let (living, dead) = (node(config.clone()).await, node(config).await);
    for number in 0..300 {
        assert!(put(&dead, &id(number), &record("alice")).await);
    }
    assert!(put(&living, &id(1_000), &record("bob")).await);
    let gone = dead.own();
    drop(dead);
    let taken = take(&living, &id(7)).await.expect("it outlives its node");
    assert_eq!(taken.from, gone);
    let dead_ones = || records(&prefix, &gone.to_string());
    until("the dead node's sessions to go", async || (dead_ones() == 0).then_some(())).await;
    // Those that somebody else had by then stay.
    assert!(take(&living, &id(7)).await.is_some());
    assert!(take(&living, &id(1_000)).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_writes_late_goes_as_well() {
    let prefix = turnpike_lab::unique_prefix();
    let mut config = config(turnpike_lab::shared().seeds(), &prefix);
    config.recovery_window = Duration::from_millis(500);
    let nodes = [node(config.clone()).await, node(config.clone()).await];
    nodes[0].plane.membership.leave().wait().await.unwrap();
    let swept = || nodes[1].commands("turnpike_session_sweep") >= 1_024;
    until("a sweep", async || swept().then_some(())).await;
    assert!(put(&nodes[0], &id(1), &record("alice")).await, "Redis cannot know better");
    // The next sweep, for whomever, comes across it.
    node(config).await.plane.membership.leave().wait().await.unwrap();
    until("the last record to go", async || (records(&prefix, "") == 0).then_some(())).await;
}

/// How many there are whose owner begins so.
fn records(prefix: &str, owner: &str) -> usize {
    let shared = turnpike_lab::shared();
    let pattern = format!("{{{prefix}:s*}}");
    let of_process = |seed: (String, u16)| {
        let mut connection = turnpike_lab::redis::Connection::open((seed.0.as_str(), seed.1)).unwrap();
        let keys = connection.command(&["KEYS", &pattern]).unwrap();
        let mut count = 0;
        for key in keys.items() {
            // Replicas send readers away.
            let values = connection.command(&["HVALS", &key.text()]).unwrap();
            count += values.items().iter().filter(|value| value.text().starts_with(owner)).count();
        }
        count
    };
    shared.seeds().into_iter().map(of_process).sum()
}

/// What a node asks of Redis for each of 1,000 sessions that come to it after another node died.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_returning_sessions_costs_one_command_each() {
    let nodes = nodes(2).await;
    let base = Base([LanePosition { epoch: 1, pos: 2 }; LANES]);
    nodes[0].plane.sessions.put_base(BaseId(7), &base).wait().await.unwrap();
    let dead = &nodes[0];
    let puts = (0..1_000).map(|number| async move { put(dead, &id(number), &record("alice")).await });
    assert!(join_all(puts).await.into_iter().all(|kept| kept));
    let sessions = &nodes[1].plane.sessions;
    let returned = (0..1_000).map(|number| async move {
        assert_eq!(sessions.base(BaseId(7)).wait().await.unwrap(), Some(base));
        assert!(sessions.take(&id(number)).wait().await.unwrap().is_some());
    });
    join_all(returned).await;
    assert_eq!(nodes[1].commands("turnpike_session_take"), 1_000);
    assert_eq!(nodes[1].commands("turnpike_base_get"), 1, "all wait for one answer");
    assert_eq!(sessions.base(BaseId(8)).wait().await.unwrap(), None);
}
