//! What is written into the audit log, one function an event: whoever calls needs one line, and all records of a kind look alike.
//!
//! Those that are `async` return once the record is on disk; what they are about takes effect after that, and not at all if they fail. The
//! others put the record into the log's queue and return. Texts of clients go in as they are: the log cuts and escapes them. Messages, tokens,
//! session descriptions and passwords never go in.

use std::net::IpAddr;

use turnpike_audit::{Audit, Event, Kind, Object, Outcome, Text};
use turnpike_engine::{ConnectRequest, Kind as Protocol, SocketId, Traffic};
use turnpike_guard::{Identity, Role};
use turnpike_wire::{Code, Failure, RoomId, UserId};

/// After how long somebody may ask again whose record could not be written.
const RETRY_AFTER_MS: u64 = 1_000;

/// Who did it, and from where. What is not known stays out.
#[derive(Debug, Clone, Copy, Default)]
pub struct By<'a> {
    pub user: Option<&'a str>,
    pub role: Option<Role>,
    /// The id of the key or token by which they proved who they are: never the key or token.
    pub key: Option<&'a str>,
    pub address: Option<IpAddr>,
    pub agent: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub country: Option<&'a str>,
    /// `socketio`, `raw`, `http`, `whip`, `admin`.
    pub transport: Option<&'static str>,
    pub connection: Option<SocketId>,
    /// The id of the request, as the process' logs have it.
    pub request: Option<&'a str>,
}

impl<'a> By<'a> {
    pub fn user(user: &'a UserId) -> Self {
        Self { user: Some(user.as_str()), ..Self::default() }
    }

    pub fn address(address: IpAddr) -> Self {
        Self { address: Some(address), ..Self::default() }
    }

    /// Who has not said yet who they are.
    pub(crate) fn comer(request: &'a ConnectRequest) -> Self {
        let handshake = &request.handshake;
        let transport = match request.kind {
            Protocol::SocketIo => "socketio",
            Protocol::Raw => "raw",
        };
        Self {
            address: Some(handshake.peer.ip()),
            agent: handshake.header("user-agent"),
            origin: handshake.header("origin"),
            request: handshake.header("x-request-id"),
            transport: Some(transport),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn over(self, connection: SocketId) -> Self {
        Self { connection: Some(connection), ..self }
    }

    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    #[must_use]
    pub fn identified(self, identity: &'a Identity) -> Self {
        let (user, key) = (Some(identity.user.as_str()), identity.token_id.as_deref());
        Self { user, role: Some(identity.role), key, ..self }
    }

    fn event(&self, kind: Kind, outcome: Outcome) -> Event {
        let mut event = Event::new(kind, outcome);
        if let Some(user) = self.user {
            event = event.user(user);
        }
        if let Some(role) = self.role {
            event = event.role(role.slug());
        }
        if let Some(key) = self.key {
            event = event.key(key);
        }
        if let Some(address) = self.address {
            event = event.address(address_text(address));
        }
        if let Some(agent) = self.agent {
            event = event.agent(agent);
        }
        if let Some(origin) = self.origin {
            event = event.origin(origin);
        }
        if let Some(country) = self.country {
            event = event.country(country);
        }
        if let Some(transport) = self.transport {
            event = event.transport(transport);
        }
        if let Some(connection) = self.connection {
            event = event.connection(std::str::from_utf8(&connection.text()).expect("base64 is ASCII"));
        }
        if let Some(request) = self.request {
            event = event.request(request);
        }
        event
    }
}

/// Of each login, so that it is not formatted.
fn address_text(address: IpAddr) -> Text {
    let IpAddr::V4(address) = address.to_canonical() else {
        return address.to_canonical().to_string().into();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (index, part) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        for (digit, of) in [(part / 100, 100), (part / 10 % 10, 10), (part % 10, 1)] {
            if part >= of || of == 1 {
                text.push(char::from(b'0' + digit));
            }
        }
    }
    text.as_str().into()
}

/// The effect waits for the record.
async fn decide(audit: &Audit, event: impl FnOnce() -> Event) -> Result<(), Failure> {
    if !audit.is_written() {
        return Ok(());
    }
    match audit.decide(event()).await {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Failure::new(Code::Unavailable, "this cannot be written down right now, and so not be done")
                .retry_after_ms(RETRY_AFTER_MS))
        }
    }
}

