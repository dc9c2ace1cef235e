//! The command line. Names that users of goose know mean what they mean there.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::{
    objective::Objective,
    parts::{PARTS_MAX, Part},
    profile::{self, Overrides, Profile, Transport},
    token::Tokens,
};

/// Loads a Turnpike cluster and accounts for every delivery.
///
/// The exit code is 0 if all objectives held, 1 if not, 3 if they held but the generator was too slow for that to mean
/// anything, and 64 if the command line or the profile is wrong.
#[derive(Debug, Parser)]
#[command(name = "turnpike-loadtest")]
pub struct Arguments {
    /// Where the cluster is, like http://127.0.0.1:3010 or https://test.example.net. Of several each user begins at one, and turns to
    /// the next when the server ends its connection or lets nobody in.
    #[arg(short = 'H', long, required_unless_present = "list")]
    pub host: Vec<String>,
    /// A profile that ships with this program, or a file; --list names them.
    #[arg(short, long, default_value = "chat-rooms")]
    pub profile: String,
    /// Instead of the profile's: how many users.
    #[arg(short, long)]
    pub users: Option<u32>,
    /// Instead of the profile's: how many new users a second.
    #[arg(short = 'r', long, visible_alias = "increase-rate")]
    pub hatch_rate: Option<u32>,
    /// Instead of the profile's: how long the load lasts, like 30s, 5m or 1h30m, from when all users are in.
    #[arg(short = 't', long)]
    pub run_time: Option<String>,
    /// Instead of the profile's: how long deliveries may still come afterwards.
    #[arg(long)]
    pub settle: Option<String>,
    /// Instead of the profile's: socketio or websocket.
    #[arg(long)]
    pub transport: Option<TransportName>,
    /// What answers there: a Turnpike, or any Socket.IO server whose events stand in the profile's `[app]`.
    #[arg(long, default_value = "turnpike")]
    pub server: ServerName,
    /// What must hold, beside what the profile says: p99=50ms, send.max=1s, lost=0, errors=0.1%.
    #[arg(short, long)]
    pub objective: Vec<Objective>,
    /// What the profile says must hold need not.
    #[arg(long)]
    pub no_profile_objectives: bool,
    /// The secret that tokens are signed with, or file:PATH where it stands.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// One token for all users, in place of a secret.
    #[arg(long, env = "TURNPIKE_TOKEN", hide_env_values = true, conflicts_with = "jwt_secret")]
    pub token: Option<String>,
    /// The host may be another machine.
    #[arg(long)]
    pub allow_remote: bool,
    /// Source addresses to come from, 127.0.0.1 and up. Without it as many as there must be.
    #[arg(long)]
    pub sources: Option<u32>,
    /// Trusts this authority's certificates, a file of PEM, in place of those that the machine trusts.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A process of the server on this machine, whose CPU and memory are to be watched; several are added up.
    #[arg(long)]
    pub pid: Vec<u32>,
    /// The same of a node that tells its metrics in the form of Prometheus, like http://127.0.0.1:3011.
    #[arg(long, value_name = "URL")]
    pub metrics: Vec<String>,
    /// A process of this machine that is killed when half of the load is over; several die together.
    #[arg(long, value_name = "PID")]
    pub kill: Vec<u32>,
    /// Shares the users among so many processes of this machine.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(PARTS_MAX)))]
    pub processes: u32,
    /// Which of them this is.
    #[arg(long, hide = true)]
    pub part: Option<Part>,
    #[arg(long, hide = true)]
    pub run_id: Option<u32>,
    /// Threads of the generator; without it as many as the load needs, one a core at most.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Writes the report as a page.
    #[arg(long)]
    pub report_file: Option<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long)]
    pub json_file: Option<PathBuf>,
    /// Writes goose's own report.
    #[arg(long)]
    pub goose_report_file: Option<PathBuf>,
    /// Names the profiles that ship with this program, and ends.
    #[arg(long)]
    pub list: bool,
    /// Says nothing but what goes wrong.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TransportName {
    Socketio,
    Websocket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServerName {
    Turnpike,
    Socketio,
}

#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    #[error("--profile: there is no {name:?}, neither here nor as a file; those that ship are {known}")]
    NoProfile { name: String, known: String },
    #[error("profile {name}: {fault}")]
    Profile { name: String, fault: profile::ProfileError },
    #[error("--jwt-secret: {path}: {error}")]
    Secret { path: String, error: std::io::Error },
    #[error("{name}: {value:?} is no time like 30s, 5m or 1h30m")]
    Time { name: &'static str, value: String },
}

impl Arguments {
    pub fn profile(&self) -> Result<Profile, ArgumentError> {
        let text = match profile::built_in(&self.profile) {
            Some(text) => text.to_owned(),
            None => std::fs::read_to_string(&self.profile).map_err(|_| ArgumentError::NoProfile {
                name: self.profile.clone(),
                known: profile::built_in_names().collect::<Vec<_>>().join(", "),
            })?,
        };
        let overrides = Overrides {
            users: self.users,
            hatch_rate: self.hatch_rate,
            run_time_s: time("--run-time", self.run_time.as_deref())?,
            settle_s: time("--settle", self.settle.as_deref())?,
            transport: self.transport.map(|name| match name {
                TransportName::Socketio => Transport::Socketio,
                TransportName::Websocket => Transport::Websocket,
            }),
            app: self.server == ServerName::Socketio,
        };
        Profile::parse(&text, &overrides)
            .map_err(|fault| ArgumentError::Profile { name: self.profile.clone(), fault })
    }

