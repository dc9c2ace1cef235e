//! `turnpike token`: a token from the command line, for development and for operators who hold the secret anyway.

use std::fmt::Display;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde_json::json;
use turnpike_daemon::config::{Arguments, Fault, Faults, Place, Secret, Setting as _};
use turnpike_guard::{Audience, Claims, Grant, MediaGrant, Name, NumericDate, Role};
use turnpike_wire::UserId;
use turnpike_wire::limits::GRANTS_PER_TOKEN_MAX;

use crate::config::Config;
use crate::development;
use crate::line::{Example, Flag, JSON, Keys, Spec, Takes};

pub(crate) const SPEC: Spec = Spec {
    more: "Printed is the token and nothing else. It is signed with JWT_SECRET; in development a secret is made on first use, so that it does \
           not matter whether the token or the system came first.",
    flags: &[&[
        Flag::value("user", "ID", "who the token is for").required(),
        Flag::value("name", "NAME", "a name to show to others"),
        Flag::value(
            "room",
            "PATTERN=RIGHT,...",
            "what it may do where; rights are join, send, history, presence and typing. Without it the token has the default grants of the configuration",
        )
        .repeated(),
        Flag::value(
            "stream",
            "PATTERN=RIGHT,...",
            "the same for live video; rights are publish, subscribe and record",
        )
        .repeated(),
        Flag::value("role", "ROLE", "what it is for").default("user").takes(Takes::Words(&["user", "service", "admin"])),
        Flag::value("ttl", "DURATION", "how long it is valid").default("1h"),
        JSON,
    ]],
    keys: Keys::These(&["auth.jwt_secret", "auth.issuer", "auth.audience", "node.data_dir"]),
    examples: &[
        Example("turnpike token --user alice", "for trying things out"),
        Example(
            "turnpike token --user bob --room 'chat:*=join,send,history' --stream 'live:*=subscribe' --ttl 15m",
            "with rights of its own",
        ),
        Example("turnpike token --user ops --role admin --ttl 10m", "for the dashboard and the admin API"),
    ],
    ..Spec::new("token", "Prints a token that the system accepts")
};

const TTL_DEFAULT: Duration = Duration::from_hours(1);
/// A token cannot be called back without more machinery, so one for ever is refused.
const TTL_MAX: Duration = Duration::from_hours(366 * 24);

/// A token to be made.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) user: UserId,
    pub(crate) name: Option<Name>,
    /// `None`: the default grants of the configuration.
    pub(crate) rooms: Option<Vec<Grant>>,
    /// The same of streams.
    pub(crate) media: Option<Vec<MediaGrant>>,
    pub(crate) role: Role,
    pub(crate) ttl: Duration,
    pub(crate) json: bool,
}

impl Request {
    pub(crate) fn new(user: UserId) -> Self {
        Self { user, name: None, rooms: None, media: None, role: Role::User, ttl: TTL_DEFAULT, json: false }
    }

