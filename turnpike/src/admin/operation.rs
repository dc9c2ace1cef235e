//! What one operation is made of: how it is asked for, what it takes and gives, and what does it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::MethodFilter;
use serde::Serialize;
use serde_json::Value;
use turnpike_audit::Object;
use turnpike_wire::{Answer, Failure};

use super::desk::Desk;
use super::entry::Entered;

pub(crate) struct Operation {
    /// Names it in the metrics.
    pub(crate) id: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
    /// What the query may have.
    pub(crate) parameters: &'static [Parameter],
    /// What a body looks like.
    pub(crate) body: Option<fn() -> Value>,
    pub(crate) success: StatusCode,
    /// What an answer looks like, beside `ok`.
    pub(crate) answer: fn() -> Value,
    /// Whether it stands in the audit log, before it is done and after.
    pub(crate) recorded: bool,
    /// Reads what is asked. Nothing takes effect until the plan is carried out.
    pub(crate) plan: fn(&Call) -> Result<Plan, Problem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    Post,
    Delete,
}

impl Method {
    pub(super) fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

/// A request that has been let in.
pub(crate) struct Call {
    pub(super) desk: Arc<Desk>,
    /// The operator.
    pub(super) by: String,
    pub(super) entered: Entered,
    /// Of the path, decoded.
    pub(super) params: Vec<(String, String)>,
    pub(super) query: String,
    pub(super) body: Bytes,
}

/// What is going to be done.
pub(crate) struct Plan {
    /// What it is done to.
    pub(super) about: Option<(Object, String)>,
    pub(super) act: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

impl Plan {
    /// A future does nothing until it is waited for.
    pub(super) fn new(act: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { about: None, act: Box::pin(act) }
    }

    pub(super) fn on(self, object: Object, id: impl Into<String>) -> Self {
        Self { about: Some((object, id.into())), ..self }
    }
}

/// The answer's JSON.
pub(crate) type Outcome = Result<String, Problem>;

/// A failure, and the status that says it best.
#[derive(Debug)]
pub(crate) struct Problem {
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