    pub fn objectives(&self, profile: &Profile) -> Vec<Objective> {
        let mut objectives = if self.no_profile_objectives { Vec::new() } else { profile.objectives() };
        objectives.extend(self.objective.iter().cloned());
        objectives
    }

    pub fn tokens(&self) -> Result<Tokens, ArgumentError> {
        Ok(match (&self.jwt_secret, &self.token) {
            (Some(secret), _) => match secret.strip_prefix("file:") {
                // As the server reads it.
                Some(path) => Tokens::from_secret(
                    std::fs::read_to_string(path)
                        .map_err(|error| ArgumentError::Secret { path: path.to_owned(), error })?
                        .trim(),
                ),
                None => Tokens::from_secret(secret),
            },
            (None, Some(token)) => Tokens::Given(token.clone()),
            (None, None) => Tokens::None,
        })
    }
}

/// In seconds.
fn time(name: &'static str, value: Option<&str>) -> Result<Option<u32>, ArgumentError> {
    let Some(value) = value else { return Ok(None) };
    seconds(value).map(Some).ok_or_else(|| ArgumentError::Time { name, value: value.to_owned() })
}

fn seconds(value: &str) -> Option<u32> {
    if let Ok(plain) = value.parse() {
        return Some(plain);
    }
    let mut rest = value;
    let mut all = 0_u32;
    for (unit, worth) in [('h', 3_600_u32), ('m', 60), ('s', 1)] {
        if let Some((number, behind)) = rest.split_once(unit) {
            all = all.checked_add(number.parse::<u32>().ok()?.checked_mul(worth)?)?;
            rest = behind;
        }
    }
    (rest.is_empty() && !value.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_goose_has_them() {
        let table = [
            ("30", Some(30)),
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("1h30m", Some(5_400)),
            ("1h2m3s", Some(3_723)),
        ];
        for (text, found) in table {
            assert_eq!(seconds(text), found, "{text}");
        }
        for text in ["", "s", "1d", "-1s", "5s1m", "99999999999h"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let directory = turnpike_lab::Directory::new("loadtest-secret").unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "a secret of some length\n").unwrap();
        let tokens = |secret: &str| {
            let line = ["x", "-H", "http://127.0.0.1:1", "--jwt-secret", secret];
            Arguments::try_parse_from(line).unwrap().tokens().map(|tokens| tokens.user("ann"))
        };
        let file = tokens(&format!("file:{}", path.display())).unwrap();
        let key = jsonwebtoken::DecodingKey::from_secret(b"a secret of some length");
        let claims =
            jsonwebtoken::decode::<serde_json::Value>(&file, &key, &jsonwebtoken::Validation::default())
                .unwrap()
                .claims;
        assert_eq!(claims["sub"], "ann");
        assert!(tokens("file:/nowhere/at/all").unwrap_err().to_string().contains("/nowhere/at/all"));
    }

    #[test]
    fn the_document_has_every_option() {
        use clap::CommandFactory as _;
        let mut rows = vec!["| option | |".to_owned(), "| --- | --- |".to_owned()];
        for option in Arguments::command().get_arguments().filter(|option| !option.is_hide_set()) {
            let short = option.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
            let long = option.get_long().expect("every option has a long name");
            let others = option.get_visible_aliases().unwrap_or_default();
            let others: Vec<String> = others.iter().map(|other| format!(", `--{other}`")).collect();
            let others = others.concat();
            let help = option.get_help().expect("every option says what it does");
            let env = option.get_env().and_then(|name| name.to_str());
            let env = env.map(|name| format!("; in the environment `{name}`")).unwrap_or_default();
            rows.push(format!("| {short}`--{long}`{others} | {help}{env} |"));
        }
        let document = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
        let marks = ["<!-- options -->\n", "<!-- end of options -->"];
        let expected = format!("\n{}\n\n", rows.join("\n"));
        turnpike_lab::hold_document(
            document,
            marks,
            &expected,
            "UPDATE_DOCS=1 cargo test -p turnpike-loadtest --lib",
        );
    }

    #[test]
    fn the_command_line_is_understood() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
        let line = "turnpike-loadtest --host http://127.0.0.1:1 -u 10 -r 5 -t 1m --objective p99=50ms --objective lost=0";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        let profile = arguments.profile().unwrap();
        assert_eq!((profile.users, profile.hatch_rate, profile.run_time_s), (10, 5, 60));
        assert_eq!(arguments.objectives(&profile).len(), profile.objectives.len() + 2);
        let wrong = Arguments::try_parse_from(["x", "-H", "http://127.0.0.1:1", "--objective", "p98=1ms"]);
        assert!(wrong.unwrap_err().to_string().contains("p50"));
        let none = Arguments::try_parse_from(["x", "-H", "http://127.0.0.1:1", "-p", "nope"]).unwrap();
        assert!(none.profile().unwrap_err().to_string().contains("chat-rooms"));
    }
}
