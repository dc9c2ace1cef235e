//! Checking a token: size, form, header, signature, and only then what it claims.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use turnpike_wire::limits::{GRANTS_PER_TOKEN_MAX, TOKEN_BYTES_MAX};
use turnpike_wire::{Code, Failure};

use crate::claims::Claims;
use crate::grant::{Grant, MediaGrant};
use crate::identity::Identity;
use crate::json::{DUPLICATE, Keys, is_shallow};
use crate::key::NotBase64;
use crate::revocation::Revocations;
use crate::ring::{KeyRing, candidates};

/// How far the clocks of issuer and node may differ.
const LEEWAY_SECONDS: u64 = 30;

/// Header parameters that name or carry a key, or change how the token is to be read. A token never decides that
/// (RFC 8725 3.10); whoever sends one is refused, known to be harmless or not.
const HEADERS_REFUSED: &[&str] =
    &["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "enc", "zip"];

/// Why a token is refused: for metrics and audit. The client is told whether it has expired, and nothing else: whoever
/// tries tokens would learn from each answer how far the last one came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("a token has at most {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    #[error("not a signed token of three parts")]
    Form,
    #[error("the {part} is not unpadded base64url")]
    Encoding { part: Part },
    #[error("the {part} is not a JSON object")]
    Json { part: Part },
    #[error("a key stands twice in the {part}")]
    Duplicate { part: Part },
    #[error("the {part} is nested too deeply")]
    Depth { part: Part },
    #[error("the header parameter {0} is not allowed")]
    HeaderRefused(&'static str),
    #[error("the type of the token is not JWT")]
    Type,
    #[error("the algorithm is not the one of the key")]
    Algorithm,
    #[error("the header has a parameter of the wrong type")]
    HeaderForm,
    #[error("no key has the id that the token names")]
    UnknownKey,
    #[error("the token names no key, and there are too many to try")]
    AmbiguousKey,
    #[error("the signature does not match")]
    Signature,
    #[error("a claim is missing or of the wrong form: {0}")]
    Claim(String),
    #[error("more than {GRANTS_PER_TOKEN_MAX} grants")]
    TooManyGrants,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token was issued in the future")]
    IssuedInFuture,
    #[error("the token comes from another issuer")]
    Issuer,
    #[error("the token is meant for another audience")]
    Audience,
    #[error("the token lives longer than tokens may")]
    Lifetime,
    #[error("the token was revoked")]
    Revoked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Header,
    Payload,
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

impl TokenError {
    pub fn code(&self) -> Code {
        match self {
            Self::Expired => Code::TokenExpired,
            _ => Code::Unauthorized,
        }
    }

    /// Whether it was never a good one, here or elsewhere. What has expired, is not valid yet, was called back or is meant for
    /// somebody else says nothing against whoever shows it: clocks are off, and pages stay open over night.
    pub fn is_an_attempt(&self) -> bool {
        !matches!(
            self,
            Self::Expired
                | Self::NotYet
                | Self::IssuedInFuture
                | Self::Issuer
                | Self::Audience
                | Self::Revoked
        )
    }

    /// All that [`Self::slug`] gives.
    pub const SLUGS: [&str; 22] = [
        "too_large",
        "form",
        "encoding",
        "json",
        "duplicate",
        "depth",
        "header",
        "type",
        "algorithm",
        "header_form",
        "key",
        "key_ambiguous",
        "signature",
        "claim",
        "grants",
        "expired",
        "not_yet",
        "issued_in_future",
        "issuer",
        "audience",
        "lifetime",
        "revoked",
    ];

    /// A constant name, fit for a metric's label.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Form => "form",
            Self::Encoding { .. } => "encoding",
            Self::Json { .. } => "json",
            Self::Duplicate { .. } => "duplicate",
            Self::Depth { .. } => "depth",
            Self::HeaderRefused(_) => "header",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::HeaderForm => "header_form",
            Self::UnknownKey => "key",
            Self::AmbiguousKey => "key_ambiguous",
            Self::Signature => "signature",
            Self::Claim(_) => "claim",
            Self::TooManyGrants => "grants",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::IssuedInFuture => "issued_in_future",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Lifetime => "lifetime",
            Self::Revoked => "revoked",
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        error.code().into()
    }
}

/// Says of a token who it is. Made once from the configuration; its keys may change while it is used.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: KeyRing,
    issuer: Option<String>,
    audience: Option<String>,
    default_rooms: Arc<[Grant]>,
    default_media: Arc<[MediaGrant]>,
    /// In seconds.
    lifetime_max: u64,
    revocations: Revocations,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    typ: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    kid: Option<std::borrow::Cow<'a, str>>,
}

impl Verifier {
    /// One key, or a ring of which the caller keeps a clone to replace its keys. `default_rooms` is what a token without the
    /// claim `rooms` may do.
    pub fn new(keys: impl Into<KeyRing>, default_rooms: Vec<Grant>) -> Self {
        Self {
            keys: keys.into(),
            issuer: None,
            audience: None,
            default_rooms: default_rooms.into(),
            default_media: Arc::from([]),
            lifetime_max: u64::MAX,
            revocations: Revocations::default(),
        }
    }

    /// What a token without the claim `media` may do. Without this: nothing.
    pub fn media(mut self, default_media: Vec<MediaGrant>) -> Self {
        self.default_media = default_media.into();
        self
    }

    /// Tokens must bear this `iss`.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Tokens must name this in their `aud`.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Tokens that live longer than so many seconds, from `iat` or else from when they are shown, are refused: so nobody has
    /// to remember for longer that tokens were revoked. Without this there is no bound.
    pub fn lifetime(mut self, max: u64) -> Self {
        self.lifetime_max = max;
        self
    }

