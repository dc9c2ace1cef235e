//! The admin API, on the admin listener under `/admin/v1`. [`OPERATIONS`] is the one list of what it does: the routes and
//! the tables of docs/admin.md are both made from it. Each resource has a file.
//!
//! Whoever asks proves with every request who they are: a browser's page that reaches the listener has nothing to lean on.
//! What changes something, or shows what is personal, is written into the audit log before it is done, and what came of it
//! after.

mod attempts;
mod bans;
mod checkpoints;
mod configuration;
mod desk;
mod drain;
mod entry;
mod erasures;
mod index;
mod inspect;
mod keys;
mod live;
mod log_level;
mod meters;
mod nodes;
mod operation;
mod orders;
mod page;
mod records;
mod request;
mod revocations;
#[cfg(test)]
mod tests;
mod users;
mod verification;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, on};
use axum::{Extension, Router, middleware};
use prometheus::Registry;
use serde::Serialize;
use turnpike_daemon::admin::{self as listener, Peer};
use turnpike_daemon::health::Health;
use turnpike_daemon::tasks::Stop;
use turnpike_gateway::audited::{self, Action};
use turnpike_wire::{Code, Failure, MessageId};

pub(crate) use self::desk::{Desk, Parts};
use self::entry::{Access, Entered};
pub(crate) use self::operation::Operation;
use self::operation::{Call, Outcome, Plan, Problem};

/// Bodies are a few fields.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// A body that takes longer than this to arrive would hold a place for nothing.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) const OPERATIONS: &[Operation] = &[
    index::GET,
    bans::LIST,
    bans::PLACE,
    bans::LIFT,
    revocations::LIST,
    revocations::PLACE,
    revocations::LIFT,
    users::GET,
    users::DISCONNECT,
    inspect::CONNECTION,
    inspect::USER,
    inspect::ROOM,
    inspect::STREAM,
    inspect::MESSAGE,
    nodes::LIST,
    nodes::GET,
    drain::GET,
    drain::BEGIN,
    drain::OF_NODE,
    log_level::GET,
    log_level::SET,
    log_level::RESET,
    configuration::GET,
    records::QUERY,
    checkpoints::LIST,
    keys::LIST,
    verification::GET,
    verification::BEGIN,
    erasures::BEGIN,
];

/// All that the admin listener answers.
pub(crate) fn pages(desk: &Arc<Desk>, require_token: bool, health: &Health, registry: Registry) -> Router {
    let pages = if require_token {
        let (open, kept) = listener::apart(health, registry);
        open.merge(for_readers(desk, kept))
    } else {
        listener::open(health, registry)
    };
    // The page itself says nothing of the system, and is for whoever comes; what it shows it asks for with a token.
    pages.merge(page::routes()).merge(router(desk))
}

/// Does what operators ask of this node at others, until it is stopped.
pub(crate) fn keep(desk: Arc<Desk>, stop: Stop) -> impl Future<Output = ()> {
    let letters = orders::listen(&desk);
    orders::keep(desk, letters, stop)
}

/// The same of a process that waits before it serves: how it is, and nothing else.
pub(crate) fn pages_waiting(require_token: bool, health: &Health) -> Router {
    if require_token { listener::apart(health, Registry::new()).0 } else { health.routes() }
}

fn router(desk: &Arc<Desk>) -> Router {
    let mut router = Router::new();
    for operation in OPERATIONS {
        router = router.route(operation.path, method_router(desk, operation));
    }
    router = router.route(live::PATH, live::route(desk));
    router.fallback(nothing_here).method_not_allowed_fallback(wrong_method).layer(Extension(Arc::clone(desk)))
}

/// Lets only those read what is behind it who have a token of the role `service` or `admin`.
fn for_readers(desk: &Arc<Desk>, router: Router) -> Router {
    let desk = Arc::clone(desk);
    let check = move |Extension(peer): Extension<Peer>, request: Request, next: Next| {
        let desk = Arc::clone(&desk);
        async move {
            let id = request_id(&desk, request.headers());
            match entry::enter(&desk, peer.0.ip(), request.headers(), &id, Access::Read).await {
                Ok(_) => next.run(request).await,
                Err(problem) => refusal(&problem, &id),
            }
        }
    };
    router.layer(middleware::from_fn(check))
}

