//! One request to the admin listener, and what can come of it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Method, StatusCode, redirect};
use serde_json::Value;
use turnpike_daemon::log::escaped;
use turnpike_guard::Role;
use turnpike_wire::UserId;

use super::command::Request;
use crate::announce::reachable;
use crate::config::Config;
use crate::token;

const ANSWER_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// One is made for each request.
const TOKEN_TTL: Duration = Duration::from_mins(1);
const OPERATOR: &str = "operator";

/// What went wrong, each with an exit code of its own for scripts (as sysexits.h has them).
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("the admin listener at {url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("the node does not accept who asks: {0}")]
    NotAllowed(String),
    #[error("{0}")]
    Refused(String),
}

impl RemoteError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 69,
            Self::NotAllowed(_) => 77,
            Self::Refused(_) => 1,
        }
    }
}

/// A node to be asked.
pub(crate) struct Node {
    url: String,
    token: String,
    client: Client,
}

impl Node {
    pub(crate) fn new(request: &Request, config: &Config) -> anyhow::Result<Self> {
        let url = match &request.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", reachable(config.admin.address())),
        };
        let token = match &config.admin.token {
            Some(token) => token.reveal().to_owned(),
            None => minted(request, config)?,
        };
        // A proxy of the environment would be shown the token.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .build()?;
        Ok(Self { url, token, client })
    }

    pub(crate) async fn ask(&self, request: &Request) -> Result<Value, RemoteError> {
        let url = format!("{}{}", self.url, request.path);
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
        let mut asked = self.client.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = &request.body {
            asked = asked.header("content-type", "application/json").body(body.to_string());
        }
        let unreachable = |error: reqwest::Error| {
            let mut reason = error.without_url().to_string();
            if error_is_connect(&reason) {
                reason.push_str("; is the node running, and are ADMIN_HOST and ADMIN_PORT, or --url, right?");
            }
            RemoteError::Unreachable { url: self.url.clone(), reason }
        };
        let answer = asked.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        let json: Option<Value> = serde_json::from_str(&text).ok();
        match json {
            Some(json) if status.is_success() && json["ok"] == true => Ok(json),
            Some(json) => Err(refused(status, &json)),
            None => Err(RemoteError::Unreachable {
                url: self.url.clone(),
                reason: match status {
                    StatusCode::NOT_FOUND => "it has no admin API, as a router has none (`turnpike drain --pid` or SIGTERM has one leave); \
                                              ADMIN_HOST and ADMIN_PORT, or --url, name a node"
                        .into(),
                    status => format!("it answers {status}, and not as the admin API does"),
                },
            }),
        }
    }
}

fn error_is_connect(reason: &str) -> bool {
    reason.contains("connect") || reason.contains("sending request")
}

fn refused(status: StatusCode, json: &Value) -> RemoteError {
    let error = &json["error"];
    let reason = error["reason"].as_str().unwrap_or("unknown");
    let message = escaped(error["message"].as_str().unwrap_or_default());
    let mut said = format!("{message} ({reason})");
    if let Some(after_ms) = error["retry_after_ms"].as_u64() {
        let _ = write!(said, "; try again in {} s", after_ms.div_ceil(1000));
    }
    if let Some(id) = json["request_id"].as_str() {
        let _ = write!(said, "; request {}", escaped(id));
    }
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RemoteError::NotAllowed(said),
        _ => RemoteError::Refused(said),
    }
}

/// Whoever holds the secret may make a token anyway. It says who was logged in here, for the audit log.
fn minted(request: &Request, config: &Config) -> anyhow::Result<String> {
    let secret = config.token_secret()?.context(
        "there is no token: set TURNPIKE_ADMIN_TOKEN to one of the role admin, or run this where JWT_SECRET is",
    )?;
    let mut wanted = token::Request::new(who(request));
    wanted.role = Role::Admin;
    wanted.ttl = TOKEN_TTL;
    token::mint(&wanted, config, &secret)
}

fn who(request: &Request) -> UserId {
    let logged_in = || {
        let of = |name| std::env::var(name).ok().and_then(|user| UserId::parse(&user).ok());
        of("SUDO_USER").or_else(|| of("USER"))
    };
    let named = request.by.clone().or_else(logged_in);
    named.unwrap_or_else(|| UserId::parse(OPERATOR).expect("this is an id"))
}