    /// `None` if there was a fault.
    pub(crate) fn parse(arguments: &mut Arguments, faults: &mut Faults) -> Option<Self> {
        let faults_before = faults.0.len();
        let json = arguments.take_switch("json");
        let user = arguments.take_one("user", "a user id", faults);
        let name = arguments.take_one("name", "a name", faults);
        let role = arguments.take_one("role", "a role", faults);
        let ttl = arguments.take_one("ttl", "a duration", faults);
        let rooms = arguments.take_values("room", "PATTERN=RIGHT,...", faults);
        let media = arguments.take_values("stream", "PATTERN=RIGHT,...", faults);

        if user.is_none() && faults.0.len() == faults_before {
            faults.push(Fault {
                key: "--user".into(),
                place: Place::Flag("user".into()),
                value: None,
                problem: "is missing".into(),
                remedy: "expected the id of the user whom the token is for".into(),
            });
        }
        let user = user.and_then(|text| parsed("user", &text, UserId::parse(&text), faults));
        let name = name.and_then(|text| parsed("name", &text, Name::parse(&text), faults));
        let role = role.and_then(|text| parsed("role", &text, text.parse::<Role>(), faults));
        let ttl = ttl.and_then(|text| parsed("ttl", &text, parse_ttl(&text), faults));
        let count = rooms.len() + media.len();
        let rooms: Vec<Grant> = rooms
            .into_iter()
            .filter_map(|text| parsed("room", &text, text.parse::<Grant>(), faults))
            .collect();
        let media: Vec<MediaGrant> = media
            .into_iter()
            .filter_map(|text| parsed("stream", &text, text.parse::<MediaGrant>(), faults))
            .collect();
        if count > GRANTS_PER_TOKEN_MAX {
            let _: Option<()> =
                parsed("room", "", Err(format!("a token has at most {GRANTS_PER_TOKEN_MAX} grants")), faults);
        }
        if faults.0.len() > faults_before {
            return None;
        }
        Some(Self {
            name,
            rooms: (!rooms.is_empty()).then_some(rooms),
            media: (!media.is_empty()).then_some(media),
            role: role.unwrap_or_default(),
            ttl: ttl.unwrap_or(TTL_DEFAULT),
            json,
            ..Self::new(user?)
        })
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let ttl = Duration::parse(text).map_err(|_| format!("expected {}", Duration::EXPECTS))?;
    if ttl.is_zero() || ttl > TTL_MAX {
        return Err(format!("expected between 1s and {}", TTL_MAX.show()));
    }
    Ok(ttl)
}

/// What a type says of text that it refuses, as a fault of the flag.
fn parsed<T, E: Display>(flag: &str, text: &str, outcome: Result<T, E>, faults: &mut Faults) -> Option<T> {
    outcome
        .map_err(|error| {
            faults.push(Fault {
                key: format!("--{flag}"),
                place: Place::Flag(flag.into()),
                value: Some(text.into()),
                problem: "does not fit".into(),
                remedy: error.to_string(),
            });
        })
        .ok()
}

/// Prints the token, and nothing else, to stdout. In development this makes the secret if it does not exist yet, so that
/// it does not matter whether the token or the system came first.
pub(crate) fn print(request: &Request, config: &Config) -> anyhow::Result<()> {
    let directory = &config.node.data_dir;
    let secret_is_new = config.auth.jwt_secret.is_none() && !development::secret_path(directory).exists();
    let secret = config.token_secret()?.context(
        "there is no JWT_SECRET: tokens are made where the private key is, and this process has the public one alone",
    )?;
    let token = mint(request, config, &secret)?;
    if secret_is_new {
        // Somebody in the wrong directory would else wonder why the system refuses the token.
        let path = std::path::absolute(development::secret_path(directory))?;
        let path = path.display();
        let _ = writeln!(
            std::io::stderr(),
            "turnpike: made the secret {path}; a system with another data directory has another"
        );
    }
    if request.json {
        let expires_at = expiry(request, now()?);
        let said =
            json!({ "ok": true, "token": token, "user": request.user.as_str(), "expires_at": expires_at });
        return crate::print(&said.to_string());
    }
    crate::print(&token)
}

/// Seconds since 1970.
fn now() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs())
}

fn expiry(request: &Request, now: u64) -> u64 {
    now.saturating_add(request.ttl.as_secs())
}

pub(crate) fn mint(request: &Request, config: &Config, secret: &Secret) -> anyhow::Result<String> {
    let now = now()?;
    let claims = Claims {
        iat: Some(NumericDate(now)),
        iss: config.auth.issuer.clone(),
        aud: config.auth.audience.clone().map(Audience::One),
        name: request.name.clone(),
        rooms: request.rooms.clone(),
        media: request.media.clone(),
        role: request.role,
        ..Claims::new(request.user.clone(), expiry(request, now))
    };
    Ok(turnpike_guard::mint(secret.reveal().as_bytes(), &claims)?)
}
