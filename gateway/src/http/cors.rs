//! Which pages may ask the API, and read what it says. Never with credentials: it knows bearers alone, and no cookies.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use turnpike_engine::{Noticed, Origins, PeerAddress};
use turnpike_wire::{Code, Failure};

use super::failed;
use crate::app::App;

/// The pages that may, and whoever wants to know of the others.
pub(super) struct Pages {
    pub(super) app: Arc<App>,
    pub(super) origins: Origins,
}

pub(super) async fn allow(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let Pages { app, origins } = &*pages;
    let allowed = allowed(origins, request.headers());
    if allowed.is_none() && request.headers().contains_key(header::ORIGIN) {
        if let Some(PeerAddress(client)) = request.extensions().get() {
            app.policing.noticed(client.ip(), Noticed::OriginRefused);
        }
        return failed(StatusCode::FORBIDDEN, Failure::new(Code::Forbidden, "this page may not ask here"));
    }
    let preflight = request.method() == Method::OPTIONS && request.headers().contains_key(header::ORIGIN);
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    if matches!(origins, Origins::Listed(_)) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if preflight {
            headers
                .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("authorization, content-type, idempotency-key"),
            );
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        }
    }
    response
}

fn allowed(origins: &Origins, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    let origin = given.next()?;
    match origins {
        Origins::Any => Some(HeaderValue::from_static("*")),
        Origins::Listed(listed) => {
            let is_listed = listed.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
            (is_listed && given.next().is_none()).then(|| origin.clone())
        }
    }
}
