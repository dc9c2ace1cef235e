//! From a track to those who watch it: choosing, pacing, writing and sealing, in place.

mod padding;

use std::time::{Duration, Instant};

use smallvec::SmallVec;
use turnpike_congestion::allocation::{Each, Layer as Rung, LayerId};
use turnpike_congestion::pacer::{Release, Verdict};
use turnpike_congestion::probe::ProbeId;
use turnpike_rtp::codec::dependency;
use turnpike_rtp::extension::AbsSendTime;
use turnpike_rtp::rewriter::Output;
use turnpike_rtp::rtcp::{SenderInfo, Writer};
use turnpike_rtp::{Element, ExtensionKind, Fields, rtx, write_header};
use turnpike_transport::srtp::OVERHEAD_BYTES_MAX;
use turnpike_transport::{Path, Transport};

use super::counters::{Counters, Ignored};
use super::forwarder::{Passing, Way};
use super::peer::{Peer, Role};
use super::requests::repair;
use super::send_cache::Cached;
use super::track::{Facts, Layer, Origin, Track, TrackKey};
use super::viewer::Viewer;
use super::{Busy, Outlet, Sfu};

/// Header, extensions and the number of a repair.
const HEADER_BYTES_MAX: usize = 12 + 4 + 288 + rtx::OSN_BYTES;
const RTCP_BYTES_MAX: usize = 1_200;
/// What the path feels beside the payload: about 40 of RTP and its protection, 28 of IP and UDP.
const BESIDE_PAYLOAD: usize = 40 + 28;
/// None at all would be a layer that is not there.
const RUNG_BITS_MIN: u64 = 1_000;
/// Somebody who comes late begins with a keyframe that is no older: what came since then has to be sent at once.
pub(super) const BEGINNING_AGE_MAX: Duration = Duration::from_secs(1);
/// Whoever has to do with less does not wait for a keyframe that is no older: what was shown already is shown again, quickly.
/// To wait would be to go on with more than the path takes, for as much as a second.
const FALL_AGE_MAX: Duration = Duration::from_millis(400);
/// Releases a viewer and round: more than a keyframe.
const RELEASES_PER_ROUND: usize = 512;

