//! The HTTP API for backends. [`OPERATIONS`] is the one list of what it does: the routes and the published description
//! are both made from it. Each resource has a file; none of them knows of a connection.

mod batch;
mod info;
mod members;
mod messages;
mod new_message;
mod openapi;
mod operation;
mod presence;
mod request;
mod request_id;
mod revocations;
mod rooms;
mod streams;
mod users;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get, on};
use serde::Serialize;
use turnpike_engine::PeerAddress;
use turnpike_guard::Role;
use turnpike_telemetry::TraceContext;
use turnpike_wire::{Code, Failure};

use self::operation::{Access, Asker, Call, Method, Operation, Outcome, Problem};
use super::json;
use crate::app::App;
use crate::audited::{self, By};
use crate::clock::unix_ms;
use crate::traced;

/// What a request has around a message's body.
const ENVELOPE_BYTES_MAX: usize = 4 * 1024;

/// A body that takes longer than this to arrive would hold memory for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

const OPERATIONS: &[Operation] = &[
    messages::SEND,
    messages::HISTORY,
    batch::SEND_BATCH,
    presence::LIST,
    rooms::LIST,
    members::ADD,
    members::REMOVE,
    users::GET,
    users::DISCONNECT,
    revocations::REVOKE,
    revocations::LIST,
    revocations::LIFT,
    streams::LIST,
    streams::END,
    streams::RECORD,
    streams::RECORD_NO_MORE,
    info::HEALTH,
    info::MONITORING,
    info::CIRCUIT_BREAKERS,
];

/// Each operation and the status of its success, for the metrics.
pub(crate) fn operations() -> impl Iterator<Item = (&'static str, u16)> {
    OPERATIONS.iter().map(|operation| (operation.id, operation.success.as_u16()))
}

pub(super) fn router(app: &Arc<App>) -> Router {
    static DESCRIPTION: LazyLock<String> = LazyLock::new(openapi::text);
    let mut router = Router::new()
        .route("/api/v1/openapi.json", get(async || json(StatusCode::OK, DESCRIPTION.as_str().to_owned())));
    for operation in OPERATIONS {
        router = router.route(operation.path, method_router(app, operation));
    }
    router
}

fn method_router(app: &Arc<App>, operation: &'static Operation) -> MethodRouter {
    let app = Arc::clone(app);
    let handler = move |params: RawPathParams, request: Request| {
        let app = Arc::clone(&app);
        async move {
            let id = request_id::of(&app, request.headers());
            let (method, route) = (operation.method.traced(), operation.path);
            let span = traced::request(&app.tracer, operation.id, method, route, request.headers(), &id);
            let context = span.context();
            let answered = match read_call(&app, operation, &params, request, &id).await {
                Ok(call) => carry_out(&app, operation, call, &id, context).await,
                Err(problem) => answered(&app, operation, &id, Err(problem)),
            };
            let status = answered.as_ref().map_or_else(|problem| problem.status, |_| operation.success);
            traced::answered(span, status.as_u16(), answered.as_ref().err().map(|problem| &problem.failure));
            let mut response = match answered {
                Ok(body) => json(operation.success, body),
                Err(problem) => refusal(&problem, &id),
            };
            response.headers_mut().insert(request_id::HEADER, request_id::value(&id));
            response
        }
    };
    on(operation.method.filter(), handler)
}

/// What was asked for is done to its end, and counted, also if whoever asked hangs up meanwhile: a message that is kept by
/// then is one for all that follows from it.
async fn carry_out(
    app: &Arc<App>,
    operation: &'static Operation,
    call: Call,
    id: &str,
    context: Option<TraceContext>,
) -> Outcome {
    let (of_work, id_of_work) = (Arc::clone(app), id.to_owned());
    let work = async move {
        let outcome = traced::as_part_of(context, (operation.handle)(call)).await;
        answered(&of_work, operation, &id_of_work, outcome)
    };
    if operation.method == Method::Get {
        // Nobody misses an answer that nobody waits for.
        return work.await;
    }
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        // It has panicked, or the node ends.
        Err(_) => answered(app, operation, id, Err(Failure::from(Code::Internal).into())),
    }
}

fn answered(app: &App, operation: &Operation, id: &str, outcome: Outcome) -> Outcome {
    let status = outcome.as_ref().map_or_else(|problem| problem.status, |_| operation.success);
    if let Err(problem) = &outcome {
        let (status, reason) = (status.as_u16(), problem.failure.code.slug());
        tracing::debug!(request = %id, operation = operation.id, status, reason, "request of a backend refused");
    }
    app.meters.api_request(operation.id, status);
    outcome
}

