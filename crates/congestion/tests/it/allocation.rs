//! Which layers a budget gives, and how seldom that changes.

use crate::seed::{Random, with_seeds};
use std::time::{Duration, Instant};
use turnpike_congestion::allocation::{
    Allocation, Allocator, Budget, Choice, Content, Layer, LayerId, Track, Wanted,
};

fn id(spatial: u8, temporal: u8) -> LayerId {
    LayerId { spatial, temporal }
}

fn at(spatial: u8, temporal: u8) -> Choice {
    Choice::Layer(id(spatial, temporal))
}

/// 180, 360 and 720 lines with two frame rates each.
fn camera() -> Vec<Layer> {
    [(0, 0, 100), (0, 1, 150), (1, 0, 350), (1, 1, 500), (2, 0, 1000), (2, 1, 1500)]
        .map(|(spatial, temporal, kbps)| Layer {
            id: id(spatial, temporal),
            bitrate_bps: kbps * 1000,
            height: 180 << spatial,
        })
        .to_vec()
}

fn voice() -> Vec<Layer> {
    vec![Layer { id: id(0, 0), bitrate_bps: 40_000, height: 0 }]
}

fn track(key: u32, content: Content, priority: u8, layers: &[Layer]) -> Track<'_, u32> {
    Track { key, content, priority, wanted: Wanted::default(), layers }
}

