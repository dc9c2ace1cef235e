//! Which pages may talk to us from a browser.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

use crate::config::Origins;

/// What a request's origin may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// No page sent it, as far as browsers say so.
    NoPage,
    Anyone,
    Listed(HeaderValue),
    Refused,
}

pub(super) fn access(origins: &Origins, headers: &HeaderMap) -> Access {
    let mut given = headers.get_all(ORIGIN).iter();
    let Some(origin) = given.next() else { return Access::NoPage };
    match origins {
        Origins::Any => Access::Anyone,
        Origins::Listed(listed) => {
            // Not the host of the request either: a page whose name was made to lead here has that as its own.
            let is_listed = listed.iter().any(|listed| listed.as_bytes() == origin.as_bytes());
            if is_listed && given.next().is_none() { Access::Listed(origin.clone()) } else { Access::Refused }
        }
    }
}

impl Access {
    /// Lets the page read the answer. Any page may read without credentials; listed ones also with them.
    pub(super) fn allow(&self, headers: &mut HeaderMap) {
        match self {
            Self::NoPage | Self::Refused => {}
            Self::Anyone => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::Listed(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                headers.insert(VARY, HeaderValue::from_static("Origin"));
            }
        }
    }

    /// The answer to a preflight.
    pub(super) fn allow_requests(&self, headers: &mut HeaderMap) {
        self.allow(headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    fn asked(origins: &Origins, origin: Option<&'static str>) -> Access {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("chat.example:8080"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        access(origins, &headers)
    }

    #[test]
    fn listed_origins_are_compared_whole() {
        let listed = Origins::Listed(vec!["https://app.example".to_owned()]);
        assert_eq!(asked(&listed, None), Access::NoPage);
        assert!(matches!(asked(&listed, Some("https://app.example")), Access::Listed(_)));
        for other in [
            "null",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "https://evil-app.example",
            "https://APP.example",
            "http://chat.example",
            "http://chat.example:8080",
        ] {
            assert_eq!(asked(&listed, Some(other)), Access::Refused, "{other}");
        }
    }

    #[test]
    fn an_open_engine_never_reflects_an_origin() {
        let access = asked(&Origins::Any, Some("https://evil.example"));
        let mut headers = HeaderMap::new();
        access.allow(&mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
}
