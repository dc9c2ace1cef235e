use super::*;

fn user(number: usize) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

/// A room of users who are all simply there.
struct Scene {
    announcer: Announcer<u32>,
    there: Vec<usize>,
    now_ms: u64,
}

impl Scene {
    fn new() -> Self {
        Self { announcer: Announcer::new(), there: Vec::new(), now_ms: 10_000 }
    }

    fn join(&mut self, number: usize) {
        self.there.push(number);
        self.announcer.changed(vec![(user(number), None)], self.there.len(), self.now_ms);
    }

    fn leave(&mut self, number: usize) {
        self.there.retain(|other| *other != number);
        self.announcer.changed(vec![(user(number), Some(Look::default()))], self.there.len(), self.now_ms);
    }

    /// As the room does it, every ten milliseconds.
    fn run(&mut self, for_ms: u64) -> Vec<(u64, Told<u32>)> {
        let mut told = Vec::new();
        for _ in 0..for_ms / 10 {
            self.now_ms += 10;
            if self.announcer.due_ms().is_none_or(|due_ms| due_ms > self.now_ms) {
                continue;
            }
            let there: HashSet<UserId> = self.there.iter().map(|number| user(*number)).collect();
            let look = |user: &UserId| there.contains(user).then(Look::default);
            told.extend(self.announcer.tell(self.now_ms, there.len(), look).map(|told| (self.now_ms, told)));
        }
        told
    }

    fn joined(told: &Told<u32>) -> Vec<&str> {
        let all = told.all.as_ref().unwrap();
        all.joined.iter().map(|shown| &*shown.user).collect()
    }
}

#[test]
fn the_first_change_goes_out_almost_at_once_and_then_one_event_a_second() {
    let mut scene = Scene::new();
    assert_eq!(scene.announcer.enter(1, true), Entrance::Now);
    scene.join(1);
    let started = scene.now_ms;
    let told = scene.run(100);
    assert_eq!((told[0].0 - started, Scene::joined(&told[0].1)), (SETTLE_MS, vec!["u1"]));
    let mut times = vec![told[0].0];
    for number in 2..40 {
        scene.join(number);
        times.extend(scene.run(100).into_iter().map(|(at, _)| at));
    }
    assert_eq!(times.len(), 4, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == EVERY_MS), "{times:?}");
    scene.run(5_000);
    scene.join(50);
    assert_eq!(scene.run(SETTLE_MS).len(), 1, "after a quiet second at once again");
}

#[test]
fn who_comes_and_goes_between_two_events_is_not_heard_of() {
    let mut scene = Scene::new();
    scene.announcer.enter(1, true);
    scene.join(1);
    scene.leave(1);
    let told = scene.run(2_000);
    assert!(told.iter().all(|(_, told)| told.all.is_none()), "{told:?}");
    scene.join(2);
    assert_eq!(scene.run(SETTLE_MS).len(), 1, "nothing was said, so nothing has to be waited for");
}

#[test]
fn a_newcomer_is_told_what_came_after_they_looked() {
    let mut scene = Scene::new();
    scene.announcer.enter(1, true);
    scene.join(1);
    scene.run(100);
    scene.join(2);
    scene.join(3);
    assert_eq!(scene.announcer.enter(9, true), Entrance::Later, "has seen 1, 2 and 3");
    assert!(!scene.announcer.hears(&9));
    scene.leave(2);
    scene.join(4);
    let told = scene.run(2_000);
    assert_eq!(told.len(), 1);
    assert_eq!(Scene::joined(&told[0].1), ["u3", "u4"], "2 was never heard of");
    let (who, changes) = &told[0].1.newcomers[0];
    let changes = changes.as_ref().unwrap();
    assert_eq!((*who, changes.joined.len(), &changes.left[..]), (9, 1, &[user(2)][..]));
    assert!(scene.announcer.hears(&9));
}

#[test]
fn a_list_shows_what_has_been_said() {
    let mut scene = Scene::new();
    scene.announcer.enter(1, true);
    scene.join(1);
    assert_eq!(scene.announcer.as_told_to(&1), BTreeMap::from([(&user(1), None)]));
    assert_eq!(scene.announcer.as_told_to(&7), BTreeMap::new(), "whoever hears nothing is shown what is");
    scene.run(100);
    assert_eq!(scene.announcer.as_told_to(&1), BTreeMap::new());
    scene.leave(1);
    assert_eq!(scene.announcer.as_told_to(&1), BTreeMap::from([(&user(1), Some(&Look::default()))]));
}