    pub fn lifetime_max(&self) -> u64 {
        self.lifetime_max
    }

    /// What was called back, to be asked of and told by whoever hears of it. Clones of the verifier share it.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The same for one that is shared with others.
    pub fn revoked_by(mut self, revocations: Revocations) -> Self {
        self.revocations = revocations;
        self
    }

    /// `now` in Unix seconds.
    pub fn check(&self, token: &str, now: u64) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLarge);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Form)?;
        if payload.contains('.') {
            return Err(TokenError::Form);
        }
        self.check_origin(header, message, signature)?;
        let claims = read_claims(payload)?;
        self.check_claims(&claims, now)?;
        Ok(self.identity(claims))
    }

    /// That the header asks for nothing unusual, and that a key of ours has signed.
    fn check_origin(&self, header: &str, message: &str, signature: &str) -> Result<(), TokenError> {
        let part = Part::Header;
        let text = decode(header, part)?;
        let names = read_keys(&text, part)?;
        if let Some(refused) = HEADERS_REFUSED.iter().find(|name| names.0.iter().any(|key| key == *name)) {
            return Err(TokenError::HeaderRefused(refused));
        }
        let header: Header<'_> = serde_json::from_slice(&text).map_err(|_| fault_of_header(&text))?;
        // RFC 7515 4.1.9 and RFC 9068 2.1; compared without case as RFC 7519 5.1 asks.
        let typed = header
            .typ
            .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt"));
        if !typed {
            return Err(TokenError::Type);
        }
        // The name is compared exactly, so `none` in any spelling is just another wrong name.
        let algorithm = header.alg.parse().map_err(|_| TokenError::Algorithm)?;
        let keys = self.keys.keys();
        for key in candidates(&keys, algorithm, header.kid.as_deref())? {
            // A base64url text that decodes loosely would give one token many spellings, and each would be a new one to
            // a list of revoked tokens; jsonwebtoken's decoder is strict in the same way as ours.
            let signed = key.has_signed(message.as_bytes(), signature);
            if signed.map_err(|NotBase64| TokenError::Encoding { part: Part::Signature })? {
                return Ok(());
            }
        }
        Err(TokenError::Signature)
    }

    fn check_claims(&self, claims: &Claims, now: u64) -> Result<(), TokenError> {
        // RFC 7519 4.1.4: the time must be before `exp`.
        if now >= claims.exp.0.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Expired);
        }
        let latest = now.saturating_add(LEEWAY_SECONDS);
        if claims.nbf.is_some_and(|nbf| nbf.0 > latest) {
            return Err(TokenError::NotYet);
        }
        if claims.iat.is_some_and(|iat| iat.0 > latest) {
            return Err(TokenError::IssuedInFuture);
        }
        if self.issuer.is_some() && self.issuer != claims.iss {
            return Err(TokenError::Issuer);
        }
        // RFC 7519 4.1.3: who does not find itself in an `aud` that is present must refuse the token.
        let for_us = match (&self.audience, &claims.aud) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => theirs.contains(ours),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !for_us {
            return Err(TokenError::Audience);
        }
        let begins = claims.iat.map_or(now, |iat| iat.0);
        if claims.exp.0.saturating_sub(begins) > self.lifetime_max.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Lifetime);
        }
        let rooms = claims.rooms.as_ref().map_or(0, Vec::len);
        let media = claims.media.as_ref().map_or(0, Vec::len);
        if rooms + media > GRANTS_PER_TOKEN_MAX {
            return Err(TokenError::TooManyGrants);
        }
        let issued_at = claims.iat.map(|iat| iat.0);
        if self.revocations.has_token(&claims.sub, claims.jti.as_deref(), issued_at) {
            return Err(TokenError::Revoked);
        }
        Ok(())
    }

    fn identity(&self, claims: Claims) -> Identity {
        Identity {
            user: claims.sub,
            role: claims.role,
            name: claims.name,
            expires_at: claims.exp.0,
            issued_at: claims.iat.map(|iat| iat.0),
            token_id: claims.jti,
            class: claims.class,
            rooms: claims.rooms.map_or_else(|| Arc::clone(&self.default_rooms), Into::into),
            media: claims.media.map_or_else(|| Arc::clone(&self.default_media), Into::into),
        }
    }
}

/// Of one that could not be read.
fn fault_of_header(text: &[u8]) -> TokenError {
    #[derive(Deserialize)]
    struct Algorithm<'a> {
        #[serde(borrow, rename = "alg")]
        _name: std::borrow::Cow<'a, str>,
    }
    let named = serde_json::from_slice::<Algorithm<'_>>(text).is_ok();
    if named { TokenError::HeaderForm } else { TokenError::Algorithm }
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Encoding { part })
}

fn read_keys(text: &[u8], part: Part) -> Result<Keys<'_>, TokenError> {
    if !is_shallow(text) {
        return Err(TokenError::Depth { part });
    }
    serde_json::from_slice(text).map_err(|error| {
        if error.is_data() && error.to_string().starts_with(DUPLICATE) {
            TokenError::Duplicate { part }
        } else {
            TokenError::Json { part }
        }
    })
}

fn read_claims(payload: &str) -> Result<Claims, TokenError> {
    let text = decode(payload, Part::Payload)?;
    read_keys(&text, Part::Payload)?;
    serde_json::from_slice(&text).map_err(|error| TokenError::Claim(error.to_string()))
}
