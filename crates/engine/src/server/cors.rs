//! Which pages may talk to us from a browser.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

use crate::config::Origins;

/// What a request's origin may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// No page sent it, or one of our own.
    SameOrigin,
    Anyone,
    Listed(HeaderValue),
    Refused,
}

pub(super) fn access(origins: &Origins, headers: &HeaderMap) -> Access {
    let Some(origin) = headers.get(ORIGIN) else { return Access::SameOrigin };
    match origins {
        Origins::Any => Access::Anyone,
        Origins::Listed(listed) => {
            let text = origin.to_str().unwrap_or_default();
            if listed.iter().any(|listed| listed == text) {
                return Access::Listed(origin.clone());
            }
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            let own = text.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
            if own { Access::SameOrigin } else { Access::Refused }
        }
    }
}

impl Access {
    /// Lets the page read the answer. Any page may read without credentials; listed ones also with them.
    pub(super) fn allow(&self, headers: &mut HeaderMap) {
        match self {
            Self::SameOrigin | Self::Refused => {}
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
        assert_eq!(asked(&listed, None), Access::SameOrigin);
        assert!(matches!(asked(&listed, Some("https://app.example")), Access::Listed(_)));
        assert_eq!(asked(&listed, Some("http://chat.example:8080")), Access::SameOrigin);
        for other in [
            "null",
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "https://evil-app.example",
            "https://APP.example",
            "http://chat.example",
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
