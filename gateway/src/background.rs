//! A thread beside the shards: it runs what no connection waits for, and looks now and then for what is due.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use turnpike_engine::SocketRef;
use turnpike_wire::Disconnect;

use crate::app::App;
use crate::audited::{self, By};
use crate::clock::unix_ms;
use crate::ending::{dismiss, vacancy};
use crate::expiry::Due;
use crate::inspect::{self, Note};
use crate::session::Whereabouts;
use crate::{policing, records};

/// How often short-lived things are looked at: presence, typing, receipts.
const TICK: Duration = Duration::from_millis(50);
/// How often what is too old is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often what the warden remembers is looked through: it is much, and no table is larger for it than it may be.
const POLICING_SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often offsets get a new base.
const REFERENCE_EVERY: Duration = Duration::from_mins(1);

pub(crate) struct Background {
    runtime: Handle,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Background {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, mut stopped) = watch::channel(false);
        let thread = std::thread::Builder::new().name("gateway-background".to_owned()).spawn(move || {
            // The sender gone means the same.
            runtime.block_on(async { drop(stopped.wait_for(|stop| *stop).await) });
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, stop, thread })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.runtime.clone()
    }

    /// Looks after the node until it is stopped.
    pub(crate) fn look_after(&self, app: &Arc<App>) {
        if app.cluster.sessions.outlive_the_process() {
            self.runtime.spawn(records::keep(Arc::downgrade(app), app.cluster.sessions.doubts()));
        }
        let app = Arc::downgrade(app);
        let every = |period: Duration| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        self.runtime.spawn(async move {
            let (mut tick, mut sweep, mut renew) = (every(TICK), every(SWEEP_EVERY), every(REFERENCE_EVERY));
            let mut policing_sweep = every(POLICING_SWEEP_EVERY);
            loop {
                let work: fn(&Arc<App>) = tokio::select! {
                    _ = tick.tick() => on_tick,
                    _ = sweep.tick() => sweep_once,
                    _ = renew.tick() => renew_reference,
                    _ = policing_sweep.tick() => |app| policing::sweep(app),
                };
                let Some(app) = app.upgrade() else { return };
                work(&app);
            }
        });
    }

    pub(crate) fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the background thread had panicked");
        }
    }
}

fn on_tick(app: &Arc<App>) {
    app.presences.tick();
    app.typing.tick(|user, room| app.sockets_in(user, room));
    app.receipts.tick();
    if let Some(occupancy) = &app.occupancy {
        occupancy.tick(app);
    }
}

fn renew_reference(app: &Arc<App>) {
    let renewed = app.mirror.renew_reference();
    app.spawn(renewed.wait());
}

fn sweep_once(app: &Arc<App>) {
    let steady_ms = app.clock.steady_ms();
    for id in app.sessions.sweep(steady_ms, &app.mirror) {
        app.forget_record(id);
    }
    report_places(app);
    app.signaling.tick();
    app.limiter.tick();
    app.inspection.departures.sweep(steady_ms);
    app.mirror.expire();
    app.mirror.close_idle(|room| app.cluster.broker.close(room));
    let now = unix_ms() / 1000;
    app.tokens.revocations().sweep(unix_ms());
    for due in app.expiry.due(now) {
        end_of_token(app, due, now);
    }
}

/// So that a node that leaves knows how many it may send here. Nothing is told anew that is as it was.
fn report_places(app: &Arc<App>) {
    let taken = app.handle.counters().connections_now as usize;
    let places = vacancy(app.connections_max.saturating_sub(taken), app.connections_max);
    let (own, nodes) = (app.cluster.membership.own(), app.cluster.membership.nodes());
    let told = nodes.borrow().iter().find(|node| node.incarnation == own).and_then(|node| node.places);
    if told != Some(places) {
        let telling = app.cluster.membership.vacant(places).wait();
        // Should it not be heard, it is said again.
        app.spawn(async move {
            let _ = telling.await;
        });
    }
}

fn end_of_token(app: &Arc<App>, due: Due, now: u64) {
    let Some(session) = app.sessions.get(due.socket) else { return };
    let socket: SocketRef = {
        let state = session.state();
        let Whereabouts::Connected(socket) = state.at else { return };
        if state.identity.expires_at != due.expires_at {
            return;
        }
        socket
    };
    if due.over && due.expires_at <= now {
        let by = By::user(&session.user).over(socket.id()).at(session.address);
        audited::expired(&app.audit, by);
        dismiss(app, &socket, Disconnect::TokenExpired);
    } else {
        // When the inbox is full the client learns it from the end itself.
        let _ = app.handle.emit(&socket, app.outgoing.expiring(due.expires_at));
        let seconds = due.expires_at.saturating_sub(now) as u32;
        inspect::note(&app.handle, &socket, Note::Expiring { seconds });
    }
}
