//! The demo: its page, and a token for whoever asks. In development alone.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use turnpike_guard::{Audience, Claims, Name, Rights, mint};
use turnpike_wire::{Code, Failure, UserId};

use super::{failed, json, pages};
use crate::clock::unix_ms;
use crate::config::Development;

const TOKEN_TTL_SECONDS: u64 = 12 * 60 * 60;
const REQUEST_BYTES_MAX: usize = 1024;

pub(super) fn routes(development: Development) -> Router {
    pages::routes()
        .route("/dev/token", post(token).with_state(development))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
}

async fn token(State(development): State<Development>, headers: HeaderMap, body: Bytes) -> Response {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        user: UserId,
        #[serde(borrow, default)]
        name: Option<std::borrow::Cow<'a, str>>,
    }

    // Other pages cannot send this type without asking first, and nobody answers them.
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
    let bad = |message: String| failed(StatusCode::BAD_REQUEST, Failure::new(Code::BadRequest, message));
    if !is_json {
        return bad("the body must be application/json".to_owned());
    }
    let wanted: Wanted<'_> = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return bad(error.to_string()),
    };
    let expires_at = unix_ms() / 1000 + TOKEN_TTL_SECONDS;
    let mut claims = Claims::new(wanted.user, expires_at);
    claims.name = match wanted.name.as_deref().map(Name::parse).transpose() {
        Ok(name) => name,
        Err(problem) => return bad(problem.to_owned()),
    };
    claims.iss = development.issuer;
    claims.aud = development.audience.map(Audience::One);
    let everything = turnpike_guard::Pattern::parse("*").expect("a star alone is a pattern");
    claims.rooms = Some(vec![turnpike_guard::Grant { pattern: everything, can: Rights::ALL }]);
    match mint(&development.secret, &claims) {
        Ok(token) => json(StatusCode::OK, format!("{{\"token\":\"{token}\",\"expires_at\":{expires_at}}}")),
        Err(_) => failed(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal.into()),
    }
}