/// What shuts somebody out waits for its record like everything that decides over access, but not for a disk that does not come back:
/// whoever fills it must not escape. The record then follows when it can.
async fn measure(audit: &Audit, event: impl FnOnce() -> Event) {
    if audit.is_written() {
        let event = event();
        if audit.decide(event.clone()).await.is_err() {
            audit.note(event);
        }
    }
}

fn note(audit: &Audit, event: impl FnOnce() -> Event) {
    if audit.is_written() {
        audit.note(event());
    }
}

/// A token was accepted and a user comes in. `recovered`: to a session of before.
pub async fn login(audit: &Audit, by: By<'_>, expires_at: u64, recovered: bool) -> Result<(), Failure> {
    decide(audit, || {
        by.event(Kind::Login, Outcome::Success)
            .detail("expires_at", expires_at)
            .detail("recovered", recovered)
    })
    .await
}

/// A token, ticket or key was refused. The answer waits for the record, but is the same without.
pub async fn login_failed(audit: &Audit, by: By<'_>, reason: &'static str) {
    // Recorded or not, nobody is let in.
    let _ = decide(audit, || by.event(Kind::LoginFailed, Outcome::Refused).reason(reason)).await;
}

/// A connected user showed a new token.
pub async fn refreshed(audit: &Audit, by: By<'_>, expires_at: u64) -> Result<(), Failure> {
    decide(audit, || by.event(Kind::Refreshed, Outcome::Success).detail("expires_at", expires_at)).await
}

/// A token ended while its user was connected.
pub fn expired(audit: &Audit, by: By<'_>) {
    note(audit, || by.event(Kind::Expired, Outcome::Success));
}

/// What was called back.
#[derive(Debug, Clone, Copy)]
pub enum Revoked<'a> {
    /// By its `jti`.
    Token(&'a str),
    /// All tokens of a user issued before a time in Unix seconds.
    User(&'a str, u64),
    Connection(&'a str),
}

/// `by`: who called it back.
pub async fn revoked(audit: &Audit, by: By<'_>, what: Revoked<'_>) -> Result<(), Failure> {
    decide(audit, || what.named(by.event(Kind::Revoked, Outcome::Success))).await
}

/// `by`: who took back that it was called back.
pub async fn revocation_lifted(audit: &Audit, by: By<'_>, what: Revoked<'_>) -> Result<(), Failure> {
    decide(audit, || what.named(by.event(Kind::Revoked, Outcome::Success)).detail("lifted", true)).await
}

impl Revoked<'_> {
    fn named(self, event: Event) -> Event {
        match self {
            Self::Token(id) => event.on(Object::Token, id),
            Self::User(id, before) => event.on(Object::User, id).detail("issued_before", before),
            Self::Connection(id) => event.on(Object::Connection, id),
        }
    }
}

/// A right was missing. `tried` is the event's or operation's name.
pub fn denied(
    audit: &Audit,
    by: By<'_>,
    tried: &'static str,
    object: Option<(Object, &str)>,
    reason: &'static str,
) {
    note(audit, || {
        let event = by.event(Kind::Denied, Outcome::Refused).reason(reason).detail("tried", tried);
        match object {
            Some((object, id)) => event.on(object, id),
            None => event,
        }
    });
}

pub fn connection_opened(audit: &Audit, by: By<'_>, recovered: bool) {
    note(audit, || by.event(Kind::ConnectionOpened, Outcome::Success).detail("recovered", recovered));
}

/// What went over a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carried {
    pub traffic: Traffic,
    pub lasted_ms: u64,
}

