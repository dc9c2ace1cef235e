//! The upper end of a pipe: somebody further down who is given a stream. Which of its layers it wants, what it has been
//! told, and who watches there.
//!
//! It decides, and puts words into its pipe; where packets come from is known to `branching`.

use std::time::{Duration, Instant};

use turnpike_wire::UserId;

use super::forwarding::BEGINNING_AGE_MAX;
use super::stream::VIEWERS_NAMED_MAX;
use super::track::{Layer, Track};
use crate::carry::{Blocked, Carried, CarriedStream, Down, Downward};

/// A layer's bit; more than these are not handed on.
pub(crate) const LAYERS_MAX: usize = 8;
/// Tracks of which somebody wants layers: as many as a stream has at most, and some that are gone.
const WANTS_MAX: usize = 512;
/// Whoever comes and goes is told so often at most: the count has to be right within a second through several relays.
const VIEWERS_INTERVAL: Duration = Duration::from_millis(100);
/// What layers cost wavers all the time.
const RUNGS_INTERVAL: Duration = Duration::from_millis(500);
/// As long as nothing is heard from the other end, it may not have been there when it was told.
const UNHEARD_INTERVAL: Duration = Duration::from_millis(250);
/// A keyframe that came or was given so lately may not have arrived yet.
const ON_ITS_WAY: Duration = Duration::from_millis(300);
/// Packets that go again in a second. Beyond that a keyframe helps more.
const REPAIRS_PER_SECOND_MAX: u32 = 4_000;
const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Branch {
    pub(crate) pipe: Downward,
    pub(crate) wants: Vec<Want>,
    /// Further down, all together.
    pub(crate) viewers: u64,
    pub(crate) named: Vec<UserId>,
    /// Something came from the other end.
    pub(crate) is_heard: bool,
    told: Option<CarriedStream>,
    told_at: Option<Instant>,
    repairs_left: u32,
    repairs_at: Option<Instant>,
    /// It does not take what it has to be told.
    pub(crate) is_broken: bool,
}

/// What is wanted of a track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) number: u16,
    /// A bit a layer.
    pub(crate) layers: u8,
    /// Of these it has had a beginning, or there was none.
    pub(crate) begun: u8,
    /// Which of the publisher's clocks it was told last.
    clocks: [Option<Instant>; LAYERS_MAX],
    /// When it was given a keyframe with which it can begin.
    given: [Option<Instant>; LAYERS_MAX],
}

impl Want {
    fn new(number: u16) -> Self {
        Self { number, layers: 0, begun: 0, clocks: [None; LAYERS_MAX], given: [None; LAYERS_MAX] }
    }
}

/// How soon a difference is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    None,
    Slowly,
    Soon,
    AtOnce,
}

impl Branch {
    pub(crate) fn new(pipe: Downward) -> Self {
        Self {
            pipe,
            wants: Vec::new(),
            viewers: 0,
            named: Vec::new(),
            is_heard: false,
            told: None,
            told_at: None,
            repairs_left: 0,
            repairs_at: None,
            is_broken: false,
        }
    }

    /// Other layers are wanted than before.
    pub(crate) fn want(&mut self, wanted: &[(u16, u8)]) {
        let before = std::mem::take(&mut self.wants);
        for (number, layers) in wanted.iter().copied().take(WANTS_MAX) {
            let known = before.iter().find(|want| want.number == number);
            let mut want = known.copied().unwrap_or_else(|| Want::new(number));
            (want.layers, want.begun) = (layers, want.begun & layers);
            for (layer, clock) in want.clocks.iter_mut().enumerate() {
                if layers & (1 << layer) == 0 {
                    *clock = None;
                }
            }
            self.wants.push(want);
        }
    }

    pub(crate) fn audience(&mut self, viewers: u64, mut named: Vec<UserId>) -> bool {
        named.truncate(VIEWERS_NAMED_MAX);
        let is_news = (self.viewers, &self.named) != (viewers, &named);
        (self.viewers, self.named) = (viewers, named);
        is_news
    }

    pub(crate) fn wanted(&self, number: u16) -> u8 {
        self.wants.iter().find(|want| want.number == number).map_or(0, |want| want.layers)
    }

    /// Whether it is given what comes of that layer.
    pub(crate) fn takes(&self, number: u16, layer: u8) -> bool {
        let bit = 1_u8.checked_shl(u32::from(layer)).unwrap_or(0);
        self.wants.iter().any(|want| want.number == number && want.begun & bit != 0)
    }

