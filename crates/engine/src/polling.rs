//! The HTTP side of a session: answers to polls and posts, and the faults that Engine.IO has numbers for.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::arrival::TurnedAway;

/// A server that is full or going down will be no better in a moment.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What an HTTP request on a session is answered with.
pub(crate) struct PollAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) gzip: bool,
    pub(crate) json: bool,
    /// Of a 503 or a 429.
    pub(crate) retry_after: Option<Duration>,
    /// There is no such session.
    pub(crate) session_unknown: bool,
}

/// Faults of a handshake or a poll. The numbers are those that Engine.IO servers have always sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HttpFault {
    TransportUnknown,
    SessionUnknown,
    BadMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
    TooLarge,
    Full,
    /// Too many at once.
    PutOff(Duration),
}

impl HttpFault {
    pub(crate) fn answer(self) -> PollAnswer {
        let (status, code, message) = match self {
            Self::TransportUnknown => (400, 0, "Transport unknown"),
            Self::SessionUnknown => (400, 1, "Session ID unknown"),
            Self::BadMethod => (400, 2, "Bad handshake method"),
            Self::BadRequest => (400, 3, "Bad request"),
            Self::Forbidden => (403, 4, "Forbidden"),
            Self::UnsupportedVersion => (400, 5, "Unsupported protocol version"),
            Self::TooLarge => (413, 3, "Payload too large"),
            Self::Full => (503, 4, "Server is full or going down, try again later"),
            Self::PutOff(_) => (503, 4, "Too many at once, try again later"),
        };
        let retry_after = match self {
            Self::Full => Some(FULL_RETRY_AFTER),
            Self::PutOff(wait) => Some(wait),
            _ => None,
        };
        let body = format!("{{\"code\":{code},\"message\":\"{message}\"}}").into_bytes();
        PollAnswer {
            status,
            body,
            gzip: false,
            json: true,
            retry_after,
            session_unknown: self == Self::SessionUnknown,
        }
    }
}

impl PollAnswer {
    /// With the number that Engine.IO has for all that is forbidden.
    pub(crate) fn turned_away(turned: &TurnedAway) -> Self {
        let body = format!("{{\"code\":4,\"message\":\"{}\"}}", turned.slug).into_bytes();
        Self {
            status: turned.status,
            body,
            gzip: false,
            json: true,
            retry_after: turned.retry_after,
            session_unknown: false,
        }
    }

    /// The packets of a poll, compressed if that is worth it and the client can read it.
    pub(crate) fn packets(body: Vec<u8>, compress_above: Option<usize>) -> Self {
        match compress_above {
            Some(threshold) if body.len() >= threshold => {
                // Level 1: the answer is made while its client waits, on a thread that others wait for.
                let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
                encoder.write_all(&body).expect("a Vec takes everything");
                let body = encoder.finish().expect("a Vec takes everything");
                Self { status: 200, body, gzip: true, json: false, retry_after: None, session_unknown: false }
            }
            _ => Self {
                status: 200,
                body,
                gzip: false,
                json: false,
                retry_after: None,
                session_unknown: false,
            },
        }
    }

    pub(crate) fn ok() -> Self {
        Self {
            status: 200,
            body: b"ok".to_vec(),
            gzip: false,
            json: false,
            retry_after: None,
            session_unknown: false,
        }
    }
}
