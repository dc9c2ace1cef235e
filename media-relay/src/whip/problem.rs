//! How a refusal is written: a problem (RFC 9457) with our code in it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use turnpike_wire::{Code, Failure};

#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    failure: Failure,
    allow: Option<&'static str>,
}

/// Of whom it is not said when to come back.
const RETRY_AFTER_SECONDS: u64 = 2;

impl Problem {
    pub(super) fn with_status(status: StatusCode, failure: Failure) -> Self {
        Self { status, failure, allow: None }
    }

    pub(super) fn code(&self) -> Code {
        self.failure.code
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn allow(mut self, allow: &'static str) -> Self {
        self.allow = Some(allow);
        self
    }

    /// Of a session that is not there, or not theirs.
    pub(super) fn no_session() -> Self {
        let failure = Failure::new(Code::NoSuchStream, "there is no such session");
        Self::with_status(StatusCode::NOT_FOUND, failure)
    }

    pub(super) fn into_answer(self) -> Response {
        #[derive(Serialize)]
        struct Written<'a> {
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: u16,
            reason: &'a str,
            retryable: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after_ms: Option<u64>,
        }

        let Self { status, failure, allow } = self;
        let Failure { code, message, retry_after_ms } = failure;
        let written = Written {
            title: code.message(),
            status: status.as_u16(),
            detail: &message,
            code: code.number(),
            reason: code.slug(),
            retryable: code.retryable() || retry_after_ms.is_some(),
            retry_after_ms,
        };
        let body = serde_json::to_string(&written).expect("numbers and texts can always be written");
        let headers =
            [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let comes_back = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if comes_back || retry_after_ms.is_some() {
            // In whole seconds, and never none: that would be an invitation to ask again at once.
            let seconds = retry_after_ms.map_or(RETRY_AFTER_SECONDS, |ms| ms.div_ceil(1000).max(1));
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure.code {
            // It was of the right type, and means what we cannot do (RFC 9725 4.2).
            Code::CodecNotSupported => StatusCode::UNPROCESSABLE_ENTITY,
            code => StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        Self::with_status(status, failure)
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Failure::from(code).into()
    }
}
