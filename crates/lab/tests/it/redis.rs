use std::time::{Duration, Instant};

use turnpike_lab::redis::slot_of;
use turnpike_lab::{RedisCluster, RedisOptions, Reply};

/// Reaching it means that something is broken.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_cluster_serves_and_survives_its_faults() {
    let before = Instant::now();
    let cluster = RedisCluster::start().unwrap();
    println!("started in {:?}", before.elapsed());
    assert_eq!((cluster.masters().unwrap().len(), cluster.replicas().unwrap().len()), (3, 3));

    let master = cluster.master_of_key("{a}").unwrap();
    assert_eq!(cluster.command(master, &["SET", "{a}x", "1"]).unwrap(), Reply::Simple("OK".into()));
    let mut connection = cluster.connect(master).unwrap();
    connection.command(&["INCR", "{a}x"]).unwrap();
    assert_eq!(connection.command(&["WAIT", "1", "5000"]).unwrap(), Reply::Integer(1));

    let before = Instant::now();
    cluster.kill(master);
    cluster.wait_served(PATIENCE).unwrap();
    println!("failover in {:?}", before.elapsed());
    let successor = cluster.master_of_key("{a}").unwrap();
    assert_ne!(successor, master);
    assert_eq!(cluster.command(successor, &["GET", "{a}x"]).unwrap(), Reply::Bulk(b"2".to_vec()));
    assert!(cluster.wait_healthy(Duration::ZERO).is_err());
    cluster.restart(master).unwrap();
    cluster.wait_healthy(PATIENCE).unwrap();
    assert!(cluster.replicas_of(successor).unwrap().contains(&master));

    cluster.freeze(successor).unwrap();
    cluster.wait_served(PATIENCE).unwrap();
    assert_eq!(cluster.master_of_key("{a}").unwrap(), master);
    cluster.thaw(successor).unwrap();
    cluster.wait_healthy(PATIENCE).unwrap();
}

#[test]
fn a_slot_moves_with_its_keys() {
    let cluster = RedisCluster::start().unwrap();
    let slot = slot_of(b"{m}");
    let from = cluster.master_of_slot(slot).unwrap();
    for number in 0..250 {
        cluster.command(from, &["SET", &format!("{{m}}{number}"), "x"]).unwrap().sound().unwrap();
    }
    let to = cluster.masters().unwrap().into_iter().find(|node| *node != from).unwrap();

    let mut migration = cluster.begin_migration(slot, to).unwrap();
    assert_eq!(migration.move_keys(100).unwrap(), 100);
    let answers: Vec<Reply> =
        (0..250).map(|number| cluster.command(from, &["GET", &format!("{{m}}{number}")]).unwrap()).collect();
    let sent_on =
        answers.iter().filter(|reply| matches!(reply, Reply::Error(e) if e.starts_with("ASK"))).count();
    assert_eq!(sent_on, 100);
    while migration.move_keys(100).unwrap() > 0 {}
    migration.finish().unwrap();

    cluster.wait_healthy(PATIENCE).unwrap();
    assert_eq!(cluster.master_of_slot(slot).unwrap(), to);
    assert_eq!(
        cluster.command(to, &["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).unwrap().integer(),
        Some(250)
    );
    cluster.migrate_slot(slot, from).unwrap();
    cluster.wait_healthy(PATIENCE).unwrap();
    assert_eq!(cluster.master_of_slot(slot).unwrap(), from);
}

#[test]
fn options_take_effect() {
    let cluster = RedisCluster::start_with(RedisOptions {
        append_only: false,
        password: Some("open-sesame".into()),
        replicas_per_master: 0,
        lines: vec!["maxmemory-policy allkeys-lru".into()],
        ..RedisOptions::default()
    })
    .unwrap();
    assert_eq!(cluster.nodes().count(), 3);
    let node = cluster.nodes().next().unwrap();
    let value = |key: &str| cluster.command(node, &["CONFIG", "GET", key]).unwrap().text();
    assert_eq!(value("appendonly"), "appendonly no");
    assert_eq!(value("maxmemory-policy"), "maxmemory-policy allkeys-lru");
    let (host, port) = cluster.address(node);
    let mut stranger = turnpike_lab::redis::Connection::open((&host, port)).unwrap();
    assert!(
        matches!(stranger.command(&["GET", "a"]).unwrap(), Reply::Error(error) if error.starts_with("NOAUTH"))
    );
}

#[test]
fn nothing_stays_behind() {
    let cluster = RedisCluster::start().unwrap();
    let node = cluster.nodes().next().unwrap();
    let home = cluster.command(node, &["CONFIG", "GET", "dir"]).unwrap().items()[1].text();
    let ids: Vec<u32> = cluster.nodes().filter_map(|node| cluster.process_id(node)).collect();
    assert!(ids.len() == 6 && std::path::Path::new(&home).exists());
    drop(cluster);
    assert!(!std::path::Path::new(&home).exists());
    assert!(ids.iter().all(|id| !std::path::Path::new(&format!("/proc/{id}")).exists()));
}