pub fn connection_closed(audit: &Audit, by: By<'_>, reason: &str, carried: Carried) {
    note(audit, || {
        by.event(Kind::ConnectionClosed, Outcome::Success)
            .reason(reason)
            .detail("received_bytes", carried.traffic.received_bytes)
            .detail("sent_bytes", carried.traffic.sent_bytes)
            .detail("lasted_ms", carried.lasted_ms)
    });
}

/// A page of another origin tried to connect.
pub fn origin_refused(audit: &Audit, by: By<'_>) {
    note(audit, || by.event(Kind::OriginRefused, Outcome::Refused).reason("origin"));
}

/// `reason`: `deny_list`, `allow_list`, `banned`, `too_many`.
pub fn address_refused(audit: &Audit, by: By<'_>, reason: &'static str) {
    note(audit, || by.event(Kind::AddressRefused, Outcome::Refused).reason(reason));
}

/// `by` has the country, if it is known.
pub fn country_refused(audit: &Audit, by: By<'_>) {
    note(audit, || by.event(Kind::CountryRefused, Outcome::Refused).reason("country"));
}

/// A limit refused something. Merged by who, from where and which limit.
pub fn limit_tripped(audit: &Audit, by: By<'_>, limit: &'static str) {
    note(audit, || by.event(Kind::LimitTripped, Outcome::Refused).reason(limit).on(Object::Limit, limit));
}

/// Something that speaks against somebody. Merged by who, from where and what.
pub fn signalled(audit: &Audit, by: By<'_>, signal: &'static str) {
    note(audit, || by.event(Kind::Signalled, Outcome::Success).reason(signal));
}

/// Whom a measure is about.
#[derive(Debug, Clone, Copy)]
pub enum Whom<'a> {
    User(&'a str),
    /// An address, or a network in CIDR form.
    Address(&'a str),
}

impl Whom<'_> {
    fn object(&self) -> (Object, Text) {
        match self {
            Self::User(id) => (Object::User, (*id).into()),
            Self::Address(text) => (Object::Address, (*text).into()),
        }
    }
}

/// A user or address whose behaviour crossed a threshold: the step that follows is a record of its own.
pub fn detected(audit: &Audit, whom: Whom<'_>, signals: &[&'static str], score: u64) {
    note(audit, || {
        let (object, id) = whom.object();
        Event::new(Kind::Detected, Outcome::Success)
            .on(object, id)
            .detail("signals", signals.iter().map(|signal| Text::new(signal)).collect::<Vec<_>>())
            .detail("score", score)
    });
}

pub async fn muted(audit: &Audit, whom: Whom<'_>, signals: &[&'static str], until_ms: u64) {
    measure(audit, || taken(Kind::Muted, whom, signals).detail("until_ms", until_ms)).await;
}

pub async fn disconnected(audit: &Audit, whom: Whom<'_>, signals: &[&'static str]) {
    measure(audit, || taken(Kind::Disconnected, whom, signals)).await;
}

/// By the node itself, because of these signals.
pub async fn banned(audit: &Audit, whom: Whom<'_>, signals: &[&'static str], until_ms: u64) {
    measure(audit, || taken(Kind::BanPlaced, whom, signals).detail("until_ms", until_ms)).await;
}

fn taken(kind: Kind, whom: Whom<'_>, signals: &[&'static str]) -> Event {
    let (object, id) = whom.object();
    Event::new(kind, Outcome::Success)
        .on(object, id)
        .reason("detection")
        .detail("signals", signals.iter().map(|signal| Text::new(signal)).collect::<Vec<_>>())
}

/// By an operator.
pub async fn ban_placed(
    audit: &Audit,
    by: By<'_>,
    whom: Whom<'_>,
    reason: &str,
    until_ms: u64,
) -> Result<(), Failure> {
    decide(audit, || {
        let (object, id) = whom.object();
        by.event(Kind::BanPlaced, Outcome::Success).on(object, id).reason(reason).detail("until_ms", until_ms)
    })
    .await
}

pub async fn ban_lifted(audit: &Audit, by: By<'_>, whom: Whom<'_>) -> Result<(), Failure> {
    decide(audit, || {
        let (object, id) = whom.object();
        by.event(Kind::BanLifted, Outcome::Success).on(object, id)
    })
    .await
}

