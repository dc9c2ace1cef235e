//! The demo: its page, a token for whoever asks, and which streams are on. In development alone.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use turnpike_guard::{Audience, Claims, Grant, MediaGrant, MediaRights, Name, Pattern, Rights, mint};
use turnpike_wire::{Code, Failure, RoomId, UserId};

use super::{failed, json, pages};
use crate::app::App;
use crate::clock::unix_ms;
use crate::config::Development;

const TOKEN_TTL_SECONDS: u64 = 12 * 60 * 60;
const REQUEST_BYTES_MAX: usize = 1024;
const STREAMS_MAX: usize = 50;

pub(super) fn routes(app: &Arc<App>, development: Development) -> Router {
    pages::routes()
        .route("/dev/streams", get(streams).with_state(Arc::clone(app)))
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
    let everything = Pattern::parse("*").expect("a star alone is a pattern");
    claims.media = Some(vec![MediaGrant { pattern: everything.clone(), can: MediaRights::ALL }]);
    claims.rooms = Some(vec![Grant { pattern: everything, can: Rights::ALL }]);
    match mint(&development.secret, &claims) {
        Ok(token) => json(StatusCode::OK, format!("{{\"token\":\"{token}\",\"expires_at\":{expires_at}}}")),
        Err(_) => failed(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal.into()),
    }
}

async fn streams(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct On {
        stream: RoomId,
        since: u64,
        viewers: u64,
    }
    #[derive(Serialize)]
    struct Page {
        streams: Vec<On>,
    }

    match app.signaling.streams("", STREAMS_MAX).await {
        Ok((listed, _)) => {
            let streams = listed
                .into_iter()
                .map(|listed| On {
                    stream: listed.stream,
                    since: listed.entry.since,
                    viewers: listed.entry.viewers,
                })
                .collect();
            let page = Page { streams };
            json(
                StatusCode::OK,
                serde_json::to_string(&page).expect("names and numbers can always be written"),
            )
        }
        Err(failure) => failed(StatusCode::SERVICE_UNAVAILABLE, failure),
    }
}
