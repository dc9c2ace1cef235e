//! What other nodes say of bans and mutes; and what is over.

use std::sync::{Arc, Weak};

use turnpike_cluster::{Notice, Notices, Topic};
use turnpike_guard::{Restraint, Rung};

use super::carrying;
use crate::app::App;
use crate::audited;

/// What held before this node was there is known before its first client.
pub(crate) fn begin(app: &Arc<App>) {
    let mut notices = app.cluster.bulletin.listen(Topic::Ban);
    while let Some(notice) = notices.at_hand() {
        heard(app, &notice);
    }
    app.spawn(listen(Arc::downgrade(app), notices));
    app.spawn(carrying::carry_out_what_is_due(Arc::downgrade(app)));
}

async fn listen(app: Weak<App>, mut notices: Notices) {
    while let Some(notice) = notices.next().await {
        let Some(app) = app.upgrade() else { return };
        heard(&app, &notice);
    }
}

fn heard(app: &App, notice: &Notice) {
    let watch = &app.policing.watch;
    if notice.is_lifting() {
        if let Some(whom) = Restraint::whom(&notice.key) {
            watch.warden.lift(&whom);
        }
        return;
    }
    let Some(restraint) = Restraint::read(&notice.key, &notice.value, notice.until_ms) else {
        tracing::warn!(
            key = &*notice.key,
            "a notice of a ban is not understood; is a node of another version running?"
        );
        return;
    };
    // What this node has told comes back, and changes nothing.
    if watch.warden.restrain(restraint.clone(), watch.now()) {
        carrying::close(app, &restraint);
    }
}

/// Forgets what is over. A ban that ends is a record.
pub(crate) fn sweep(app: &App) {
    let watch = &app.policing.watch;
    for over in watch.warden.sweep(watch.now()) {
        if over.rung == Rung::Ban {
            let text = carrying::audited_text(&over.whom);
            audited::ban_expired(&app.audit, carrying::audited_whom(&over.whom, &text));
        }
    }
}
