//! The power is cut while it is written. What was acknowledged is there, where it was said to be, and no position ever
//! shows two contents.

use std::collections::HashMap;

use super::*;

/// Everything that anybody was ever told.
#[derive(Default)]
struct History {
    contents: HashMap<(RoomId, u64, u64), Box<str>>,
    /// By id, with where it is.
    acknowledged: HashMap<String, (RoomId, u64, u64)>,
    published: u64,
}

impl History {
    fn show(&mut self, message: &Message) {
        let position = (message.room.clone(), message.at.epoch, message.seq);
        let before = self.contents.insert(position, message.data.clone());
        assert!(
            before.is_none_or(|before| before == message.data),
            "a position shows two contents: {message:?}"
        );
    }

    fn check(&mut self, embedded: &Embedded) {
        let mut there = HashMap::new();
        for number in 0..4 {
            let room = room(&format!("chat:{number}"));
            let page = read(embedded, &room, Range::AfterSeq(0));
            assert_eq!(page.continuity, Continuity::Whole);
            assert_eq!(seqs(&page), (1..=page.standing.seq).collect::<Vec<_>>());
            for message in &page.messages {
                self.show(message);
                there.insert((message.room.clone(), message.at.epoch, message.seq), message.data.clone());
            }
        }
        for (id, position) in &self.acknowledged {
            let data =
                there.get(position).unwrap_or_else(|| panic!("{id} is not where it was: {position:?}"));
            assert!(data.contains(&format!(r#""id":"{id}""#)), "{data}");
        }
    }
}

fn live_through(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut history = History::default();
    let mut shaky = Arc::new(Shaky::default());
    drop(start(&shaky));
    for _ in 0..5 {
        let embedded = start(&shaky);
        history.check(&embedded);
        let (node, broker) = (Arc::new(Node::default()), embedded.cluster().broker);
        wait(broker.start(Arc::clone(&node) as _)).unwrap();
        // Whoever tries again is told what the first was answered with, or is the first.
        let again: Vec<String> = history.acknowledged.keys().take(5).cloned().collect();
        for id in again {
            let (room, epoch, seq) = history.acknowledged[&id].clone();
            let receipt = publish(&embedded, &room, Some(&id), "0").unwrap();
            assert_eq!((receipt.duplicate, receipt.epoch, receipt.seq), (true, epoch, seq));
        }
        for number in 0..4 {
            wait(broker.open(&room(&format!("chat:{number}")))).unwrap();
        }
        let mut answers = Vec::new();
        for _ in 0..=random.below(60) {
            history.published += 1;
            let (room, id) = (room(&format!("chat:{}", random.below(4))), format!("m{}", history.published));
            let answer = broker.publish(publication(&room, Some(&id), &random.below(1_000).to_string()));
            answers.push((room, id, answer));
            if random.below(10) == 0 {
                thread::sleep(Duration::from_micros(random.below(2_000)));
            }
        }
        let after = shaky.crash(|| random.below(256) as u8);
        for (room, id, answer) in answers {
            if let Ok(receipt) = wait(answer) {
                history.acknowledged.insert(id, (room, receipt.epoch, receipt.seq));
            }
        }
        drop((embedded, broker));
        for message in node.messages.lock().unwrap().iter() {
            history.show(message);
        }
        shaky = after;
    }
    history.check(&start(&shaky));
    assert!(!history.acknowledged.is_empty());
}

#[test]
fn power_cuts() {
    let first = std::env::var("SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    let seeds = first.map_or(1..13, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| live_through(seed));
        assert!(lived.is_ok(), "with SEED={seed}");
    }
}
