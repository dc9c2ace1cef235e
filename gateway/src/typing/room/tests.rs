use proptest::prelude::*;

use super::*;

const TICK_MS: u64 = 50;

fn user(number: usize) -> UserId {
    UserId::parse(&format!("u{number}")).unwrap()
}

type Apart = Vec<(UserId, Option<View>)>;

/// A room on one node, with what its members were told and what other nodes heard.
struct Scene {
    room: Room<usize>,
    now_ms: u64,
    told: Vec<(u64, View, Apart)>,
    sent: Vec<(u64, Vec<TypingChange>)>,
}

impl Scene {
    fn new() -> Self {
        Self { room: Room::new(), now_ms: 100_000, told: Vec::new(), sent: Vec::new() }
    }

    fn start(&mut self, number: usize) -> bool {
        self.room.start(&user(number), number, self.now_ms)
    }

    fn run(&mut self, for_ms: u64) {
        for _ in 0..for_ms / TICK_MS {
            self.now_ms += TICK_MS;
            if self.room.due_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
                let mut effects = Vec::new();
                self.room.tick(self.now_ms, &mut effects);
                for effect in effects {
                    match effect {
                        Effect::Tell { view, apart } => self.told.push((self.now_ms, view, apart)),
                        Effect::Send(changes) => self.sent.push((self.now_ms, changes)),
                    }
                }
            }
        }
    }

    /// Who the members see now.
    fn seen(&self) -> Vec<&str> {
        self.told.last().map_or(Vec::new(), |(_, view, _)| view.users.iter().map(|user| &**user).collect())
    }

    fn twice_a_second(times: impl Iterator<Item = u64>) {
        let times: Vec<u64> = times.collect();
        assert!(times.windows(3).all(|three| three[2] - three[0] >= 1_000), "{times:?}");
    }
}

#[test]
fn a_start_is_told_at_once_and_forgotten_in_time() {
    let mut scene = Scene::new();
    assert!(scene.start(1));
    scene.run(50);
    assert_eq!(scene.seen(), ["u1"]);
    assert_eq!(scene.sent[0].1, [TypingChange { user: user(1), typing: true }]);
    let started = scene.now_ms;
    scene.run(10_000);
    let (at, view, _) = scene.told.last().unwrap();
    assert_eq!((scene.told.len(), &view.users[..]), (2, &[][..]));
    assert!((5_500..6_000).contains(&(at - started)), "{}", at - started);
    scene.run(10_000);
    assert!(scene.room.is_empty(scene.now_ms), "nothing is left of it");
    assert_eq!(scene.sent.len(), 1, "other nodes forget of themselves");
}

#[test]
fn one_start_in_three_seconds_is_taken() {
    let mut scene = Scene::new();
    let taken = (0..60).filter(|_| {
        let taken = scene.start(1);
        scene.run(200);
        taken
    });
    assert_eq!(taken.count(), 4);
}

#[test]
fn ty1_no_indicator_is_older_than_seven_seconds() {
    // The worst: two events have just gone when it is time to forget.
    for offset in 0..40 {
        let mut scene = Scene::new();
        scene.start(1);
        let started = scene.now_ms;
        scene.run(5_000 + offset * 50);
        scene.start(2);
        scene.run(50);
        scene.room.spoke("u2");
        scene.run(3_000);
        let gone = scene.told.iter().find(|(at, view, _)| *at > started && !view.users.contains(&user(1)));
        assert!(gone.unwrap().0 - started <= 7_000, "{offset}: {}", gone.unwrap().0 - started);
        let mut elsewhere = Scene::new();
        // The signal was half a second on its way.
        elsewhere.run(500);
        elsewhere.room.heard(&[TypingChange { user: user(1), typing: true }], elsewhere.now_ms);
        elsewhere.run(4_500 + offset * 50);
        elsewhere.room.heard(&[TypingChange { user: user(2), typing: true }], elsewhere.now_ms);
        elsewhere.run(50);
        elsewhere.room.spoke("u2");
        elsewhere.run(3_000);
        let gone = elsewhere.told.iter().skip(1).find(|(_, view, _)| !view.users.contains(&user(1)));
        assert!(gone.unwrap().0 <= 107_000, "{offset}: {}", gone.unwrap().0);
    }
}

#[test]
fn ty2_gone_within_200_ms_of_the_message() {
    let mut scene = Scene::new();
    scene.start(1);
    scene.run(400);
    let spoke = scene.now_ms;
    scene.room.spoke("u1");
    scene.run(1_000);
    assert_eq!(scene.seen(), [""; 0]);
    assert!(scene.told.last().unwrap().0 - spoke <= 200);
    // A message of somebody who was not typing is none of its business.
    let told = scene.told.len();
    scene.room.spoke("u1");
    scene.room.spoke("u7");
    scene.run(5_000);
    assert_eq!(scene.told.len(), told);
    // Other nodes are told as well, lest the indicator outlive a message that they do not get.
    let last = scene.sent.last().unwrap();
    assert_eq!(
        (last.0 - spoke <= 200, &last.1[..]),
        (true, &[TypingChange { user: user(1), typing: false }][..])
    );
}

