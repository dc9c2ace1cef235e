//! Session records as the store should have them. They are written without waiting for replicas, so a master that is killed
//! may take the latest with it. Whoever was told a room then would not find it in their session when their node dies as well;
//! so after each failover a node puts the records of its sessions again, and the bases that their offsets are against.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use turnpike_cluster::Unavailable;
use turnpike_engine::SocketId;

use crate::app::App;
use crate::session::Session;

/// Under way at once, and the pause between: about two thousand a second, beside what clients ask for.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(30);
/// A store that does not take them now is asked again after so long.
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// For as long as the node lives.
pub(crate) async fn keep(app: std::sync::Weak<App>, mut doubts: watch::Receiver<u64>) {
    while doubts.changed().await.is_ok() {
        // Failovers come in swarms, and a lane is told of each. All records are put after the last.
        doubts.mark_unchanged();
        let Some(app) = app.upgrade() else { return };
        app.references.keep_again().await;
        put_all(&app, &doubts).await;
    }
}

async fn put_all(app: &Arc<App>, doubts: &watch::Receiver<u64>) {
    let ids = app.sessions.ids();
    let mut put = 0;
    for some in ids.chunks(AT_ONCE) {
        // Everything is put anew, from the first.
        if doubts.has_changed().unwrap_or(true) {
            return;
        }
        put += some.len();
        join_all(some.iter().map(|id| put_one(app, *id))).await;
        tokio::time::sleep(PAUSE).await;
    }
    tracing::info!(records = put, "the records of all sessions were put again");
}

/// Until the store has it, or there is nothing to put any more.
async fn put_one(app: &Arc<App>, id: SocketId) {
    loop {
        let Some(session) = app.sessions.get(id) else {
            if app.sessions.is_being_taken(id) {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            return;
        };
        let Err(Unavailable { retry_after_ms }) = put(app, &session, id).await else {
            return match app.sessions.get(id) {
                Some(now) if Arc::ptr_eq(&now, &session) => {}
                // It was taken up here meanwhile, and may have been written down before.
                Some(_) => continue,
                // Its client is coming back: without the record it could not the next time.
                None if app.sessions.is_being_taken(id) => continue,
                // It ended meanwhile, and its record may have been removed before.
                None => app.forget_record(id),
            };
        };
        tokio::time::sleep(Duration::from_millis(retry_after_ms).min(AGAIN_MAX)).await;
    }
}

async fn put(app: &App, session: &Session, id: SocketId) -> Result<(), Unavailable> {
    if !app.is_recoverable(session.kind) {
        return Ok(());
    }
    let _recording = session.recording.lock().await;
    // What another node has taken stays its own; this one is told, or learns it when it has something to write.
    let Some(record) = session.record() else { return Ok(()) };
    app.cluster.sessions.put(&id.to_string().into(), &record).wait().await.map(drop)
}
