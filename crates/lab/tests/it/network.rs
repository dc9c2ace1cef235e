//! Cuts between processes, as Redis and its clients feel them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use turnpike_lab::redis::Connection;
use turnpike_lab::{End, RedisCluster, RedisNode, RedisOptions, Reply, until};

const PATIENCE: Duration = Duration::from_secs(30);

fn cuttable() -> RedisCluster {
    RedisCluster::start_with(RedisOptions { cuttable: true, ..RedisOptions::default() }).unwrap()
}

#[test]
fn a_minority_is_replaced_and_learns_of_it() {
    let before = Instant::now();
    let cluster = cuttable();
    println!("started in {:?}", before.elapsed());
    let master = cluster.master_of_key("{a}").unwrap();
    let others: Vec<End> = cluster.nodes().filter(|node| *node != master).map(End::Redis).collect();
    cluster.network().part(&[End::Redis(master)], &others);

    let successor = || -> Option<RedisNode> {
        // By the word of those who are many; the one that is alone still believes in itself for a while.
        let majority = cluster.nodes().find(|node| *node != master)?;
        let layout = cluster.layout_by(majority).ok()?;
        let owner =
            layout.members.iter().find(|m| m.serves() && m.owns(turnpike_lab::redis::slot_of(b"{a}")))?;
        cluster.node_at_port(owner.port).filter(|node| *node != master)
    };
    let successor = until(PATIENCE, || successor().context("nobody takes over")).unwrap();
    assert!(cluster.command(successor, &["SET", "{a}", "new"]).unwrap().sound().is_ok());
    // It runs and answers us, but has given up by itself.
    let given_up = until(PATIENCE, || {
        let alone = cluster.command(master, &["SET", "{a}", "lost"])?;
        ensure!(matches!(&alone, Reply::Error(error) if error.starts_with("CLUSTERDOWN")), "{alone:?}");
        Ok(())
    });
    given_up.unwrap();

    cluster.network().mend();
    cluster.wait_healthy(PATIENCE).unwrap();
    assert_eq!(cluster.master_of_key("{a}").unwrap(), successor);
    assert_eq!(cluster.command(successor, &["GET", "{a}"]).unwrap(), Reply::Bulk(b"new".to_vec()));
}

#[test]
fn a_replica_that_hears_nothing_acknowledges_nothing() {
    let cluster = cuttable();
    let master = cluster.master_of_key("{a}").unwrap();
    let replica = cluster.replicas_of(master).unwrap()[0];
    let mut connection = cluster.connect(master).unwrap();
    let mut written = |wait: &str| {
        connection.command(&["INCR", "{a}"]).unwrap().sound().unwrap();
        connection.command(&["WAIT", "1", wait]).unwrap()
    };
    assert_eq!(written("5000"), Reply::Integer(1));
    cluster.network().cut_one_way(End::Redis(master), End::Redis(replica));
    assert_eq!(written("300"), Reply::Integer(0));
    cluster.network().mend();
    // What was written meanwhile waited on the way, and comes.
    assert_eq!(written("5000"), Reply::Integer(1));
    cluster.wait_healthy(PATIENCE).unwrap();
}

#[test]
fn a_client_is_cut_off_alone_and_silently() {
    let cluster = cuttable();
    let master = cluster.master_of_key("{a}").unwrap();
    let (host, port) = cluster.address(master);
    let mut connection = Connection::open((&host, port)).unwrap();
    connection.command(&["SET", "{a}", "1"]).unwrap().sound().unwrap();
    let us = End::Process(std::process::id());
    cluster.network().cut(us, End::Redis(master));
    let answer = connection.command(&["SET", "{a}", "2"]);
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(
        cluster.command(master, &["GET", "{a}"]).unwrap(),
        Reply::Bulk(b"1".to_vec()),
        "around the network"
    );
    cluster.network().mend();
    let arrived = until(PATIENCE, || {
        let value = cluster.command(master, &["GET", "{a}"])?;
        ensure!(value == Reply::Bulk(b"2".to_vec()), "what was under way has not arrived");
        Ok(())
    });
    arrived.unwrap();
}

#[test]
fn a_user_is_shut_out_alone() {
    let cluster = RedisCluster::start().unwrap();
    cluster.add_user("a", "x").unwrap();
    cluster.add_user("b", "x").unwrap();
    let master = cluster.masters().unwrap()[0];
    let (host, port) = cluster.address(master);
    let enter = |name: &str| {
        let mut connection = Connection::open((&host, port)).unwrap();
        connection.command(&["AUTH", name, "x"]).unwrap().sound().map(|_| connection)
    };
    let (mut a, mut b) = (enter("a").unwrap(), enter("b").unwrap());
    cluster.shut_out("a").unwrap();
    assert!(a.command(&["PING"]).is_err() && enter("a").is_err());
    assert!(b.command(&["PING"]).unwrap().sound().is_ok());
    cluster.let_in("a").unwrap();
    assert!(enter("a").is_ok());
}
