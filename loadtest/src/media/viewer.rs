//! Watches one stream until the load ends, and says what it was shown.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use goose::goose::GooseUser;

use super::{
    peer::{Peer, Sink},
    picture,
    screen::Screen,
    signal,
};
use crate::{
    accounting::Account,
    figures::Measure,
    run::{Phase, Run, held},
};

/// A stream that is not there by then is not coming.
const STREAM_MAX: Duration = Duration::from_mins(1);
/// A picture that is not there by then is not coming.
const FIRST_MAX: Duration = Duration::from_secs(20);
/// What was published when the load ended is still on its way.
const LAST: Duration = Duration::from_millis(500);

pub async fn watch(run: &Arc<Run>, user: &mut GooseUser, number: u32) {
    let Some(video) = run.profile.video.clone() else { return };
    let own_streams = run.streams().max(1);
    // Publishers of another process are not known here.
    let stream = run.part.number(number / run.part.of % own_streams);
    if video.step_s > 0 {
        run.arrived.fetch_add(1, Ordering::Relaxed);
    }
    let patience = STREAM_MAX + Duration::from_secs(u64::from(video.step_s) * u64::from(video.streams));
    let mut published = run.published.subscribe();
    let coming = published.wait_for(|published| published.contains(&stream));
    let is_there = matches!(tokio::time::timeout(patience, coming).await, Ok(Ok(_)));
    if is_there {
        sit(run, user, number, stream).await;
    } else {
        run.failed(number, Measure::Media, "no such stream");
        run.arrived.fetch_add(u32::from(video.step_s == 0), Ordering::Relaxed);
    }
}

async fn sit(run: &Arc<Run>, user: &mut GooseUser, number: u32, stream: u32) {
    let due_us = run.now_us();
    let screen = Arc::new(Mutex::new(Screen::default()));
    let token = run.tokens.user(&format!("load-{:x}-viewer{number}", run.id));
    let opened = open(run, user, number, stream, &token, due_us, &screen).await;
    let opened = match opened {
        Ok(opened) => {
            run.record(number, Measure::Media, run.now_us().saturating_sub(due_us));
            run.connected.fetch_add(1, Ordering::Relaxed);
            let until = tokio::time::Instant::now() + FIRST_MAX;
            while held(&screen).frames == 0 && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if held(&screen).frames == 0 {
                run.failed(number, Measure::FirstFrame, "no picture");
            }
            Some(opened)
        }
        Err((measure, why)) => {
            run.failed(number, measure, &why);
            None
        }
    };
    if run.profile.video.as_ref().is_some_and(|video| video.step_s == 0) {
        run.arrived.fetch_add(1, Ordering::Relaxed);
    }
    let Some((peer, session)) = opened else { return };
    let mut phases = run.phases();
    // It ends when the run does, at the latest.
    let _ = phases.wait_for(|phase| matches!(phase, Phase::Settling { .. } | Phase::Over)).await;
    tokio::time::sleep(LAST).await;
    session.end(user, &token).await;
    run.connected.fetch_sub(1, Ordering::Relaxed);
    if peer.has_failed() {
        run.failed(number, Measure::Connection, "the path to the picture ended");
    }
    peer.close().await;
    let screen = held(&screen);
    let account = Account {
        frames: screen.frames,
        frames_lost: screen.lost(screen.highest()),
        packets: screen.packets,
        packets_again: screen.again,
        ..Account::default()
    };
    run.settle(&account);
}

async fn open(
    run: &Arc<Run>,
    user: &mut GooseUser,
    number: u32,
    stream: u32,
    token: &str,
    due_us: u64,
    screen: &Arc<Mutex<Screen>>,
) -> Result<(Peer, signal::Session), (Measure, String)> {
    let media = |error: anyhow::Error| (Measure::Media, error.to_string());
    let sink: Sink = {
        let (run, screen) = (Arc::clone(run), Arc::clone(screen));
        Arc::new(move |payload| show(&run, number, due_us, &screen, payload))
    };
    let mut peer = Peer::viewer(run.places.media_address(), sink).await.map_err(media)?;
    let offer = peer.offer().await.map_err(media)?;
    let path = format!("/whep/{}", run.stream_name(stream));
    let session = signal::begin(run, user, Measure::Whep, &path, token, offer).await;
    let session = session.map_err(|why| (Measure::Whep, why))?;
    run.record(number, Measure::Whep, run.now_us().saturating_sub(due_us));
    peer.connect(session.answer.clone()).await.map_err(media)?;
    Ok((peer, session))
}

/// A packet has come.
fn show(run: &Run, number: u32, due_us: u64, screen: &Mutex<Screen>, payload: &[u8]) {
    let now_us = run.now_us();
    let Some(label) = picture::label(payload).filter(|label| label.run == run.id) else { return };
    let Some(shown) = held(screen).take(&label, now_us) else { return };
    if shown.is_first {
        run.record(number, Measure::FirstFrame, now_us.saturating_sub(due_us));
    } else {
        run.record(number, Measure::Frame, now_us.saturating_sub(shown.due_us));
    }
    if let Some(froze_us) = shown.froze_us {
        run.record(number, Measure::Freeze, froze_us);
    }
}
