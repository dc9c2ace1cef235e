//! Which pages may ask. Never with credentials: there are bearers alone, and no cookies.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;

const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, GET, HEAD, POST, PATCH, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, if-match, accept, last-event-id");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("location, link, etag, accept-post, accept-patch, retry-after");
const AGE: HeaderValue = HeaderValue::from_static("7200");

pub(super) async fn allow(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let allowed = allowed(app.origins.as_deref(), request.headers());
    let is_preflight = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if app.origins.is_some() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if is_preflight {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, AGE);
        }
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn allowed(origins: Option<&[String]>, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let Some(listed) = origins else { return Some(HeaderValue::from_static("*")) };
    let text = origin.to_str().ok()?;
    listed.iter().any(|listed| listed == text).then(|| origin.clone())
}
