//! What the public port answers beside the engine: health, the API for backends, the demo page, and an error in our own
//! form for the rest.

pub(crate) mod api;
mod cors;
mod demo;
pub(crate) mod pages;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use turnpike_engine::Origins;
use turnpike_wire::{Answer, Code, Failure};

use crate::app::App;
use crate::config::Development;
use crate::ending::Draining;

/// `process` holds the routes that the process adds to every listener of its own: its probes.
pub(crate) fn router(
    app: &Arc<App>,
    process: Router,
    origins: Origins,
    draining: Draining,
    development: Option<Development>,
) -> Router {
    let pages = cors::Pages { app: Arc::clone(app), origins };
    let api = Router::new()
        .route("/api/v1/info/health", get(health))
        .with_state(draining)
        .merge(api::router(app))
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(Arc::new(pages), cors::allow));
    let mut router = Router::new().merge(process);
    if let Some(development) = development {
        router = router.merge(demo::routes(app, development));
    }
    router
        .merge(api)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::map_response(guard_browsers))
}

/// Whether this node should be given users, for whoever cannot ask its other ports.
async fn health(State(draining): State<Draining>) -> Response {
    let (status, text) = if draining.has_begun() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        (StatusCode::OK, "ok")
    };
    json(status, format!("{{\"status\":\"{text}\"}}"))
}

async fn nothing_here() -> Response {
    failed(StatusCode::NOT_FOUND, Failure::new(Code::BadRequest, "there is nothing at this path"))
}

async fn wrong_method() -> Response {
    failed(
        StatusCode::METHOD_NOT_ALLOWED,
        Failure::new(Code::BadRequest, "this path does not take that method"),
    )
}

fn failed(status: StatusCode, failure: Failure) -> Response {
    let answer: Answer<()> = Answer::Failed(failure);
    json(status, serde_json::to_string(&answer).expect("numbers and texts can always be written"))
}

fn json(status: StatusCode, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// A browser takes an answer for what we say it is, and never inside of another page.
async fn guard_browsers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}
