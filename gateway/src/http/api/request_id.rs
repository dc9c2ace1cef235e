//! What one request is called, so that a backend's log and this node's speak of the same one.

use std::sync::atomic::Ordering;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use turnpike_wire::MessageId;

use crate::app::App;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The caller's own, if it can stand in a log and in JSON as it is; or a new one.
pub(super) fn of(app: &App, headers: &HeaderMap) -> String {
    given(headers).unwrap_or_else(|| {
        let drawn = app.drawn.fetch_add(1, Ordering::Relaxed);
        format!("{}.q.{drawn:x}", app.cluster.membership.own())
    })
}

fn given(headers: &HeaderMap) -> Option<String> {
    let id = MessageId::parse(headers.get(HEADER)?.to_str().ok()?).ok()?;
    Some(id.as_str().to_owned())
}

pub(super) fn value(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("ids are made of characters that headers may hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_stand_anywhere_is_taken_over() {
        let of = |id: &[u8]| given(&HeaderMap::from_iter([(HEADER, HeaderValue::from_bytes(id).unwrap())]));
        assert_eq!(of(b"7f3a-1.b").as_deref(), Some("7f3a-1.b"));
        for bad in [&b""[..], b"a b", b"a\"b", b"a\tb", b"\xff", &[b'x'; 65]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(given(&HeaderMap::new()), None);
    }
}
