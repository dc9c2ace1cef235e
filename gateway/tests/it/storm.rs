//! Many cuts at random moments while messages flow, over both shards: everybody ends up with every message once.
//!
//! `STORM_SEED` repeats a run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::client::Client;
use crate::house::House;

const ROOMS: [&str; 4] = ["chat:a", "chat:b", "chat:general", "chat:x"];
const LISTENERS: usize = 6;
const EACH: u64 = 150;

/// Marsaglia's xorshift: as random as a test needs, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_misses_anything() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("STORM_SEED").map_or(now | 1, |seed| seed.parse().unwrap());
    eprintln!("STORM_SEED={seed}");
    let house = Arc::new(House::start());
    let (done, all_sent) = watch::channel(false);
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|number| {
            let (house, all_sent) = (Arc::clone(&house), all_sent.clone());
            tokio::spawn(listen(house, number, Random(seed.wrapping_mul(number as u64 * 2 + 3)), all_sent))
        })
        .collect();
    house
        .until("all are in", |house| house.gateway.counters().events_in >= (LISTENERS * ROOMS.len()) as u64)
        .await;
    let senders: Vec<_> =
        ROOMS.into_iter().map(|room| tokio::spawn(send(Arc::clone(&house), room))).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    done.send(true).unwrap();
    let mut recovered = 0;
    for listener in listeners {
        recovered += listener.await.unwrap();
    }
    assert!(recovered >= LISTENERS as u64, "only {recovered} recoveries");
    assert_eq!(house.metric("turnpike_gateway_sessions_recovered_total", &[]), recovered);
}

async fn send(house: Arc<House>, room: &'static str) {
    let mut sender = Client::enter(&house, &format!("sender-{}", &room[5..])).await;
    sender.join(room).await;
    for number in 1..=EACH {
        assert_eq!(sender.say(room, number).await["seq"], number);
    }
}

/// Gives how often it was cut and came back.
async fn listen(
    house: Arc<House>,
    number: usize,
    mut random: Random,
    mut all_sent: watch::Receiver<bool>,
) -> u64 {
    let user = format!("listener-{number}");
    let mut client = Client::enter(&house, &user).await;
    for room in ROOMS {
        client.join(room).await;
    }
    let mut heads: HashMap<String, u64> = HashMap::new();
    let mut cuts = 0;
    while !*all_sent.borrow_and_update() {
        let (take, pause) = (random.below(40), Duration::from_millis(random.below(20)));
        let taking = async {
            for _ in 0..take {
                take_one(&mut client, &mut heads).await;
            }
        };
        // At the end there may be less to take than was meant to be.
        tokio::select! { () = taking => {}, _ = all_sent.changed() => {} }
        let memory = client.cut();
        tokio::time::sleep(pause).await;
        let session;
        (client, session) = Client::return_with(&house, &user, &memory).await;
        assert_eq!(session["recovered"], true, "{user} after {cuts} cuts");
        cuts += 1;
    }
    while heads.values().sum::<u64>() < EACH * ROOMS.len() as u64 {
        take_one(&mut client, &mut heads).await;
    }
    client.has_nothing_more().await;
    cuts
}

async fn take_one(client: &mut Client, heads: &mut HashMap<String, u64>) {
    let event = client.event().await;
    assert_eq!(event.name, "message", "{event:?}");
    let head = heads.entry(event.data["room"].as_str().unwrap().to_owned()).or_default();
    assert_eq!(event.data["seq"], *head + 1, "{event:?}");
    *head += 1;
}