impl Sfu {
    /// Gives what came of a track in this round to everyone who watches it.
    pub(super) fn forward(&mut self, now: Instant, key: TrackKey, out: &mut impl Outlet) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        if std::mem::take(&mut track.is_other) {
            self.rebind(key);
        }
        self.pour(now, key);
        let Some(track) = self.tracks.get_mut(key) else { return };
        let fresh = std::mem::take(&mut track.fresh);
        let track = &self.tracks[key];
        let mut wanted: SmallVec<[u8; 4]> = SmallVec::new();
        let is_muted = track.muted;
        let mut known: SmallVec<[(u8, bool); 4]> = SmallVec::new();
        let mut begins = |layer: u8| {
            let before = known.iter().find(|(index, _)| *index == layer).map(|(_, begins)| *begins);
            before.unwrap_or_else(|| {
                let found = track.layers.get(usize::from(layer));
                let begins = found.is_some_and(|layer| layer.beginning(now, BEGINNING_AGE_MAX).is_some());
                known.push((layer, begins));
                begins
            })
        };
        for (peer_key, index) in &track.viewers {
            self.busy = Some(Busy::Peer(*peer_key));
            let Some(peer) = self.peers.get_mut(*peer_key) else { continue };
            let Peer { role: Role::Viewer(viewer), transport, .. } = peer else { continue };
            let Some(path) = transport.path().filter(|_| viewer.is_ready && !is_muted) else { continue };
            for packet in &fresh {
                let Some(cached) =
                    track.layers.get(usize::from(packet.layer)).and_then(|l| l.cache.get(packet.seq))
                else {
                    continue;
                };
                let Some(forwarder) = viewer.forwarders.get_mut(*index) else { continue };
                let ms = cached.arrived.saturating_duration_since(self.epoch).as_millis() as u64;
                let passing = forwarder.consider(key, packet.layer, track, cached, packet.is_late, ms);
                if let Some(passing) = passing {
                    let passing = Passing { forwarder: *index as u8, ..passing };
                    let way = Sending { now, epoch: self.epoch, path, counters: &self.counters };
                    if way.admit(viewer, transport, track, cached, passing, out) {
                        // It waits for its turn.
                        self.agenda.note(*peer_key, viewer.pacer.next_due());
                    }
                }
            }
            if let Some(forwarder) = viewer.forwarders.get(*index)
                && let Some(layer) = forwarder.waits_for(track).filter(|_| track.is_video() && !is_muted)
                && !wanted.contains(&layer)
            {
                if forwarder.is_dark() && begins(layer) {
                    // A keyframe is there, of which the first came last.
                    self.agenda.note(*peer_key, Some(now));
                } else {
                    wanted.push(layer);
                }
            }
        }
        for layer in &wanted {
            self.want_keyframe(now, key, *layer);
        }
        let mut fresh = fresh;
        fresh.clear();
        if let Some(track) = self.tracks.get_mut(key) {
            track.fresh = fresh;
        }
    }

    /// What is due for a viewer: layers, what waited, reports.
    pub(super) fn serve(&mut self, now: Instant, key: usize, out: &mut impl Outlet) {
        let Some(Peer { role: Role::Viewer(viewer), transport, stream, .. }) = self.peers.get_mut(key) else {
            return;
        };
        let Some(path) = transport.path().filter(|_| viewer.is_ready) else { return };
        let tracks = &mut self.tracks;
        let chooses = viewer.is_choosing(now);
        if chooses {
            for forwarder in &mut viewer.forwarders {
                if let Some(track) = forwarder.track.and_then(|track| tracks.get(track)) {
                    forwarder.look_at_order(track);
                }
            }
        }
        let is_changed = viewer.allocate(now, |forwarder| {
            let Some(track) = forwarder.track.and_then(|track| tracks.get(track)) else { return Each::new() };
            rungs(now, track)
        });
        let stream = *stream;
        let is_dead = |forwarder: &super::forwarder::Forwarder| {
            forwarder.track.and_then(|track| tracks.get(track)).is_some_and(|track| track.is_dead(now))
        };
        let has_dead = viewer.forwarders.iter().any(is_dead);
        let mut waiting: SmallVec<[(TrackKey, u8, usize); 4]> = SmallVec::new();
        for (index, forwarder) in viewer.forwarders.iter().enumerate() {
            let Some(track) = forwarder.track.and_then(|track| tracks.get(track)) else { continue };
            if let Some(layer) = forwarder.waits_for(track).filter(|_| track.is_video()) {
                waiting.push((forwarder.track.unwrap_or_default(), layer, index));
            }
        }
        let way = Sending { now, epoch: self.epoch, path, counters: &self.counters };
        let mut keyframes: SmallVec<[(TrackKey, u8); 4]> = SmallVec::new();
        for (track_key, layer, index) in waiting {
            let Some(track) = tracks.get(track_key).filter(|track| !track.muted) else { continue };
            let is_dark = viewer.forwarders[index].is_dark();
            let falls = viewer.forwarders[index].falls(track, layer);
            let age_max = if is_dark { BEGINNING_AGE_MAX } else { FALL_AGE_MAX };
            let beginning = track.layers.get(usize::from(layer));
            let beginning = beginning.and_then(|layer| layer.beginning(now, age_max));
            if let Some(numbers) = beginning.filter(|_| is_dark || falls) {
                // A picture at once, and what has come since in the pacer's time.
                let packets = numbers.filter_map(|seq| track.layers[usize::from(layer)].cache.get(seq));
                for cached in packets {
                    way.begin(viewer, transport, track, track_key, layer, index, cached, out);
                }
                // Unless it is one that the viewer has had before.
                if viewer.forwarders[index].current() == Some(layer) {
                    continue;
                }
            }
            // A picture at least, and then whatever follows on the next keyframe.
            let still = track.layers.get(usize::from(layer)).and_then(Layer::still);
            if let Some(still) = still.filter(|_| is_dark && !viewer.forwarders[index].has_still) {
                for cached in still {
                    way.begin(viewer, transport, track, track_key, layer, index, cached, out);
                }
                viewer.forwarders[index].wait_for_keyframe();
            }
            keyframes.push((track_key, layer));
        }
        for passing in std::mem::take(&mut viewer.repairs) {
            let Some(track) = tracks.get(passing.track as usize) else { continue };
            if let Some(cached) = track.packet(&passing) {
                way.admit(viewer, transport, track, cached, passing, out);
            }
        }
        way.release(viewer, transport, tracks, out);
        if now >= viewer.report_due {
            viewer.report_told(now);
            way.report(viewer, transport, tracks, out);
        }
        for (track, layer) in keyframes {
            self.want_keyframe(now, track, layer);
        }
        if is_changed {
            self.wants_changed(now, stream);
        }
        if chooses {
            self.tell_own(now, key);
        }
        if has_dead {
            self.bind(now, key);
        }
    }

    /// Whoever the track comes from is to be asked for a keyframe.
    pub(super) fn want_keyframe(&mut self, now: Instant, key: TrackKey, layer: u8) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        if let Some(layer) = track.layers.get_mut(usize::from(layer)) {
            layer.keyframe.want();
            self.look_at_origin(now, key);
        }
    }

    /// There may be something to ask of whoever the track comes from.
    pub(super) fn look_at_origin(&mut self, now: Instant, key: TrackKey) {
        match self.tracks.get(key).map(|track| (track.origin, track.stream)) {
            Some((Origin::Peer(publisher), _)) => self.agenda.note(publisher, Some(now)),
            Some((Origin::Feed, stream)) => self.carrying.note(stream, Some(now)),
            None => {}
        }
    }
}