pub fn ban_expired(audit: &Audit, whom: Whom<'_>) {
    note(audit, || {
        let (object, id) = whom.object();
        Event::new(Kind::BanExpired, Outcome::Success).on(object, id)
    });
}

/// What an operator does. `route` is the route as it is declared, never the path that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Action<'a> {
    pub method: &'a str,
    pub route: &'a str,
    pub object: Option<(Object, &'a str)>,
}

/// Before anything is done.
pub async fn admin_intent(audit: &Audit, by: By<'_>, action: Action<'_>) -> Result<(), Failure> {
    decide(audit, || action.event(by, Kind::AdminIntent, Outcome::Pending)).await
}

/// What came of it. If this fails it was done all the same, and its intent stands in the log.
pub async fn admin_result(
    audit: &Audit,
    by: By<'_>,
    action: Action<'_>,
    result: Result<(), &str>,
) -> Result<(), Failure> {
    decide(audit, || match result {
        Ok(()) => action.event(by, Kind::AdminResult, Outcome::Success),
        Err(reason) => action.event(by, Kind::AdminResult, Outcome::Failure).reason(reason),
    })
    .await
}

impl Action<'_> {
    fn event(&self, by: By<'_>, kind: Kind, outcome: Outcome) -> Event {
        let event = by.event(kind, outcome).method(self.method).route(self.route);
        match self.object {
            Some((object, id)) => event.on(object, id),
            None => event,
        }
    }
}

/// The end of a stream's publication or of somebody's watching, or its beginning.
pub async fn publish_started(audit: &Audit, by: By<'_>, stream: &RoomId) -> Result<(), Failure> {
    decide(audit, || by.event(Kind::PublishStarted, Outcome::Success).on(Object::Stream, stream.as_str()))
        .await
}

pub fn publish_ended(audit: &Audit, by: By<'_>, stream: &RoomId, reason: &'static str) {
    note(audit, || {
        by.event(Kind::PublishEnded, Outcome::Success).on(Object::Stream, stream.as_str()).reason(reason)
    });
}

pub async fn subscribe_started(audit: &Audit, by: By<'_>, stream: &RoomId) -> Result<(), Failure> {
    decide(audit, || by.event(Kind::SubscribeStarted, Outcome::Success).on(Object::Stream, stream.as_str()))
        .await
}

pub fn subscribe_ended(audit: &Audit, by: By<'_>, stream: &RoomId, reason: &'static str) {
    note(audit, || {
        by.event(Kind::SubscribeEnded, Outcome::Success).on(Object::Stream, stream.as_str()).reason(reason)
    });
}

/// Credentials for a TURN server are about to be given out.
pub async fn turn_issued(audit: &Audit, by: By<'_>, expires_at: u64) -> Result<(), Failure> {
    decide(audit, || by.event(Kind::TurnIssued, Outcome::Success).detail("expires_at", expires_at)).await
}

/// A message between nodes did not carry the right seal and was thrown away. `node` is who it says it came from.
pub fn link_forged(audit: &Audit, node: &str, reason: &'static str) {
    note(audit, || Event::new(Kind::BusForged, Outcome::Refused).on(Object::Node, node).reason(reason));
}

/// The clock of this machine differs from that of the cluster.
pub fn clock_off(audit: &Audit, node: &str, offset_ms: i64) {
    note(audit, || {
        Event::new(Kind::ClockOff, Outcome::Failure).on(Object::Node, node).detail("offset_ms", offset_ms)
    });
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_is_written_as_everywhere() {
        for part in 0..=255 {
            let address = Ipv4Addr::new(part, 255 - part, part / 7, part % 11);
            assert_eq!(address_text(address.into()).as_str(), address.to_string());
            assert_eq!(address_text(address.to_ipv6_mapped().into()).as_str(), address.to_string());
        }
        assert_eq!(address_text("2001:db8::1".parse().unwrap()).as_str(), "2001:db8::1");
    }
}
