//! The recording client against a node, so that what it writes can be trusted: a run without faults, and one in which it is
//! cut off again and again, keep all laws; and what it leaves out is found.

use std::time::Duration;

use turnpike_history::{Event, Law, Level, What, check};
use turnpike_lab::Node;
use turnpike_tests::recording::{Client, Plan, Recording};

const ROOMS: [&str; 2] = ["chat:a", "chat:b"];
const LIMIT: Duration = Duration::from_secs(30);

struct Run {
    node: Node,
    recording: Recording,
    clients: Vec<Client>,
}

impl Run {
    async fn start(clients: usize) -> Self {
        let node = Node::start(&[]).unwrap();
        let recording = Recording::default();
        let mut run = Self { node, recording, clients: Vec::new() };
        for number in 0..clients {
            let user = format!("user-{number}");
            let token = run.node.token(&["--user", &user, "--room", "*=join,send,history"]).unwrap();
            let plan = Plan {
                name: format!("c{number}"),
                user,
                token,
                nodes: vec![run.node.gateway],
                level: Level::Stored,
            };
            let client = Client::start(plan, run.recording.clone());
            for room in ROOMS {
                client.join(room).await;
            }
            run.clients.push(client);
        }
        let all = clients * ROOMS.len();
        run.until("all to be in their rooms", |events| {
            count(events, |what| matches!(what, What::Join { .. })) == all
        })
        .await;
        run
    }

    async fn until(&self, what: &str, fits: impl Fn(&[Event]) -> bool) {
        let reached = tokio::time::timeout(LIMIT, async {
            while !fits(&self.recording.events()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(reached.await.is_ok(), "waited in vain for {what}: {:#?}", self.recording.events().last());
    }

    /// Until everybody has got everything.
    async fn settle(&self, messages: usize) {
        self.until("all answers", |_| self.recording.acks() == messages).await;
        let due = messages * self.clients.len();
        self.until("all deliveries", |events| {
            count(events, |what| matches!(what, What::Message { .. })) >= due
        })
        .await;
    }

    fn laws_broken(&self) -> Vec<Law> {
        let mut events = self.recording.events();
        let at_us = events.last().map_or(0, |event| event.at_us) + 20_000_000;
        events.push(Event { at_us, who: "machine".to_owned(), what: What::End });
        let violations = check(&events);
        for violation in &violations {
            println!("{violation}");
        }
        violations.iter().map(|violation| violation.law).collect()
    }
}

fn count(events: &[Event], is_it: impl Fn(&What) -> bool) -> usize {
    events.iter().filter(|event| is_it(&event.what)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_run_keeps_all_laws() {
    let run = Run::start(4).await;
    for number in 0..100 {
        run.clients[number % 4].send(ROOMS[number % 2], "hello").await;
    }
    run.settle(100).await;
    assert_eq!(run.laws_broken(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_cut_off_again_and_again_keep_all_laws() {
    let run = Run::start(4).await;
    for number in 0..200 {
        run.clients[number % 4].send(ROOMS[number % 2], "hello").await;
        if number % 10 == 9 {
            run.clients[number / 10 % 4].cut(Duration::from_millis(number as u64 % 70)).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run.settle(200).await;
    assert_eq!(run.laws_broken(), []);
    let recovered = count(&run.recording.events(), |what| matches!(what, What::Session { recovered: true }));
    assert!(recovered >= 10, "only {recovered} recoveries");
}