/// What a track has to offer to whoever chooses, the least first.
fn rungs(now: Instant, track: &Track) -> Each<Rung> {
    let mut rungs = Each::new();
    // A picture in which nothing moves, as of a screen, is sent no more, and yet there to be seen.
    let stands = !track.is_alive(now);
    for (rank, index) in track.order.iter().enumerate() {
        let Some(layer) = track.layers.get(usize::from(*index)) else { continue };
        let height = layer.size.map_or(0, |(_, height)| height);
        let is_active = layer.is_active(now);
        for (spatial, temporal, bits) in layer.rungs() {
            // Several layers are spatial ones by themselves.
            let spatial = if track.layers.len() > 1 { rank as u8 } else { spatial };
            let bitrate_bps = match (is_active, stands) {
                (true, _) => bits.max(RUNG_BITS_MIN),
                // What stands still where it comes from is not here before somebody wants it.
                (false, true) if layer.still().is_some() || layer.told.is_some() => RUNG_BITS_MIN,
                (false, _) => 0,
            };
            rungs.push(Rung { id: LayerId { spatial, temporal }, bitrate_bps, height });
        }
    }
    rungs
}

/// Seals a compound and puts it into the batch.
pub(super) fn send_rtcp(transport: &mut Transport, path: Path, compound: &[u8], out: &mut impl Outlet) {
    let slot = out.slot(path, compound.len() + OVERHEAD_BYTES_MAX);
    slot[..compound.len()].copy_from_slice(compound);
    if let Ok(len) = transport.seal_rtcp(slot, compound.len()) {
        out.commit(len);
    }
}

/// A round's sending to one viewer.
struct Sending<'s> {
    now: Instant,
    epoch: Instant,
    path: Path,
    counters: &'s Counters,
}