async fn read_call(
    app: &Arc<App>,
    operation: &Operation,
    params: &RawPathParams,
    request: Request,
    id: &str,
) -> Result<Call, Problem> {
    // Before anything of the request is looked at: who may not ask learns nothing, and costs nothing.
    let by = By {
        address: request.extensions().get().map(|PeerAddress(peer)| peer.ip()),
        transport: Some("http"),
        request: Some(id),
        ..By::default()
    };
    let asker = authorise(app, operation, request.headers(), by).await?;
    let (parts, body) = request.into_parts();
    let body = match &operation.body {
        Some(of) => {
            is_json(&parts.headers)?;
            let bytes_max = of.bodies_max * app.limits.body_bytes_max + ENVELOPE_BYTES_MAX;
            read(&parts.headers, body, bytes_max).await?
        }
        None => Bytes::new(),
    };
    Ok(Call {
        app: Arc::clone(app),
        asker,
        params: params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    })
}

async fn authorise(
    app: &App,
    operation: &Operation,
    headers: &HeaderMap,
    by: By<'_>,
) -> Result<Asker, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (given.next(), given.next()) {
        (Some(one), None) => one.to_str().ok().and_then(bearer),
        _ => None,
    };
    let Some(token) = token else {
        app.policing.token_missing(by.address);
        audited::login_failed(&app.audit, by, "missing").await;
        let failure = Failure::new(Code::Unauthorized, "send `Authorization: Bearer <token>`");
        return Err(failure.into());
    };
    let asker = if app.api_keys.hold(token.as_bytes()) {
        Asker::Key
    } else {
        match app.tokens.check(token, unix_ms() / 1000) {
            Ok(identity) => Asker::Token(identity),
            Err(error) => {
                app.meters.token_refused(error.slug());
                app.policing.token_refused(by.address, None, &error);
                audited::login_failed(&app.audit, by, error.slug()).await;
                return Err(Failure::from(error).into());
            }
        }
    };
    let (key, class, by) = match &asker {
        Asker::Key => (token, None, by),
        Asker::Token(identity) => {
            (identity.user.as_str(), identity.class.as_deref(), by.identified(identity))
        }
    };
    if let Err(tripped) = app.limiter.requests(key, class) {
        let user = if let Asker::Token(identity) = &asker { Some(&identity.user) } else { None };
        return Err(app.tripped(tripped, by, user).into());
    }
    let role = match &asker {
        Asker::Key => Role::Service,
        Asker::Token(identity) => identity.role,
    };
    let lacks = match (operation.access, role) {
        // A user's token is looked at once the stream is known.
        (_, Role::Admin) | (Access::Service, Role::Service) | (Access::Media(_), _) => return Ok(asker),
        (Access::Service, Role::User) => "this is for API keys, and tokens of the role service or admin",
        (Access::Admin, Role::User | Role::Service) => "this is for tokens of the role admin",
    };
    let by = match &asker {
        Asker::Key => By { role: Some(role), ..by },
        Asker::Token(identity) => by.identified(identity),
    };
    audited::denied(&app.audit, by, operation.id, None, "role");
    Err(Failure::new(Code::Forbidden, lacks).into())
}

/// The name of the scheme is written in any case (RFC 9110 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let failure = Failure::new(Code::BadRequest, "the body must be application/json");
    Err(Problem { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, failure })
}

async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || Failure::new(Code::TooLarge, format!("this request has at most {bytes_max} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > bytes_max as u64) {
        return Err(too_large().into());
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Too large, or broken off: then nobody reads the answer.
        Ok(Err(_)) => Err(too_large().into()),
        Err(_) => {
            let failure = Failure::new(Code::BadRequest, "the body did not arrive in time");
            Err(Problem { status: StatusCode::REQUEST_TIMEOUT, failure })
        }
    }
}

fn refusal(problem: &Problem, request_id: &str) -> Response {
    #[derive(Serialize)]
    struct Refused<'a> {
        ok: bool,
        error: &'a Failure,
        request_id: &'a str,
    }

    let Problem { status, failure } = problem;
    let (status, retry_after_ms) = (*status, failure.retry_after_ms);
    let refused = Refused { ok: false, error: failure, request_id };
    let mut response =
        json(status, serde_json::to_string(&refused).expect("numbers and texts can always be written"));
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
        // In whole seconds, and never none: that would be an invitation to ask again at once.
        let seconds = retry_after_ms.unwrap_or_default().div_ceil(1000).max(1);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
