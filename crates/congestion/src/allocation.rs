//! Which layers of which tracks a viewer gets for a budget.
//!
//! Down at once; up only with a margin that has lasted, or that a probe has shown. It owns what was chosen last, and
//! must not know where a budget comes from or how a layer is switched to.

mod ladder;
mod plan;

use crate::estimator::Demand;
use ladder::Ladder;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// So much more than it costs must be there before a layer is taken: measured bitrates waver by about that.
const MARGIN: f64 = 1.15;
/// The same where a probe has just shown what is there.
const MARGIN_SHOWN: f64 = 1.08;
/// For so long the margin must last ...
const PATIENCE: Duration = Duration::from_secs(2);
/// ... and twice as long each time that a layer had to be given up soon after it was taken, up to this.
const PATIENCE_MAX: Duration = Duration::from_secs(32);
const SOON: Duration = Duration::from_secs(10);
/// After so long without giving up a layer the patience is what it was.
const FORGIVEN: Duration = Duration::from_mins(1);
/// A picture is stopped only when its lowest layer has not fitted for so long, or does not fit by far.
const STOP_AFTER: Duration = Duration::from_secs(1);
const FAR: f64 = 0.5;

/// Ordered by quality: spatial first. A simulcast layer is a spatial one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId {
    pub spatial: u8,
    pub temporal: u8,
}

/// A layer as it is published.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub id: LayerId,
    /// Measured, with all that it depends on; zero while it is not sent.
    pub bitrate_bps: u64,
    /// Of the picture, zero if it is not known.
    pub height: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Always gets what it needs.
    Audio,
    /// A camera: half of the frame rate at least before a larger picture.
    Motion,
    /// A screen: a larger picture first.
    Detail,
}

/// What the viewer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Not shown at all, or muted.
    pub hidden: bool,
    /// No better layer than this, unless no other is sent.
    pub layer_max: Option<LayerId>,
    /// The height at which it is shown.
    pub height: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub struct Track<'a, K> {
    pub key: K,
    pub content: Content,
    /// What is higher is served first: a screen before a camera, who speaks before who listens.
    pub priority: u8,
    pub wanted: Wanted,
    /// In any order. What exceeds [`LAYERS_MAX`] is not looked at.
    pub layers: &'a [Layer],
}

/// One a track. A viewer has two or three, and chooses ten times a second: that takes no memory of its own.
pub type Each<T> = SmallVec<[T; 4]>;

