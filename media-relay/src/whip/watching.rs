//! Who asks for too much or for what makes no sense is told to the warden, and limits that refuse something are written down.

use std::net::IpAddr;

use axum::http::{Extensions, StatusCode};
use turnpike_guard::Signal;
use turnpike_wire::{Code, UserId};

use super::App;
use super::address;
use super::problem::Problem;
use super::rate::Counted;
use crate::audited;

impl App {
    /// One more request of this client, before anything of it is looked at.
    pub(super) fn counts(&self, what: Counted, extensions: &Extensions) -> Result<(), Problem> {
        self.rates.check(what, address::counted(extensions)).map_err(|failure| {
            let from = address::of(extensions);
            audited::limit_tripped(&self.audit, from, what.slug());
            self.watch.report(from, None, Signal::Flood);
            failure.into()
        })
    }
}

/// What was refused to somebody whose token was accepted. Of rights that were missing the warden has heard already.
pub(super) fn refused(app: &App, from: Option<IpAddr>, user: Option<&UserId>, problem: &Problem) {
    match problem.code() {
        Code::BadSdp => app.watch.report(from, user, Signal::BadDescription),
        Code::TooLarge => app.watch.report(from, user, Signal::Flood),
        // One that is over is asked for as well, and by honest clients: it is not held against the user.
        Code::NoSuchStream if problem.status() == StatusCode::NOT_FOUND => {
            app.watch.report(from, None, Signal::SessionGuess);
        }
        _ => {}
    }
}
