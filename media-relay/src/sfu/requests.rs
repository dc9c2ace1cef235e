//! What viewers ask for and report: packets again, keyframes, what arrived.

use std::time::Instant;

use slab::Slab;
use turnpike_congestion::history::Report;
use turnpike_rtp::rtcp::{Compound, Message, Nack, ReportBlock};

use super::counters::{Counters, Ignored};
use super::forwarder::{Passing, Way};
use super::forwarding::since_report;
use super::track::{Track, TrackKey};
use super::viewer::Viewer;

/// Takes a compound of a viewer. Gives the track of which a keyframe is wanted. `reports` is room to work in.
pub(super) fn rtcp(
    now: Instant,
    viewer: &mut Viewer,
    tracks: &mut Slab<Track>,
    reports: &mut Vec<Report>,
    bytes: &[u8],
    counters: &Counters,
) -> Option<TrackKey> {
    let mut asked = None;
    for message in Compound::new(bytes) {
        match message {
            Ok(Message::ReceiverReport(report)) => {
                report.blocks.for_each(|block| reported(now, viewer, &block));
            }
            Ok(Message::SenderReport(report)) => {
                report.blocks.for_each(|block| reported(now, viewer, &block));
            }
            Ok(Message::Nack(nack)) => again(now, viewer, tracks, &nack, counters),
            Ok(Message::Pli(pli)) => asked = keyframe(viewer, tracks, pli.media).or(asked),
            Ok(Message::Fir(fir)) => {
                for entry in fir.entries() {
                    asked = keyframe(viewer, tracks, entry.ssrc).or(asked);
                }
            }
            Ok(Message::Twcc(twcc)) if viewer.may_acknowledge(twcc.packets) => {
                // 24 bits of a signed count.
                let reference = twcc.reference as u32 & 0xff_ffff;
                let lost = viewer.acknowledged(now, reference, twcc.arrivals(), reports);
                counters.lost_out(lost);
            }
            Ok(Message::Remb(remb)) => viewer.estimator.on_remb(now, remb.bits_per_second),
            Ok(Message::Twcc(_)) => counters.ignore(Ignored::Excess),
            Ok(Message::Sdes(_) | Message::Bye(_)) => {}
            Err(_) => counters.ignore(Ignored::Malformed),
        }
    }
    asked
}

fn reported(now: Instant, viewer: &mut Viewer, block: &ReportBlock) {
    let Some(forwarder) = viewer.forwarders.iter().find(|forwarder| forwarder.ssrc == block.ssrc) else {
        return;
    };
    if let Some((middle, sent)) =
        forwarder.reported.filter(|(middle, _)| *middle == block.last_report && *middle != 0)
    {
        debug_assert_eq!(middle, block.last_report);
        let there_and_back = now.saturating_duration_since(sent);
        let there_and_back = there_and_back.saturating_sub(since_report(block.since_last_report));
        viewer.estimator.on_rtt(there_and_back);
        viewer.lately.measured(there_and_back);
    }
    viewer.estimator.on_loss_report(now, block.fraction_lost);
}

/// Packets go again if they are still there, each as the viewer had it, in the stream of repairs.
fn again(now: Instant, viewer: &mut Viewer, tracks: &Slab<Track>, nack: &Nack<'_>, counters: &Counters) {
    let Some(index) = viewer.forwarders.iter().position(|forwarder| forwarder.ssrc == nack.media) else {
        return;
    };
    for sequence in nack.sequences() {
        counters.nack_in();
        if !viewer.may_ask() {
            return counters.ignore(Ignored::Excess);
        }
        let Some(passing) = repair(viewer, index, tracks, sequence) else { continue };
        if !viewer.lately.sends(now, index as u8, sequence) {
            counters.ignore(Ignored::Repeated);
            continue;
        }
        if !viewer.may_repair() {
            return;
        }
        viewer.repairs.push(passing);
    }
}

/// What the viewer's track sent under that number, to be sent again.
pub(super) fn repair(viewer: &Viewer, index: usize, tracks: &Slab<Track>, sequence: u16) -> Option<Passing> {
    let forwarder = viewer.forwarders.get(index)?;
    forwarder.repair?;
    let key = forwarder.track?;
    let track = tracks.get(key)?;
    let origin = forwarder.rewriter.origin(sequence).filter(|origin| origin.sent)?;
    let (layer_index, layer) =
        track.layers.iter().enumerate().find(|(_, layer)| layer.source == origin.source)?;
    let seq = layer.full_number(origin.sequence)?;
    let cached = layer.packet(seq)?;
    let output = origin.output(cached.timestamp, cached.facts.frame.and_then(|frame| frame.picture));
    Some(Passing {
        track: key as u32,
        source: layer.source,
        forwarder: index as u8,
        ssrc: forwarder.ssrc,
        layer: layer_index as u8,
        way: Way::Again,
        marker: cached.marker,
        seq,
        output,
    })
}

fn keyframe(viewer: &Viewer, tracks: &mut Slab<Track>, ssrc: u32) -> Option<TrackKey> {
    let forwarder = viewer.forwarders.iter().find(|forwarder| forwarder.ssrc == ssrc)?;
    let key = forwarder.track?;
    let layer = usize::from(forwarder.current()?);
    tracks.get_mut(key)?.layers.get_mut(layer)?.keyframe.want();
    Some(key)
}