impl Sending<'_> {
    /// Sends the packet, or lets it wait. True if it waits.
    fn admit(
        &self,
        viewer: &mut Viewer,
        transport: &mut Transport,
        track: &Track,
        cached: &Cached<Facts>,
        passing: Passing,
        out: &mut impl Outlet,
    ) -> bool {
        let bytes = cached.payload.len() + BESIDE_PAYLOAD;
        match viewer.pacer.admit(self.now, passing.class(track.is_video()), bytes, passing) {
            Verdict::Send { probe } => {
                self.send(viewer, transport, cached, passing, probe, out);
                false
            }
            Verdict::Queued => true,
            Verdict::Dropped => {
                self.counters.ignore(Ignored::Paced);
                false
            }
        }
    }

    /// Gives a viewer a packet of before it came.
    #[allow(clippy::too_many_arguments, reason = "whose, which and whereto")]
    fn begin(
        &self,
        viewer: &mut Viewer,
        transport: &mut Transport,
        track: &Track,
        key: TrackKey,
        layer: u8,
        index: usize,
        cached: &Cached<Facts>,
        out: &mut impl Outlet,
    ) {
        let ms = cached.arrived.saturating_duration_since(self.epoch).as_millis() as u64;
        let passing = viewer.forwarders[index].consider(key, layer, track, cached, false, ms);
        if let Some(passing) = passing {
            self.admit(viewer, transport, track, cached, Passing { forwarder: index as u8, ..passing }, out);
        }
    }

    /// What has waited and may go now.
    fn release(
        &self,
        viewer: &mut Viewer,
        transport: &mut Transport,
        tracks: &slab::Slab<Track>,
        out: &mut impl Outlet,
    ) {
        for _ in 0..RELEASES_PER_ROUND {
            match viewer.pacer.poll(self.now) {
                None => break,
                Some(Release::Expired { .. }) => self.counters.ignore(Ignored::Paced),
                Some(Release::Packet { handle, probe, .. }) => {
                    let track = tracks.get(handle.track as usize);
                    if let Some(cached) = track.and_then(|track| track.packet(&handle)) {
                        self.send(viewer, transport, cached, handle, probe, out);
                    }
                }
                Some(Release::Padding { probe, bytes }) => {
                    if !self.pad(viewer, transport, tracks, probe, out)
                        && !self.pad_with_nothing(viewer, transport, bytes, probe, out)
                    {
                        viewer.pacer.cancel_probe();
                    }
                }
            }
        }
    }

    /// Sends the newest packet of a picture once more, only to see whether it fits.
    fn pad(
        &self,
        viewer: &mut Viewer,
        transport: &mut Transport,
        tracks: &slab::Slab<Track>,
        probe: ProbeId,
        out: &mut impl Outlet,
    ) -> bool {
        let newest = (0..viewer.forwarders.len()).find_map(|index| {
            let forwarder = &viewer.forwarders[index];
            let passing = repair(viewer, index, tracks, forwarder.rewriter.newest_output().0)?;
            let is_shown = forwarder.current() == Some(passing.layer);
            Some((tracks.get(forwarder.track?)?.packet(&passing)?, passing)).filter(|_| is_shown)
        });
        let Some((cached, passing)) = newest else { return false };
        self.send(viewer, transport, cached, passing, Some(probe), out);
        true
    }

    /// Writes a packet where it will be sent from, and seals it there.
    #[inline]
    fn send(
        &self,
        viewer: &mut Viewer,
        transport: &mut Transport,
        cached: &Cached<Facts>,
        passing: Passing,
        probe: Option<ProbeId>,
        out: &mut impl Outlet,
    ) {
        let Viewer { forwarders, extensions: ids, sent, .. } = viewer;
        let forwarder = forwarders.get_mut(usize::from(passing.forwarder));
        let Some(forwarder) = forwarder.filter(|forwarder| forwarder.ssrc == passing.ssrc) else { return };
        let class = passing.class(forwarder.is_video);
        let payload: &[u8] = if passing.way == Way::Filling { &[] } else { &cached.payload };
        let mut fields = Fields {
            marker: passing.marker,
            payload_type: forwarder.payload_type,
            sequence: passing.output.sequence,
            timestamp: passing.output.timestamp,
            ssrc: forwarder.ssrc,
        };
        let mut repaired = None;
        if passing.way == Way::Again {
            let Some(repair) = &mut forwarder.repair else { return };
            repaired = Some(fields.sequence);
            (fields.payload_type, fields.ssrc, fields.sequence) =
                (repair.payload_type, repair.ssrc, repair.sequence);
            repair.sequence = repair.sequence.wrapping_add(1);
        }

        // What viewers get beside the payload, under their own ids.
        let (transport_sequence, send_time, mut descriptor);
        let mut elements: SmallVec<[Element<'_>; 8]> = SmallVec::new();
        if let Some(id) = ids.id(ExtensionKind::TransportSequence) {
            let bytes = payload.len() + BESIDE_PAYLOAD;
            transport_sequence = sent.send(self.now, bytes, class, probe).to_be_bytes();
            elements.push(Element { id, value: &transport_sequence });
        } else if let Some(id) = ids.id(ExtensionKind::AbsSendTime) {
            send_time = AbsSendTime::at(self.now.saturating_duration_since(self.epoch)).bytes();
            elements.push(Element { id, value: &send_time });
        }
        let mut described = None;
        if !cached.extensions.is_empty() {
            let mut rest = &cached.extensions[..];
            while let [kind, len, tail @ ..] = rest {
                let Some((value, tail)) = tail.split_at_checked(usize::from(*len)) else { break };
                rest = tail;
                let Some(kind) = ExtensionKind::ALL.get(usize::from(*kind)).copied() else { continue };
                let Some(id) = ids.id(kind) else { continue };
                if kind == ExtensionKind::DependencyDescriptor {
                    described = Some((id, value));
                    continue;
                }
                elements.push(Element { id, value });
            }
        }
        if let Some((id, value)) = described {
            descriptor = SmallVec::<[u8; 64]>::from_slice(value);
            dependency::set_frame_number(&mut descriptor, passing.output.picture_id);
            elements.push(Element { id, value: &descriptor });
        }

        let slot = out.slot(self.path, HEADER_BYTES_MAX + payload.len() + 1 + OVERHEAD_BYTES_MAX);
        let header = match repaired {
            None => write_header(slot, &fields, &elements),
            Some(original) => rtx::write_header_for(slot, &fields, &elements, original),
        };
        let Ok(start) = header else { return self.counters.ignore(Ignored::Malformed) };
        let mut end = start + payload.len();
        slot[start..end].copy_from_slice(payload);
        if passing.way == Way::Filling {
            // Padding of one byte, which counts itself (RFC 3550 5.1).
            slot[0] |= 0x20;
            slot[end] = 1;
            end += 1;
        } else if cached.facts.frame.is_some_and(|frame| frame.picture.is_some()) {
            let Output { picture_id, tl0, .. } = passing.output;
            forwarder.codec.rewrite_picture(&mut slot[start..end], picture_id, tl0);
        }
        match transport.seal_rtp(slot, end) {
            Ok(len) => {
                out.commit(len);
                self.counters.packet_out(len, repaired.is_some());
                if repaired.is_none() {
                    forwarder.packets = forwarder.packets.wrapping_add(1);
                    forwarder.octets = forwarder.octets.wrapping_add(payload.len() as u32);
                }
            }
            Err(_) => self.counters.ignore(Ignored::Transport),
        }
    }

    /// Tells how the times of all tracks lie against each other.
    fn report(
        &self,
        viewer: &mut Viewer,
        transport: &mut Transport,
        tracks: &slab::Slab<Track>,
        out: &mut impl Outlet,
    ) {
        let mut buffer = [0; RTCP_BYTES_MAX];
        let mut compound = Writer::new(&mut buffer);
        for forwarder in &mut viewer.forwarders {
            self.counters.layers_switched(std::mem::take(&mut forwarder.switches));
            let layer = forwarder.track.and_then(|track| tracks.get(track)).and_then(|track| {
                let layer = track.layers.get(usize::from(forwarder.current()?))?;
                Some((layer.source, layer.clock?, track.clock_hz))
            });
            let Some((source, (clock, came), clock_hz)) = layer else { continue };
            let Some(mapping) = forwarder.rewriter.mapping(source, clock) else { continue };
            // The same line of time, at this moment.
            let since = self.now.saturating_duration_since(came);
            let ntp = mapping.ntp.plus(since);
            let info = SenderInfo {
                ssrc: forwarder.ssrc,
                ntp,
                rtp: mapping.rtp_at(ntp, clock_hz),
                packets: forwarder.packets,
                octets: forwarder.octets,
            };
            if compound.sender_report(&info, &[]).is_ok() {
                forwarder.reported = Some((ntp.middle(), self.now));
                let _ = compound.cname(forwarder.ssrc, CNAME);
            }
        }
        if !compound.is_empty() {
            send_rtcp(transport, self.path, compound.written(), out);
        }
    }
}

/// All that a relay sends to a viewer is to be shown together.
pub(super) const CNAME: &[u8] = b"turnpike";

/// A viewer's clock ran so long between report and answer.
pub(super) fn since_report(units: u32) -> Duration {
    Duration::from_secs_f64(f64::from(units) / 65_536.0)
}
