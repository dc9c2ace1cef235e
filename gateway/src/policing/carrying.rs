//! Carrying out what the warden has decided: the record, the other nodes, the connections.

use std::sync::{Arc, Weak};

use turnpike_cluster::{Notice, Topic};
use turnpike_engine::{Close, SocketRef};
use turnpike_guard::{Measure, Restraint, Rung, Whom};
use turnpike_wire::Disconnect;
use turnpike_wire::event::server::Closing;

use crate::app::App;
use crate::audited;
use crate::ending::dismiss;
use crate::session::{Session, Whereabouts};

/// Each time the warden wakes it, all that is due by then.
pub(super) async fn carry_out_what_is_due(app: Weak<App>) {
    loop {
        let Some(woken) = app.upgrade().map(|app| Arc::clone(&app.policing.woken)) else { return };
        woken.notified().await;
        let Some(app) = app.upgrade() else { return };
        for measure in app.policing.watch.warden.due() {
            // Beside each other: a record that waits for the disk must not hold up the next one.
            let of_measure = Arc::clone(&app);
            app.spawn(async move { carry_out(&of_measure, &measure).await });
        }
    }
}

async fn carry_out(app: &Arc<App>, measure: &Measure) {
    let (warden, audit) = (&app.policing.watch.warden, &app.audit);
    let signals: Vec<&'static str> = measure.evidence.iter().map(|found| found.signal.slug()).collect();
    let reason = measure.reason();
    tracing::warn!(whom = %measure.whom, measure = measure.rung.slug(), score = measure.score, signals = reason, "kept in order");
    let text = audited_text(&measure.whom);
    let whom = audited_whom(&measure.whom, &text);
    audited::detected(audit, whom, &signals, measure.score as u64);
    let restraint = measure.restraint(warden.name());
    // It holds here since the report. The others hear of it while the record is being written.
    let posted = post(app, &restraint);
    let recorded = async {
        match measure.rung {
            Rung::Mute => audited::muted(audit, whom, &signals, measure.until_ms).await,
            Rung::Disconnect => audited::disconnected(audit, whom, &signals).await,
            Rung::Ban => audited::banned(audit, whom, &signals, measure.until_ms).await,
        }
        close(app, &restraint);
    };
    tokio::join!(posted, recorded);
}

/// To all nodes, and to those that come.
pub(super) async fn post(app: &App, restraint: &Restraint) {
    let notice = Notice::new(Topic::Ban, restraint.key(), restraint.value(), restraint.until_ms);
    if let Err(error) = app.cluster.bulletin.post(notice).wait().await {
        let error = &error as &dyn std::error::Error;
        // The bulletin of this node keeps what it was given and tells the store when it is back.
        tracing::warn!(whom = %restraint.whom, error, "the other nodes could not be told of a ban yet");
    }
}

pub(super) fn audited_text(whom: &Whom) -> String {
    match whom {
        Whom::User(user) => user.to_string(),
        Whom::Network(network) => network.to_string(),
    }
}

pub(super) fn audited_whom<'a>(whom: &Whom, text: &'a str) -> audited::Whom<'a> {
    match whom {
        Whom::User(_) => audited::Whom::User(text),
        Whom::Network(_) => audited::Whom::Address(text),
    }
}

/// Sends whoever it is about away, if that is part of it.
pub(super) fn close(app: &App, restraint: &Restraint) {
    let why: Box<dyn Fn(&SocketRef)> = match restraint.rung {
        Rung::Mute => return,
        Rung::Ban => Box::new(|socket| dismiss(app, socket, Disconnect::Banned)),
        Rung::Disconnect => {
            let why = Disconnect::Overloaded;
            let left_ms = restraint.until_ms.saturating_sub(app.policing.watch.now().unix_ms);
            let told = Closing { reconnect_after_ms: Some(left_ms), ..why.into() };
            let close =
                Close::new(why.code(), why.slug(), why.comes_back()).farewell(app.outgoing.closing(&told));
            Box::new(move |socket| app.handle.close(socket, close.clone()))
        }
    };
    for session in whose(app, &restraint.whom) {
        let Whereabouts::Connected(socket) = session.state().at else { continue };
        why(&socket);
    }
}

fn whose(app: &App, whom: &Whom) -> Vec<Arc<Session>> {
    match whom {
        Whom::User(user) => app.sessions.of_user(user).into_iter().map(|(_, session)| session).collect(),
        Whom::Network(network) => {
            let all = app.sessions.ids().into_iter().filter_map(|id| app.sessions.get(id));
            all.filter(|session| session.address.is_some_and(|address| network.contains(address))).collect()
        }
    }
}