fn method_router(desk: &Arc<Desk>, operation: &'static Operation) -> MethodRouter {
    let desk = Arc::clone(desk);
    let handler = move |Extension(peer): Extension<Peer>, params: RawPathParams, request: Request| {
        let desk = Arc::clone(&desk);
        async move {
            let id = request_id(&desk, request.headers());
            let outcome = answer(&desk, operation, peer, &params, request, &id).await;
            let status = outcome.as_ref().map_or_else(|problem| problem.status, |_| operation.success);
            desk.meters.answered(operation.id, status);
            let mut response = match outcome {
                Ok(body) => json(operation.success, body),
                Err(problem) => refusal(&problem, &id),
            };
            response.headers_mut().insert(REQUEST_ID, header_of(&id));
            response
        }
    };
    on(operation.method.filter(), handler)
}

async fn answer(
    desk: &Arc<Desk>,
    operation: &'static Operation,
    peer: Peer,
    params: &RawPathParams,
    request: Request,
    id: &str,
) -> Outcome {
    // Before anything else of the request is looked at: who may not ask learns nothing, and costs nothing.
    let entered = entry::enter(desk, peer.0.ip(), request.headers(), id, Access::Act).await?;
    let (parts, body) = request.into_parts();
    let body = if operation.body.is_some() { read(&parts.headers, body).await? } else { Bytes::new() };
    let call = Call {
        desk: Arc::clone(desk),
        by: entered.identity.user.as_str().to_owned(),
        entered: entered.clone(),
        params: params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body,
    };
    let plan = (operation.plan)(&call)?;
    carry_out(desk, operation, plan, entered, id).await
}

/// What was asked for is done to its end, and written down, also if whoever asked hangs up meanwhile.
async fn carry_out(
    desk: &Arc<Desk>,
    operation: &'static Operation,
    plan: Plan,
    entered: Entered,
    id: &str,
) -> Outcome {
    if !operation.recorded {
        return plan.act.await;
    }
    let (desk, id) = (Arc::clone(desk), id.to_owned());
    let work = async move {
        let action = Action {
            method: operation.method.name(),
            route: operation.path,
            object: plan.about.as_ref().map(|(object, id)| (*object, id.as_str())),
        };
        let by = entered.by();
        audited::admin_intent(&desk.audit, by, action).await?;
        let outcome = plan.act.await;
        let result = outcome.as_ref().map(drop).map_err(|problem| problem.failure.code.slug());
        if audited::admin_result(&desk.audit, by, action, result).await.is_err() {
            // It is done, and its intent says so.
            tracing::warn!(request = %id, operation = operation.id, "what came of it could not be written into the audit log");
        }
        outcome
    };
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        // It has panicked, or the process ends.
        Err(_) => Err(Failure::from(Code::Internal).into()),
    }
}

/// The caller's own, if it can stand in a log and in JSON as it is; or a new one.
fn request_id(desk: &Desk, headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| MessageId::parse(id.to_str().ok()?).ok());
    given.map_or_else(|| desk.draw_id(), |id| id.as_str().to_owned())
}

fn header_of(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("ids are made of characters that headers may hold")
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // A page can send a form anywhere; it must ask before it sends this.
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let failure = Failure::new(Code::BadRequest, "the body must be application/json");
        return Err(Problem { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, failure });
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Too large, or broken off: then nobody reads the answer.
        Ok(Err(_)) => {
            let message = format!("a request has at most {BODY_BYTES_MAX} bytes");
            Err(Failure::new(Code::TooLarge, message).into())
        }
        Err(_) => {
            let failure = Failure::new(Code::BadRequest, "the body did not arrive in time");
            Err(Problem { status: StatusCode::REQUEST_TIMEOUT, failure })
        }
    }
}

async fn nothing_here(Extension(desk): Extension<Arc<Desk>>, headers: HeaderMap) -> Response {
    let failure = Failure::new(Code::BadRequest, "there is nothing at this path");
    refusal(&Problem { status: StatusCode::NOT_FOUND, failure }, &request_id(&desk, &headers))
}

async fn wrong_method(Extension(desk): Extension<Arc<Desk>>, headers: HeaderMap) -> Response {
    let failure = Failure::new(Code::BadRequest, "this path does not take that method");
    refusal(&Problem { status: StatusCode::METHOD_NOT_ALLOWED, failure }, &request_id(&desk, &headers))
}

fn json(status: StatusCode, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

fn refusal(problem: &Problem, request_id: &str) -> Response {
    #[derive(Serialize)]
    struct Refused<'a> {
        ok: bool,
        error: &'a Failure,
        request_id: &'a str,
    }

    let Problem { status, failure } = problem;
    let refused = Refused { ok: false, error: failure, request_id };
    let text = serde_json::to_string(&refused).expect("numbers and texts can always be written");
    let mut response = json(*status, text);
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, header_of(request_id));
    if *status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(after_ms) = failure.retry_after_ms {
        // In whole seconds, and never none: that would be an invitation to ask again at once.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after_ms.div_ceil(1000).max(1)));
    }
    response
}
