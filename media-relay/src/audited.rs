//! What a relay writes into the audit log: who came in by WHIP and WHEP and who did not, and which relays are linked. What clients of a gateway
//! do with streams, the gateway writes.
//!
//! Those that are `async` return once the record is on disk; what they are about takes effect after that, and not at all if they fail.

use std::net::IpAddr;

use turnpike_audit::{Audit, Event, Kind, Object, Outcome};
use turnpike_guard::Identity;
use turnpike_wire::{Code, Failure, RoomId, UserId};

/// After how long somebody may ask again whose record could not be written.
const RETRY_AFTER_MS: u64 = 1_000;

async fn decide(audit: &Audit, event: Event) -> Result<(), Failure> {
    let refused =
        || Failure::new(Code::Unavailable, "this cannot be written down right now, and so not be done");
    audit.decide(event).await.map(drop).map_err(|_| refused().retry_after_ms(RETRY_AFTER_MS))
}

fn from(event: Event, address: Option<IpAddr>) -> Event {
    match address {
        Some(address) => event.address(address.to_canonical().to_string()),
        None => event,
    }
    .transport("whip")
}

fn of(identity: &Identity, event: Event) -> Event {
    let event = event.user(identity.user.as_str()).role(identity.role.slug());
    match identity.token_id.as_deref() {
        Some(id) => event.key(id),
        None => event,
    }
}

/// The answer waits for the record, but is the same without.
pub(crate) async fn login_failed(audit: &Audit, address: Option<IpAddr>, reason: &'static str) {
    let event = from(Event::new(Kind::LoginFailed, Outcome::Refused), address).reason(reason);
    // Recorded or not, nobody is let in.
    let _ = decide(audit, event).await;
}

/// Merged by address and limit.
pub(crate) fn limit_tripped(audit: &Audit, address: Option<IpAddr>, limit: &'static str) {
    let event = from(Event::new(Kind::LimitTripped, Outcome::Refused), address);
    audit.note(event.reason(limit).on(Object::Limit, limit));
}

pub(crate) fn denied(
    audit: &Audit,
    identity: &Identity,
    address: Option<IpAddr>,
    tried: &'static str,
    stream: &RoomId,
) {
    let event = of(identity, from(Event::new(Kind::Denied, Outcome::Refused), address));
    audit.note(event.reason("forbidden").on(Object::Stream, stream.as_str()).detail("tried", tried));
}

/// A session is about to begin for somebody whose token was accepted for it: nothing else was asked before.
pub(crate) async fn session_begins(
    audit: &Audit,
    identity: &Identity,
    address: Option<IpAddr>,
    publishes: bool,
    stream: &RoomId,
) -> Result<(), Failure> {
    let login = of(identity, from(Event::new(Kind::Login, Outcome::Success), address));
    let login = login.detail("expires_at", identity.expires_at);
    let kind = if publishes { Kind::PublishStarted } else { Kind::SubscribeStarted };
    let begun = of(identity, from(Event::new(kind, Outcome::Success), address));
    let begun = begun.on(Object::Stream, stream.as_str());
    // Both in one write.
    tokio::try_join!(decide(audit, login), decide(audit, begun)).map(drop)
}

pub(crate) fn session_ended(
    audit: &Audit,
    user: &UserId,
    publishes: bool,
    stream: &RoomId,
    reason: &'static str,
) {
    let kind = if publishes { Kind::PublishEnded } else { Kind::SubscribeEnded };
    let event = Event::new(kind, Outcome::Success).user(user.as_str()).transport("whip");
    audit.note(event.on(Object::Stream, stream.as_str()).reason(reason));
}

/// Credentials of TURN servers are about to be given out.
pub(crate) async fn turn_issued(
    audit: &Audit,
    identity: &Identity,
    address: Option<IpAddr>,
) -> Result<(), Failure> {
    decide(audit, of(identity, from(Event::new(Kind::TurnIssued, Outcome::Success), address))).await
}

/// `relay`: its incarnation, as in its certificate.
pub(crate) fn link_up(audit: &Audit, relay: u64) {
    audit.note(Event::new(Kind::LinkUp, Outcome::Success).on(Object::Node, format!("{relay:016x}")));
}

/// `goodbye`: either side wanted that.
pub(crate) fn link_down(audit: &Audit, relay: u64, goodbye: bool) {
    let (outcome, reason) = if goodbye { (Outcome::Success, "goodbye") } else { (Outcome::Failure, "lost") };
    let event = Event::new(Kind::LinkDown, outcome).on(Object::Node, format!("{relay:016x}"));
    audit.note(event.reason(reason));
}