#[test]
fn ty3_nobody_is_told_of_themselves() {
    let mut scene = Scene::new();
    for number in 1..=5 {
        scene.start(number);
        scene.run(1_000);
    }
    let (_, view, apart) = scene.told.last().unwrap();
    assert_eq!((view.users.len(), view.more), (3, 2));
    for (user, own) in apart {
        let own = own.as_ref().unwrap();
        assert!(!own.users.contains(user));
        assert_eq!((own.users.len(), own.more), (3, 1));
    }
    assert_eq!(apart.len(), 5);
    // Whoever is the only one is told of nobody, and so of nothing.
    let (_, _, apart) = &scene.told[0];
    assert_eq!(apart[..], [(user(1), None)]);
}

#[test]
fn who_has_stopped_on_one_connection_may_type_on_another() {
    let mut scene = Scene::new();
    scene.start(1);
    scene.run(50);
    scene.room.stop(&user(1), 77);
    scene.run(1_000);
    assert_eq!(scene.seen(), ["u1"]);
    scene.room.stop(&user(1), 1);
    scene.run(1_000);
    assert_eq!(scene.seen(), [""; 0]);
}

#[test]
fn what_comes_back_from_the_bus_is_older_than_what_is_known_here() {
    let mut scene = Scene::new();
    scene.start(1);
    scene.run(50);
    scene.room.spoke("u1");
    scene.run(1_000);
    let echo = scene.sent[0].1.clone();
    scene.room.heard(&echo, scene.now_ms);
    scene.run(1_000);
    assert_eq!(scene.seen(), [""; 0]);
}

#[test]
fn a_thousand_typists_are_two_events_a_second() {
    let mut scene = Scene::new();
    for round in 0..200 {
        for number in 0..1_000 {
            if (number + round) % 20 == 0 {
                scene.start(number);
            }
            if (number * 7 + round) % 90 == 0 {
                scene.room.spoke(&user(number));
            }
        }
        scene.run(50);
    }
    Scene::twice_a_second(scene.told.iter().map(|(at, _, _)| *at));
    Scene::twice_a_second(scene.sent.iter().map(|(at, _)| *at));
    assert!(scene.told.iter().all(|(_, view, apart)| view.users.len() <= 3 && apart.len() <= APART_MAX));
    let (_, view, _) = scene.told.last().unwrap();
    assert!(view.more > 500, "{}", view.more);
}

#[test]
fn who_is_remembered_is_bounded() {
    let mut scene = Scene::new();
    let changes: Vec<TypingChange> =
        (0..3 * TYPISTS_MAX).map(|number| TypingChange { user: user(number), typing: true }).collect();
    scene.room.heard(&changes, scene.now_ms);
    let taken = (0..3 * TYPISTS_MAX).filter(|number| scene.start(100_000 + number)).count();
    assert_eq!((scene.room.typists.len(), taken), (TYPISTS_MAX, 0));
    scene.run(20_000);
    assert!(scene.room.is_empty(scene.now_ms));
}

#[derive(Debug, Clone)]
enum Step {
    Start(usize),
    Stop(usize),
    Spoke(usize),
    Heard(usize, bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_usize).prop_map(Step::Start),
        1 => (0..6_usize).prop_map(Step::Stop),
        2 => (0..6_usize).prop_map(Step::Spoke),
        2 => (6..9_usize, any::<bool>()).prop_map(|(user, typing)| Step::Heard(user, typing)),
        4 => (1..3_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// TY1, TY3 and the pace, whatever happens; and in the end nobody types and nothing is kept.
    #[test]
    fn ty1_ty3_whatever_happens(steps in proptest::collection::vec(step(), 1..60)) {
        let mut scene = Scene::new();
        let mut last_start = HashMap::new();
        for step in steps {
            match step {
                Step::Start(number) => {
                    if scene.start(number) {
                        last_start.insert(user(number), scene.now_ms);
                    }
                }
                Step::Stop(number) => scene.room.stop(&user(number), number),
                Step::Spoke(number) => scene.room.spoke(&user(number)),
                Step::Heard(number, typing) => {
                    scene.room.heard(&[TypingChange { user: user(number), typing }], scene.now_ms);
                    if typing {
                        last_start.insert(user(number), scene.now_ms);
                    }
                }
                Step::Wait(wait_ms) => {
                    for _ in 0..wait_ms.div_ceil(TICK_MS) {
                        scene.run(TICK_MS);
                        let seen = scene.told.last().map_or(&[][..], |(_, view, _)| &view.users);
                        for user in seen {
                            prop_assert!(scene.now_ms - last_start[user] <= 7_000);
                        }
                    }
                }
            }
        }
        scene.run(30_000);
        prop_assert!(scene.told.last().is_none_or(|(_, view, _)| *view == View::default()));
        prop_assert!(scene.room.is_empty(scene.now_ms));
        Scene::twice_a_second(scene.told.iter().map(|(at, _, _)| *at));
        Scene::twice_a_second(scene.sent.iter().map(|(at, _)| *at));
        for (_, view, apart) in &scene.told {
            for user in &view.users {
                prop_assert!(apart.iter().any(|(other, _)| other == user), "all who are named are told apart");
            }
            for (user, own) in apart {
                prop_assert!(own.as_ref().is_none_or(|own| !own.users.contains(user)));
            }
        }
    }
}