    /// Whether it waits for the beginning of a layer.
    pub(crate) fn waits(&self, number: u16) -> bool {
        self.wants.iter().any(|want| want.number == number && want.layers & !want.begun != 0)
    }

    /// True if the packet was lost.
    pub(crate) fn packet(&mut self, packet: Carried) -> bool {
        self.put(Down::Packet(packet)).is_err()
    }

    pub(crate) fn put(&mut self, word: Down) -> Result<(), Blocked> {
        let is_packet = matches!(word, Down::Packet(_));
        let taken = self.pipe.put(word);
        if matches!(taken, Err(Blocked::Closed)) || (taken.is_err() && !is_packet) {
            self.is_broken = true;
        }
        taken
    }

    /// Whether another packet may be sent again.
    pub(crate) fn may_repair(&mut self, now: Instant) -> bool {
        if self.repairs_at.is_none_or(|at| now.saturating_duration_since(at) >= SECOND) {
            (self.repairs_at, self.repairs_left) = (Some(now), REPAIRS_PER_SECOND_MAX);
        }
        let may = self.repairs_left > 0;
        self.repairs_left = self.repairs_left.saturating_sub(1);
        may
    }

    /// Tells how the stream is, if that is due. Gives when to look again.
    pub(crate) fn tell(&mut self, now: Instant, stream: &CarriedStream) -> Option<Instant> {
        let difference = self.told.as_ref().map_or(Difference::AtOnce, |told| differs(told, stream));
        let interval = match difference {
            Difference::AtOnce => Duration::ZERO,
            Difference::Soon => VIEWERS_INTERVAL,
            Difference::Slowly => RUNGS_INTERVAL,
            Difference::None if !self.is_heard => UNHEARD_INTERVAL,
            Difference::None => return None,
        };
        let due = self.told_at.map_or(now, |at| at + interval);
        if now < due {
            return Some(due);
        }
        (self.told, self.told_at) = (Some(stream.clone()), Some(now));
        let _ = self.put(Down::Stream(stream.clone()));
        (!self.is_heard).then(|| now + UNHEARD_INTERVAL)
    }

    /// Tells the publisher's clocks that it does not know.
    pub(crate) fn tell_clocks(&mut self, now: Instant, track: &Track) {
        let mut words = smallvec::SmallVec::<[Down; 4]>::new();
        let Some(want) = self.wants.iter_mut().find(|want| want.number == track.number) else { return };
        for (index, (layer, told)) in track.layers.iter().zip(&mut want.clocks).enumerate() {
            let Some((clock, came)) = layer.clock.filter(|_| want.layers & (1 << index) != 0) else {
                continue;
            };
            if *told == Some(came) {
                continue;
            }
            *told = Some(came);
            let age_ms = now.saturating_duration_since(came).as_millis() as u32;
            words.push(Down::Clock { track: track.number, layer: index as u8, clock, age_ms });
        }
        for word in words {
            let _ = self.put(word);
        }
    }

    /// Whether a keyframe that it asks for is on its way to it already.
    pub(crate) fn has_keyframe(&self, now: Instant, track: &Track, layer: u8) -> bool {
        let is_lately =
            |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < ON_ITS_WAY);
        let want = self.wants.iter().find(|want| want.number == track.number);
        let given = want.and_then(|want| want.given.get(usize::from(layer)).copied().flatten());
        let came = track.layers.get(usize::from(layer)).and_then(|layer| layer.began(now, ON_ITS_WAY));
        is_lately(given) || came.is_some()
    }

    /// Gives the beginnings of layers that are wanted newly: a keyframe and all since, or else a picture at least. Who needs
    /// a keyframe asks for it.
    pub(crate) fn begin(&mut self, now: Instant, track: &Track) {
        let Some(want) = self.wants.iter_mut().find(|want| want.number == track.number) else { return };
        let new = want.layers & !want.begun;
        let mut packets = Vec::new();
        for (index, layer) in track.layers.iter().enumerate().take(LAYERS_MAX) {
            let bit = 1 << index;
            if new & bit == 0 || track.muted {
                continue;
            }
            if !track.is_video() {
                want.begun |= bit;
                continue;
            }
            let index = index as u8;
            if let Some(numbers) = layer.beginning(now, BEGINNING_AGE_MAX) {
                let all = numbers.filter_map(|seq| layer.cache.get(seq));
                packets.extend(all.map(|cached| Carried::of(track, index, cached, false)));
                want.begun |= bit;
                want.given[usize::from(index)] = Some(now);
            } else if let Some(still) = layer.still().filter(|still| !still.is_empty()) {
                packets.extend(still.iter().map(|cached| Carried::of(track, index, cached, true)));
                want.begun |= bit;
            } else if layer.cache.newest().is_some() {
                want.begun |= bit;
            }
        }
        for packet in packets {
            self.packet(packet);
        }
    }
}

