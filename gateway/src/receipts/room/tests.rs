use proptest::prelude::*;

use super::*;

const TICK_MS: u64 = 50;

fn user(number: usize) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

/// A room on one node, over a store.
#[derive(Default)]
struct Scene {
    room: Room,
    now_ms: u64,
    stored: HashMap<UserId, Progress>,
    writes: Vec<(u64, usize)>,
    told: Vec<(u64, Vec<UserMark>)>,
    fail: u8,
}

impl Scene {
    fn run(&mut self, for_ms: u64) {
        for _ in 0..for_ms / TICK_MS {
            self.now_ms += TICK_MS;
            if self.room.due_ms().is_none_or(|due_ms| due_ms > self.now_ms) {
                continue;
            }
            let mut effects = Vec::new();
            self.room.tick(self.now_ms, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Write(marks) => self.write(&marks),
                    Effect::Tell(marks) => self.told.push((self.now_ms, marks)),
                }
            }
        }
    }

    fn write(&mut self, marks: &[Mark]) {
        self.writes.push((self.now_ms, marks.len()));
        if self.fail > 0 {
            self.fail -= 1;
            self.room.written(Err(0), self.now_ms);
            return;
        }
        for mark in marks {
            assert!(mark.read <= mark.received);
            let stored = self.stored.entry(mark.user.clone()).or_default();
            let before = *stored;
            stored.merge(&Progress { received: mark.received, read: mark.read });
            if *stored != before {
                let Progress { received, read } = *stored;
                self.room.heard(&[Mark { user: mark.user.clone(), received, read }]);
            }
        }
        self.room.written(Ok(()), self.now_ms);
    }

    fn say(&mut self, number: usize, received: u64, read: u64) {
        self.room.say(&user(number), Progress { received, read }).unwrap();
    }
}

#[test]
fn the_first_is_written_soon_and_the_last_within_a_second() {
    let mut scene = Scene::default();
    for seq in 1..=40 {
        scene.say(1, seq, 0);
        scene.run(50);
    }
    scene.run(1_000);
    assert_eq!(scene.writes.len(), 3, "{:?}", scene.writes);
    assert_eq!(scene.stored[&user(1)], Progress { received: 40, read: 0 });
    let (_, last) = scene.told.last().unwrap();
    assert_eq!(last[..], [UserMark { user: user(1), received: 40, read: None }]);
}

#[test]
fn what_was_read_has_been_received() {
    let mut scene = Scene::default();
    scene.say(1, 0, 7);
    scene.run(1_000);
    let (_, told) = &scene.told[0];
    assert_eq!(told[..], [UserMark { user: user(1), received: 7, read: Some(7) }]);
}

#[test]
fn many_users_are_few_writes_and_four_events_a_second() {
    let mut scene = Scene::default();
    for round in 1..=40 {
        for number in 0..1_000 {
            scene.say(number, round, round);
        }
        scene.run(50);
    }
    scene.run(5_000);
    assert!(scene.writes.iter().all(|(_, count)| *count <= WRITTEN_MAX));
    assert!(scene.writes.windows(2).all(|pair| pair[1].0 - pair[0].0 >= WRITE_EVERY_MS));
    assert!(scene.told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= TELL_EVERY_MS));
    assert!(scene.told.iter().all(|(_, marks)| marks.len() <= TOLD_MAX));
    let mut latest = HashMap::new();
    for (_, marks) in &scene.told {
        for mark in marks {
            let before = latest.insert(mark.user.clone(), mark.received);
            assert!(before.is_none_or(|before| before < mark.received), "told what has moved");
        }
    }
    assert!(latest.len() == 1_000 && latest.values().all(|received| *received == 40));
    assert!(scene.room.is_empty(scene.now_ms) && scene.room.due_ms().is_none());
}

#[test]
fn news_are_bounded_by_users() {
    let mut room = Room::default();
    for number in 0..2 * NEWS_MAX {
        room.heard(&[Mark { user: user(number), received: 1, read: 0 }]);
        room.heard(&[Mark { user: user(0), received: 2 + number as u64, read: 0 }]);
    }
    assert_eq!((room.news.len(), room.order.len()), (NEWS_MAX, NEWS_MAX));
    let mut effects = Vec::new();
    room.tick(0, &mut effects);
    let Effect::Tell(told) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(told[0].received, 1 + 2 * NEWS_MAX as u64, "the newest of each");
}

proptest! {
    /// P10, as far as it is this node's: whatever fails, the highest of all that was said is written, and told.
    #[test]
    fn p10_the_highest_is_written_and_told(
        said in proptest::collection::vec((0..4_usize, 1..50_u64, 0..50_u64, 0..400_u64, any::<bool>()), 1..60),
    ) {
        let mut scene = Scene::default();
        let mut expected: HashMap<UserId, Progress> = HashMap::new();
        for (number, received, read, wait_ms, fails) in said {
            scene.say(number, received, read);
            let progress = Progress { received: received.max(read), read };
            expected.entry(user(number)).or_default().merge(&progress);
            scene.fail = u8::from(fails);
            scene.run(wait_ms);
        }
        scene.fail = 0;
        scene.run(10_000);
        prop_assert_eq!(&scene.stored, &expected);
        let mut told: HashMap<UserId, Progress> = HashMap::new();
        for (_, marks) in &scene.told {
            for UserMark { user, received, read } in marks {
                told.insert(user.clone(), Progress { received: *received, read: read.unwrap_or(0) });
            }
        }
        prop_assert_eq!(told, expected);
        prop_assert!(scene.room.is_empty(scene.now_ms));
    }
}
