//! Publishes one stream at its bitrate until the load ends, frame after frame, each when it is due.

use std::sync::{Arc, atomic::Ordering};

use goose::goose::GooseUser;

use super::{peer::Peer, picture, signal};
use crate::{
    figures::Measure,
    run::{Phase, Run},
    schedule::Pace,
};

/// Of a camera.
const FRAME_US: u64 = 33_333;
const TICKS_PER_FRAME: u32 = 3_000;
/// A keyframe is so many times as large as another.
const KEYFRAME_TIMES: usize = 4;
/// How often it is looked whether the load goes on.
const LOOK_US: u64 = 500_000;

pub async fn publish(run: &Arc<Run>, user: &mut GooseUser, number: u32) {
    let Some(video) = run.profile.video.clone() else { return };
    run.arrived.fetch_add(1, Ordering::Relaxed);
    let mut due_us = run.now_us();
    if video.step_s > 0 && number > 0 {
        // The ladder: one more every so often, from when the load has begun.
        let Ok(Phase::Loading { start_us, .. }) =
            run.phases().wait_for(|phase| *phase != Phase::Gathering).await.map(|phase| *phase)
        else {
            return;
        };
        due_us = start_us + u64::from(number) * u64::from(video.step_s) * 1_000_000;
        tokio::time::sleep_until(run.moment(due_us)).await;
    }
    let token = run.tokens.user(&format!("load-{:x}-publisher{number}", run.id));
    let stream = run.stream_name(number);
    let opened = open(run, user, number, &stream, &token, due_us).await;
    let (peer, session) = match opened {
        Ok(opened) => opened,
        Err((measure, why)) => {
            run.failed(number, measure, &why);
            return;
        }
    };
    run.record(number, Measure::Media, run.now_us().saturating_sub(due_us));
    run.published.send_modify(|published| {
        published.insert(number);
    });
    let kbps = video.kbps[number as usize % video.kbps.len()];
    let frames = film(run, &peer, kbps).await;
    run.add_frames_published(u64::from(frames));
    session.end(user, &token).await;
    peer.close().await;
}

async fn open(
    run: &Arc<Run>,
    user: &mut GooseUser,
    number: u32,
    stream: &str,
    token: &str,
    due_us: u64,
) -> Result<(Peer, signal::Session), (Measure, String)> {
    let media = |error: anyhow::Error| (Measure::Media, error.to_string());
    let ssrc = crate::schedule::mixed(u64::from(run.id) << 32 | u64::from(number)) as u32;
    let mut peer = Peer::publisher(run.places.media_address(), ssrc).await.map_err(media)?;
    let offer = peer.offer().await.map_err(media)?;
    let session = signal::begin(run, user, Measure::Whip, &format!("/whip/{stream}"), token, offer).await;
    let session = session.map_err(|why| (Measure::Whip, why))?;
    run.record(number, Measure::Whip, run.now_us().saturating_sub(due_us));
    peer.connect(session.answer.clone()).await.map_err(media)?;
    Ok((peer, session))
}

/// Until nothing is loaded any more; how many frames there were.
async fn film(run: &Arc<Run>, peer: &Peer, kbps: u32) -> u32 {
    let bytes = (u64::from(kbps) * 125 * FRAME_US / 1_000_000) as usize;
    let mut pace = Pace::spread(run.now_us(), FRAME_US, 0, 1);
    let (mut frame, mut sequence, mut timestamp) = (0_u32, 0_u16, 0_u32);
    let mut looked_us = 0;
    loop {
        tokio::time::sleep_until(run.moment(pace.next_us())).await;
        let now_us = run.now_us();
        if now_us > looked_us + LOOK_US {
            looked_us = now_us;
            let goes_on = matches!(run.phase(), Phase::Gathering | Phase::Loading { .. });
            if !goes_on || peer.has_failed() {
                return frame;
            }
        }
        while let Some(due_us) = pace.take(now_us) {
            run.note_start(due_us, now_us);
            let is_key = peer.wants_keyframe.swap(false, Ordering::Relaxed);
            let size = if is_key { bytes * KEYFRAME_TIMES } else { bytes };
            let payloads = picture::frame(run.id, frame, due_us, size, is_key);
            let last = payloads.len() - 1;
            for (index, payload) in payloads.into_iter().enumerate() {
                peer.send(sequence, timestamp, index == last, payload).await;
                sequence = sequence.wrapping_add(1);
            }
            frame += 1;
            timestamp = timestamp.wrapping_add(TICKS_PER_FRAME);
        }
    }
}