impl Carried {
    pub(crate) fn of(
        track: &Track,
        layer: u8,
        cached: &super::send_cache::Cached<super::track::Facts>,
        is_again: bool,
    ) -> Self {
        Self {
            track: track.number,
            layer,
            life: track.layers.get(usize::from(layer)).map_or(0, |layer: &Layer| layer.life),
            is_again,
            marker: cached.marker,
            sequence: cached.seq as u16,
            timestamp: cached.timestamp,
            extensions: bytes::Bytes::copy_from_slice(&cached.extensions),
            payload: bytes::Bytes::copy_from_slice(&cached.payload),
        }
    }
}

fn differs(told: &CarriedStream, stream: &CarriedStream) -> Difference {
    let is_same = |(told, track): (&crate::carry::CarriedTrack, &crate::carry::CarriedTrack)| {
        let is_same_layer = |(told, layer): (&crate::carry::CarriedLayer, &crate::carry::CarriedLayer)| {
            (told.life, told.is_active, told.size, &told.rid)
                == (layer.life, layer.is_active, layer.size, &layer.rid)
        };
        (told.number, told.publisher, told.muted, told.codec, &told.mid, told.layers.len())
            == (track.number, track.publisher, track.muted, track.codec, &track.mid, track.layers.len())
            && told.layers.iter().zip(&track.layers).all(is_same_layer)
    };
    if told.path != stream.path
        || told.tracks.len() != stream.tracks.len()
        || !told.tracks.iter().zip(&stream.tracks).all(is_same)
    {
        return Difference::AtOnce;
    }
    if (told.viewers, told.is_recorded) != (stream.viewers, stream.is_recorded) {
        return Difference::Soon;
    }
    let layers = |stream: &CarriedStream| -> Vec<(u8, u8, u64)> {
        stream.tracks.iter().flat_map(|track| &track.layers).flat_map(|layer| layer.rungs.clone()).collect()
    };
    let (before, after) = (layers(told), layers(stream));
    // What wavers by less changes nobody's choice.
    let is_near = |((s, t, was), (spatial, temporal, is)): (&(u8, u8, u64), &(u8, u8, u64))| {
        s == spatial && t == temporal && was.abs_diff(*is) <= was / 8
    };
    let is_near = before.len() == after.len() && before.iter().zip(&after).all(is_near);
    if is_near { Difference::None } else { Difference::Slowly }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::carry::{PipeId, Sink};

    #[derive(Default)]
    struct Kept(Mutex<Vec<Down>>);

    impl Sink<Down> for Kept {
        fn put(&self, word: Down) -> Result<(), Blocked> {
            self.0.lock().unwrap().push(word);
            Ok(())
        }
    }

    #[test]
    fn what_changes_is_told_and_what_wavers_is_told_slowly() {
        let (kept, start) = (Arc::new(Kept::default()), Instant::now());
        let mut branch = Branch::new(Downward::new(PipeId(1), kept.clone()));
        let mut told = Vec::new();
        for ms in 0..2_000_u64 {
            branch.is_heard = ms > 600;
            let stream = CarriedStream { viewers: ms.saturating_sub(1_000) / 10, ..CarriedStream::default() };
            branch.tell(start + Duration::from_millis(ms), &stream);
            if !kept.0.lock().unwrap().drain(..).as_slice().is_empty() {
                told.push(ms);
            }
        }
        assert_eq!(told, [0, 250, 500, 1_010, 1_110, 1_210, 1_310, 1_410, 1_510, 1_610, 1_710, 1_810, 1_910]);
    }

    #[test]
    fn what_was_begun_is_not_begun_again() {
        let mut branch = Branch::new(Downward::new(PipeId(1), Arc::new(Kept::default())));
        branch.want(&[(7, 0b011), (9, 1)]);
        assert!(branch.waits(7) && !branch.takes(7, 0));
        branch.wants[0].begun = 0b011;
        branch.want(&[(7, 0b110)]);
        assert!(branch.waits(7) && branch.takes(7, 1) && !branch.takes(7, 0) && !branch.takes(7, 2));
        assert!(!branch.takes(7, 200) && branch.wanted(9) == 0);
        branch.want(&vec![(1, 1); 100_000]);
        assert_eq!(branch.wants.len(), WANTS_MAX);
    }
}
