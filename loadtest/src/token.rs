//! The tokens that users and backends show: made from a secret, or given as they are.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

pub enum Tokens {
    /// HS256; every user has a name of their own.
    Secret(EncodingKey),
    /// The same for everybody.
    Given(String),
    /// For servers that ask for none.
    None,
}

/// Longer than any run.
const LIFETIME_S: u64 = 2 * 86_400;

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    rooms: [Grant; 2],
    media: [MediaGrant; 1],
}

#[derive(Serialize)]
struct Grant {
    r#match: &'static str,
    can: &'static [&'static str],
}

#[derive(Serialize)]
struct MediaGrant {
    r#match: &'static str,
    can: [&'static str; 2],
}

impl Tokens {
    pub fn from_secret(secret: &str) -> Self {
        Self::Secret(EncodingKey::from_secret(secret.as_bytes()))
    }

    pub fn user(&self, name: &str) -> String {
        self.make(name, None)
    }

    pub fn service(&self) -> String {
        self.make("loadtest", Some("service"))
    }

    /// For nodes that tell their metrics to nobody else.
    pub fn admin(&self) -> String {
        self.make("loadtest", Some("admin"))
    }

    fn make(&self, sub: &str, role: Option<&str>) -> String {
        match self {
            Self::Secret(key) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let rooms = [
                    Grant { r#match: "load:*", can: &["join", "send", "history", "presence", "typing"] },
                    Grant { r#match: "user:load-*", can: &["send"] },
                ];
                let media = [MediaGrant { r#match: "live:*", can: ["publish", "subscribe"] }];
                let claims = Claims { sub, iat: now, exp: now + LIFETIME_S, role, rooms, media };
                // An empty token is refused, and that is counted.
                jsonwebtoken::encode(&Header::default(), &claims, key).unwrap_or_default()
            }
            Self::Given(token) => token.clone(),
            Self::None => String::new(),
        }
    }
}