#[test]
fn large_rooms_are_told_the_count() {
    let mut scene = Scene::new();
    scene.announcer.enter(1, true);
    for number in 0..=LISTED_MEMBERS_MAX {
        scene.join(number);
    }
    let told = scene.run(2_000);
    let all = told[0].1.all.as_ref().unwrap();
    assert_eq!((told.len(), all.count, all.partial), (1, LISTED_MEMBERS_MAX + 1, true));
    assert!(all.joined.is_empty());
    scene.announcer.changed(vec![(user(5), Some(Look::default()))], scene.there.len(), scene.now_ms);
    let told = scene.run(2_000);
    assert!(told.iter().all(|(_, told)| told.all.is_none()), "nothing but the count is of interest");
    scene.leave(3);
    scene.leave(4);
    let told = scene.run(2_000);
    let all = told[0].1.all.as_ref().unwrap();
    assert!(all.partial && all.count == LISTED_MEMBERS_MAX - 1, "what was said of large rooms was not all");
    scene.leave(5);
    let told = scene.run(2_000);
    let all = told[0].1.all.as_ref().unwrap();
    assert_eq!((&all.left[..], all.partial), (&[user(5)][..], false));
}

#[test]
fn a_lost_event_is_owned_up_to() {
    let mut scene = Scene::new();
    scene.announcer.enter(1, true);
    scene.join(1);
    scene.run(100);
    scene.announcer.was_not_told(scene.now_ms);
    let told = scene.run(2_000);
    assert!(told[0].1.all.as_ref().unwrap().partial);
}

#[test]
fn what_an_event_weighs_is_bounded() {
    let mut scene = Scene::new();
    scene.announcer.enter(1, true);
    let activity = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
    let activity = turnpike_wire::presence::Activity::parse(&activity).ok();
    let heavy = Look { activity, ..Look::default() };
    let changes: Vec<Changed> = (0..500).map(|number| (user(number), None)).collect();
    scene.announcer.changed(changes, 500, scene.now_ms);
    let told = scene.announcer.tell(scene.now_ms + SETTLE_MS, 500, |_| Some(heavy.clone())).unwrap();
    let all = told.all.unwrap();
    assert!(all.partial && all.joined.len() < 70, "{}", all.joined.len());
    for number in 0..2 * CHANGES_MAX {
        scene.announcer.changed(vec![(user(number), None)], 500, scene.now_ms);
    }
    assert_eq!(scene.announcer.log.len(), CHANGES_MAX);
}

#[test]
fn a_crowd_of_newcomers_hears_with_all_others() {
    let mut scene = Scene::new();
    scene.announcer.enter(0, true);
    scene.join(0);
    let entrances: Vec<Entrance> = (1..100).map(|who| scene.announcer.enter(who, true)).collect();
    assert_eq!(entrances.iter().filter(|entrance| **entrance == Entrance::Later).count(), NEWCOMERS_MAX);
    assert_eq!(scene.announcer.as_told_to(&99), BTreeMap::from([(&user(0), None)]), "as all others");
    assert_eq!(scene.announcer.as_told_to(&1), BTreeMap::new());
}

#[test]
fn who_cannot_be_seen_does_not_delay_what_others_hear() {
    let times = |with_hidden: bool| {
        let mut scene = Scene::new();
        if with_hidden {
            scene.announcer.enter(66, false);
        }
        scene.join(1);
        scene.run(500);
        scene.join(2);
        scene.announcer.enter(2, true);
        scene.join(3);
        let to = |told: &Told<u32>| {
            let apart = told.newcomers.iter().find(|(who, _)| *who == 2);
            apart.and_then(|(_, changes)| changes.clone()).or(told.all.clone())
        };
        scene.run(3_000).into_iter().map(|(at, told)| (at, to(&told))).collect::<Vec<_>>()
    };
    assert_eq!(times(true)[0], times(false)[0]);
}

#[test]
fn what_no_event_speaks_of_is_counted() {
    let mut scene = Scene::new();
    scene.announcer.enter(1, true);
    scene.join(1);
    scene.run(100);
    assert_eq!(scene.announcer.take_tally(), Tally { changes: 1, suppressed: 0 });
    // One comes and goes before it is time for the next event, and one stays.
    scene.join(2);
    scene.leave(2);
    scene.join(3);
    scene.run(EVERY_MS);
    assert_eq!(scene.announcer.take_tally(), Tally { changes: 3, suppressed: 2 });
    assert_eq!(scene.announcer.take_tally(), Tally::default());
}
