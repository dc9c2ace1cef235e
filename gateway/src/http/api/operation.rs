//! What one operation is made of: how it is asked for, who may, what it takes and gives, and what does it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use serde::Serialize;
use serde_json::Value;
use turnpike_guard::{Identity, MediaRight};
use turnpike_wire::{Answer, Failure, RoomId};

use crate::app::App;
use crate::audited::By;
use crate::signaling::permit_right;

pub(super) struct Operation {
    /// Names it in the description and in the metrics.
    pub(super) id: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) body: Option<RequestBody>,
    pub(super) success: StatusCode,
    /// The schema of the answer, an object beside `ok`.
    pub(super) answer: fn() -> Value,
    /// What else it may be refused with, beside what every operation may.
    pub(super) refusals: &'static [u16],
    pub(super) handle: fn(Call) -> Handling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    pub(super) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    /// As HTTP writes it.
    pub(super) fn traced(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    /// As OpenAPI writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

/// The role that a token needs. An admin may do all that a service may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Service,
    Admin,
    /// That, or a user whose token grants this of the stream.
    Media(MediaRight),
}

#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) place: Place,
    pub(super) name: &'static str,
    pub(super) schema: fn() -> Value,
    pub(super) about: &'static str,
    pub(super) example: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

pub(super) struct RequestBody {
    /// How many message bodies of the largest size it has room for.
    pub(super) bodies_max: usize,
    pub(super) schema: fn() -> Value,
    pub(super) example: fn() -> Value,
}

/// A request that has been let in.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) asker: Asker,
    /// Decoded.
    pub(super) params: Vec<(String, String)>,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// Whether there may be another message in the room. A room has its limit, whoever sends.
    pub(super) async fn allows_message(&self, room: &RoomId) -> Result<(), Failure> {
        let Err(tripped) = self.app.limiter.room_message(room).wait().await else { return Ok(()) };
        let by = By { transport: Some("http"), ..By::default() };
        Err(match &self.asker {
            Asker::Key => self.app.tripped(tripped, by, None),
            Asker::Token(identity) => {
                self.app.tripped(tripped, by.identified(identity), Some(&identity.user))
            }
        })
    }
}

/// Whose request it is.
pub(super) enum Asker {
    /// An API key's.
    Key,
    Token(Identity),
}

impl Asker {
    pub(super) fn permit(&self, stream: &RoomId, right: MediaRight) -> Result<(), Failure> {
        match self {
            Self::Key => Ok(()),
            Self::Token(identity) => permit_right(identity, stream, right),
        }
    }
}

/// The answer's JSON.
pub(super) type Outcome = Result<String, Problem>;

pub(super) type Handling = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A failure, and the status that says it best.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) failure: Failure,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = StatusCode::from_u16(failure.code.http_status());
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), failure }
    }
}

pub(super) fn done(fields: &impl Serialize) -> String {
    let mut json = Vec::with_capacity(256);
    Answer::Done(fields).write(&mut json).expect("answers are structures of texts, numbers and raw JSON");
    String::from_utf8(json).expect("JSON is UTF-8")
}