/// Four spatial times four temporal ones.
pub const LAYERS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Layer(LayerId),
    /// The viewer does not want it.
    Hidden,
    /// No layer of it is sent, or none as slow as the viewer allows.
    Absent,
    /// Not even its lowest layer fits: the viewer is told.
    Starved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<K> {
    pub key: K,
    pub choice: Choice,
    /// Since the last allocation.
    pub changed: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The target, less what is kept for retransmissions if the caller wants so.
    pub target_bps: u64,
    /// Up to this a probe has just shown that it fits.
    pub confirmed_bps: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Allocation<K> {
    /// In the order of the tracks.
    pub decisions: Each<Decision<K>>,
    pub total_bps: u64,
    /// For the estimator.
    pub demand: Demand,
}

#[derive(Clone, Copy, Debug)]
struct Chosen<K> {
    key: K,
    choice: Choice,
    wanted: Wanted,
}

/// One a viewer.
#[derive(Debug)]
pub struct Allocator<K> {
    chosen: Each<Chosen<K>>,
    rising_since: Option<Instant>,
    starving_since: Option<Instant>,
    rose_at: Option<Instant>,
    fell_at: Option<Instant>,
    patience: Duration,
}

impl<K> Default for Allocator<K> {
    fn default() -> Self {
        Self {
            chosen: Each::new(),
            rising_since: None,
            starving_since: None,
            rose_at: None,
            fell_at: None,
            patience: PATIENCE,
        }
    }
}

impl<K: Copy + Eq> Allocator<K> {
    /// Call when the estimate, a track or a wish changes, and every 100 ms or so besides.
    pub fn allocate(&mut self, now: Instant, budget: Budget, tracks: &[Track<'_, K>]) -> Allocation<K> {
        let audio_bps = tracks.iter().filter(|track| track.content == Content::Audio).map(audio_bps).sum();
        let ladders: Each<Ladder> = tracks.iter().map(Ladder::new).collect();
        let before: Each<Option<Chosen<K>>> = tracks
            .iter()
            .map(|track| self.chosen.iter().find(|chosen| chosen.key == track.key).copied())
            .collect();

        // What can be kept of what is: the whole budget, but nothing higher than before. New tracks start at once.
        let caps: Each<usize> = ladders
            .iter()
            .zip(&before)
            .map(|(ladder, before)| cap(ladder, before.map(|it| it.choice)))
            .collect();
        let left_bps = budget.target_bps.saturating_sub(audio_bps);
        let mut levels = plan::plan(&ladders, &caps, left_bps);
        if levels.iter().zip(&caps).zip(&before).any(|((level, cap), before)| level < cap && before.is_some())
        {
            self.fall(now);
        }
        self.spare_the_last(now, &mut levels, &caps, &before, &ladders, left_bps);

        // What could be had with the margin.
        let free: Each<usize> = ladders.iter().map(Ladder::len).collect();
        let shown_bps = budget.confirmed_bps.unwrap_or(0).min(budget.target_bps);
        let careful_bps = (budget.target_bps as f64 / MARGIN).max(shown_bps as f64 / MARGIN_SHOWN) as u64;
        let better = plan::plan(&ladders, &free, careful_bps.saturating_sub(audio_bps));
        if plan::is_better(&ladders, &better, &levels) {
            let since = *self.rising_since.get_or_insert(now);
            let needed_bps = plan::total_bps(&ladders, &better) + audio_bps;
            let shown = shown_bps >= needed_bps;
            let asked =
                tracks.iter().zip(&before).any(|(track, it)| it.is_none_or(|it| it.wanted != track.wanted));
            if shown || asked || now.saturating_duration_since(since) >= self.patience {
                levels = better;
                self.rising_since = None;
                self.rose_at = Some(now);
            }
        } else {
            self.rising_since = None;
        }

        let choices = tracks
            .iter()
            .zip(&ladders)
            .zip(&levels)
            .map(|((track, ladder), &level)| choose(track, ladder, level));
        let decisions: Each<Decision<K>> = tracks
            .iter()
            .zip(choices)
            .zip(&before)
            .map(|((track, choice), before)| Decision {
                key: track.key,
                choice,
                changed: before.is_none_or(|before| before.choice != choice),
            })
            .collect();
        self.chosen.clear();
        self.chosen.extend(tracks.iter().zip(&decisions).map(|(track, decision)| Chosen {
            key: track.key,
            choice: decision.choice,
            wanted: track.wanted,
        }));
        let total_bps = plan::total_bps(&ladders, &levels) + audio_bps;
        let next_bps = plan::next_step_bps(&ladders, &levels).map_or(0, |step| with_margin(total_bps + step));
        let most_bps = with_margin(plan::total_bps(&ladders, &free) + audio_bps);
        Allocation { decisions, total_bps, demand: Demand { next_bps, most_bps } }
    }

    fn fall(&mut self, now: Instant) {
        let within =
            |at: Option<Instant>, span| at.is_some_and(|at| now.saturating_duration_since(at) < span);
        if within(self.rose_at, SOON) {
            self.patience = (self.patience * 2).min(PATIENCE_MAX);
            // The same rise is not blamed twice.
            self.rose_at = None;
        } else if !within(self.fell_at, FORGIVEN) {
            self.patience = PATIENCE;
        }
        self.fell_at = Some(now);
        self.rising_since = None;
    }

    /// A dip does not stop a picture.
    fn spare_the_last(
        &mut self,
        now: Instant,
        levels: &mut [usize],
        caps: &[usize],
        before: &[Option<Chosen<K>>],
        ladders: &[Ladder],
        left_bps: u64,
    ) {
        let starved =
            |index: usize, levels: &[usize]| levels[index] == 0 && caps[index] > 0 && before[index].is_some();
        if !(0..levels.len()).any(|index| starved(index, levels)) {
            self.starving_since = None;
            return;
        }
        let since = *self.starving_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= STOP_AFTER {
            return;
        }
        let mut total_bps = plan::total_bps(ladders, levels);
        for index in 0..levels.len() {
            let bps = ladders[index].bps(1);
            if starved(index, levels) && (total_bps + bps) as f64 * FAR <= left_bps as f64 {
                levels[index] = 1;
                total_bps += bps;
            }
        }
    }
}

fn with_margin(bps: u64) -> u64 {
    (bps as f64 * MARGIN).ceil() as u64 + 1
}

fn audio_bps<K>(track: &Track<'_, K>) -> u64 {
    if track.wanted.hidden { 0 } else { track.layers.first().map_or(0, |layer| layer.bitrate_bps) }
}

/// The highest level that needs no margin.
fn cap(ladder: &Ladder, before: Option<Choice>) -> usize {
    match before {
        None => ladder.len(),
        Some(Choice::Layer(id)) => ladder.level_up_to(id),
        // Becoming visible or being sent again is not a rise.
        Some(Choice::Hidden | Choice::Absent) => ladder.len().min(1),
        Some(Choice::Starved) => 0,
    }
}

fn choose<K>(track: &Track<'_, K>, ladder: &Ladder, level: usize) -> Choice {
    if track.wanted.hidden {
        return Choice::Hidden;
    }
    if track.content == Content::Audio {
        return track.layers.first().map_or(Choice::Absent, |layer| Choice::Layer(layer.id));
    }
    match ladder.id(level) {
        Some(id) => Choice::Layer(id),
        None if ladder.len() == 0 => Choice::Absent,
        None => Choice::Starved,
    }
}