fn allocate(
    allocator: &mut Allocator<u32>,
    now: Instant,
    kbps: u64,
    tracks: &[Track<'_, u32>],
) -> Allocation<u32> {
    allocator.allocate(now, Budget { target_bps: kbps * 1000, confirmed_bps: None }, tracks)
}

fn fresh(kbps: u64, tracks: &[Track<'_, u32>]) -> Vec<Choice> {
    let allocation = allocate(&mut Allocator::default(), Instant::now(), kbps, tracks);
    allocation.decisions.iter().map(|decision| decision.choice).collect()
}

#[test]
fn audio_first_then_a_picture_for_everybody_then_more_for_the_screen() {
    let (camera, voice) = (camera(), voice());
    let tracks = [
        track(1, Content::Motion, 0, &camera),
        track(2, Content::Audio, 0, &voice),
        track(3, Content::Detail, 1, &camera),
    ];
    let table: &[(u64, [Choice; 3])] = &[
        (0, [Choice::Starved, at(0, 0), Choice::Starved]),
        (100, [Choice::Starved, at(0, 0), Choice::Starved]),
        (140, [Choice::Starved, at(0, 0), at(0, 0)]),
        (240, [at(0, 0), at(0, 0), at(0, 0)]),
        (300, [at(0, 0), at(0, 0), at(0, 1)]),
        (700, [at(0, 1), at(0, 0), at(1, 1)]),
        (1_700, [at(0, 1), at(0, 0), at(2, 1)]),
        (9_000, [at(2, 1), at(0, 0), at(2, 1)]),
    ];
    for (kbps, choices) in table {
        assert_eq!(fresh(*kbps, &tracks), choices, "{kbps} kb/s");
    }
}

#[test]
fn equals_get_equal_layers() {
    let camera = camera();
    let tracks = [1, 2, 3].map(|key| track(key, Content::Motion, 0, &camera));
    assert_eq!(fresh(1_500, &tracks), [at(1, 1); 3]);
    assert_eq!(fresh(450, &tracks), [at(0, 1); 3]);
    assert_eq!(fresh(250, &tracks), [at(0, 1), at(0, 0), Choice::Starved]);
}

#[test]
fn what_is_not_seen_is_not_sent() {
    let camera = camera();
    let wish = |wanted| fresh(9_000, &[Track { wanted, ..track(1, Content::Motion, 0, &camera) }])[0];
    assert_eq!(wish(Wanted { hidden: true, ..Wanted::default() }), Choice::Hidden);
    assert_eq!(wish(Wanted { height: Some(360), ..Wanted::default() }), at(1, 1));
    // Ten lines more than the layer has do not make it too small; ninety do.
    assert_eq!(wish(Wanted { height: Some(370), ..Wanted::default() }), at(1, 1));
    assert_eq!(wish(Wanted { height: Some(450), ..Wanted::default() }), at(2, 1));
    assert_eq!(wish(Wanted { height: Some(1), ..Wanted::default() }), at(0, 1));
    assert_eq!(wish(Wanted { layer_max: Some(id(1, 0)), ..Wanted::default() }), at(1, 0));
    assert_eq!(fresh(9_000, &[track(1, Content::Motion, 0, &[])]), [Choice::Absent]);
}

#[test]
fn whoever_wants_less_than_is_sent_sees_the_least_that_is() {
    let camera = camera();
    let wanted = Wanted { layer_max: Some(id(0, 1)), ..Wanted::default() };
    let sent = |least: u8| -> Vec<Layer> {
        let times = |layer: &Layer| u64::from(layer.id.spatial >= least);
        let sent = |layer: &Layer| Layer { bitrate_bps: layer.bitrate_bps * times(layer), ..*layer };
        camera.iter().map(sent).collect()
    };
    for least in 0..3 {
        let layers = sent(least);
        assert_eq!(
            fresh(9_000, &[Track { wanted, ..track(1, Content::Motion, 0, &layers) }]),
            [at(least, 1)]
        );
    }
    let layers = sent(3);
    assert_eq!(fresh(9_000, &[Track { wanted, ..track(1, Content::Motion, 0, &layers) }]), [Choice::Absent]);
}

#[test]
fn a_camera_keeps_its_frame_rate_and_a_screen_its_size() {
    let layers = [(0, 0, 50), (0, 1, 100), (0, 2, 150), (1, 0, 200), (1, 1, 400), (1, 2, 600)].map(
        |(spatial, temporal, kbps)| Layer { id: id(spatial, temporal), bitrate_bps: kbps * 1000, height: 0 },
    );
    assert_eq!(fresh(300, &[track(1, Content::Motion, 0, &layers)]), [at(0, 2)]);
    assert_eq!(fresh(300, &[track(1, Content::Detail, 0, &layers)]), [at(1, 0)]);
    assert_eq!(fresh(450, &[track(1, Content::Motion, 0, &layers)]), [at(1, 1)]);
}

#[test]
fn down_at_once_and_up_with_patience() {
    let camera = camera();
    let tracks = [track(1, Content::Motion, 0, &camera)];
    let epoch = Instant::now();
    let mut allocator = Allocator::default();
    let mut choice = |millis: u64, kbps| {
        let allocation = allocate(&mut allocator, epoch + Duration::from_millis(millis), kbps, &tracks);
        (allocation.decisions[0].choice, allocation.decisions[0].changed)
    };
    assert_eq!(choice(0, 2_000), (at(2, 1), true));
    assert_eq!(choice(100, 1_600), (at(2, 1), false));
    assert_eq!(choice(200, 1_499), (at(2, 0), true));
    assert_eq!(choice(300, 600), (at(1, 1), true));
    // Enough, but not with the margin.
    assert_eq!(choice(10_000, 1_100), (at(1, 1), false));
    assert_eq!(choice(20_000, 1_100), (at(1, 1), false));
    assert_eq!(choice(20_100, 1_200), (at(1, 1), false));
    assert_eq!(choice(22_000, 1_200), (at(1, 1), false));
    assert_eq!(choice(22_100, 1_200), (at(2, 0), true));
    // It was too much: next time it takes twice as long.
    assert_eq!(choice(23_000, 900), (at(1, 1), true));
    assert_eq!(choice(24_000, 1_200), (at(1, 1), false));
    assert_eq!(choice(27_900, 1_200), (at(1, 1), false));
    assert_eq!(choice(28_000, 1_200), (at(2, 0), true));
}

#[test]
fn a_probe_or_a_wish_saves_the_wait() {
    let camera = camera();
    let epoch = Instant::now();
    let mut allocator = Allocator::default();
    let mut tracks = [track(1, Content::Motion, 0, &camera)];
    allocate(&mut allocator, epoch, 600, &tracks);
    let shown = Budget { target_bps: 2_000_000, confirmed_bps: Some(1_400_000) };
    let allocation = allocator.allocate(epoch + Duration::from_millis(100), shown, &tracks);
    assert_eq!(
        allocation.decisions[0].choice,
        at(1, 1),
        "what was shown is not enough for what would be taken"
    );
    let shown = Budget { target_bps: 2_000_000, confirmed_bps: Some(1_900_000) };
    let allocation = allocator.allocate(epoch + Duration::from_millis(200), shown, &tracks);
    assert_eq!(allocation.decisions[0].choice, at(2, 1));

    tracks[0].wanted.layer_max = Some(id(0, 1));
    let small = allocate(&mut allocator, epoch + Duration::from_millis(300), 2_000, &tracks);
    assert_eq!(small.decisions[0].choice, at(0, 1));
    tracks[0].wanted.layer_max = None;
    let large = allocate(&mut allocator, epoch + Duration::from_millis(400), 2_000, &tracks);
    assert_eq!(large.decisions[0].choice, at(2, 1));
}

#[test]
fn says_what_more_would_cost() {
    let (camera, voice) = (camera(), voice());
    let tracks = [track(1, Content::Motion, 0, &camera), track(2, Content::Audio, 0, &voice)];
    let allocation = allocate(&mut Allocator::default(), Instant::now(), 600, &tracks);
    assert_eq!(allocation.total_bps, 540_000);
    // The next step is 1,000 kb/s, everything 1,500, besides audio.
    assert_eq!(allocation.demand.next_bps / 1000, 1_196);
    assert_eq!(allocation.demand.most_bps / 1000, 1_771);
    let all = allocate(&mut Allocator::default(), Instant::now(), 9_000, &tracks);
    assert_eq!(all.demand.next_bps, 0);
}

#[test]
fn a_dip_does_not_stop_the_picture_but_a_lack_does() {
    let camera = camera();
    let tracks = [track(1, Content::Motion, 0, &camera)];
    let epoch = Instant::now();
    let mut allocator = Allocator::default();
    let mut choice = |millis: u64, kbps| {
        allocate(&mut allocator, epoch + Duration::from_millis(millis), kbps, &tracks).decisions[0].choice
    };
    assert_eq!(choice(0, 120), at(0, 0));
    assert_eq!(choice(100, 80), at(0, 0));
    assert_eq!(choice(900, 80), at(0, 0));
    assert_eq!(choice(1_000, 110), at(0, 0));
    assert_eq!(choice(1_100, 80), at(0, 0));
    assert_eq!(choice(2_100, 80), Choice::Starved);
    assert_eq!(choice(2_200, 110), Choice::Starved);
    assert_eq!(choice(3_000, 130), Choice::Starved);
    assert_eq!(choice(12_000, 130), at(0, 0));
    // Far too little ends it at once.
    assert_eq!(choice(13_000, 30), Choice::Starved);
}

#[test]
fn a_layer_that_is_no_longer_sent_is_replaced() {
    let mut layers = camera();
    let epoch = Instant::now();
    let mut allocator = Allocator::default();
    let mut choice = |millis: u64, layers: &[Layer]| {
        let tracks = [track(1, Content::Motion, 0, layers)];
        allocate(&mut allocator, epoch + Duration::from_millis(millis), 5_000, &tracks).decisions[0].choice
    };
    assert_eq!(choice(0, &layers), at(2, 1));
    layers[4].bitrate_bps = 0;
    layers[5].bitrate_bps = 0;
    assert_eq!(choice(100, &layers), at(1, 1));
    let only_the_highest = &camera()[4..];
    assert_eq!(choice(200, only_the_highest), at(2, 0));
}

/// Estimates and bitrates both waver by a tenth around the point where a layer just fits.
#[test]
fn a_boundary_does_not_flap() {
    with_seeds(20, |seed| {
        let mut random = Random::new(seed);
        let epoch = Instant::now();
        for kbps in [500.0, 540.0, 575.0, 600.0, 1_500.0, 1_725.0] {
            let mut allocator = Allocator::default();
            let mut changes = 0;
            for step in 0..1_200_u64 {
                let mut camera = camera();
                for layer in &mut camera {
                    layer.bitrate_bps = (layer.bitrate_bps as f64 * (0.95 + 0.1 * random.unit())) as u64;
                }
                let now = epoch + Duration::from_millis(step * 100);
                let budget = (kbps * (0.9 + 0.2 * random.unit())) as u64;
                let tracks = [track(1, Content::Motion, 0, &camera)];
                let decision = allocate(&mut allocator, now, budget, &tracks).decisions[0];
                changes += u32::from(decision.changed && step > 0);
            }
            assert!(changes <= 6, "{kbps}: {changes} changes in two minutes");
        }
    });
}

#[test]
fn whatever_is_published_the_budget_holds() {
    with_seeds(80, |seed| {
        let mut random = Random::new(seed);
        let epoch = Instant::now();
        let mut allocator = Allocator::default();
        let mut now = epoch;
        for _ in 0..60 {
            now += Duration::from_millis(random.below(3_000));
            let layers: Vec<Vec<Layer>> = (0..random.below(6))
                .map(|_| {
                    (0..random.below(20))
                        .map(|_| Layer {
                            id: id(random.below(4) as u8, random.below(4) as u8),
                            bitrate_bps: random.below(3_000_000),
                            height: random.below(2_000) as u16,
                        })
                        .collect()
                })
                .collect();
            let tracks: Vec<Track<'_, u32>> = (0..)
                .zip(&layers)
                .map(|(key, layers)| Track {
                    key,
                    content: [Content::Audio, Content::Motion, Content::Detail][random.below(3) as usize],
                    priority: random.below(3) as u8,
                    wanted: Wanted {
                        hidden: random.one_in(0.1),
                        layer_max: random
                            .one_in(0.2)
                            .then(|| id(random.below(4) as u8, random.below(4) as u8)),
                        height: random.one_in(0.2).then(|| random.below(2_000) as u16),
                    },
                    layers,
                })
                .collect();
            let target_bps = random.below(8_000_000);
            let confirmed_bps = random.one_in(0.3).then(|| random.below(target_bps + 1));
            let allocation = allocator.allocate(now, Budget { target_bps, confirmed_bps }, &tracks);
            assert_eq!(allocation.decisions.len(), tracks.len());
            let audio = |track: &&Track<'_, u32>| track.content == Content::Audio && !track.wanted.hidden;
            let audio_bps: u64 = tracks
                .iter()
                .filter(audio)
                .filter_map(|track| track.layers.first())
                .map(|it| it.bitrate_bps)
                .sum();
            // A picture in its last second of grace may cost twice what is there.
            assert!(allocation.total_bps <= audio_bps + 2 * target_bps, "{allocation:?} for {target_bps}");
            for (track, decision) in tracks.iter().zip(&allocation.decisions) {
                if let Choice::Layer(chosen) = decision.choice {
                    assert!(track.layers.iter().any(|layer| layer.id == chosen));
                    assert!(!track.wanted.hidden);
                }
            }
        }
    });
}
