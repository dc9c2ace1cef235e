//! What the declarations of all keys must hold.

use std::collections::HashSet;
use std::fmt::Write as _;

use turnpike_daemon::config::{Environment, Key, Settings as _, Sources, as_markdown, load};

use super::Config;

fn keys() -> Vec<&'static Key> {
    Config::sections().iter().flat_map(|section| section.keys).collect()
}

#[test]
fn every_default_fits_its_own_key() {
    for key in keys() {
        let loaded = load::<Config>(Sources {
            environment: Environment::from_iter([(key.environment, key.default)]),
            ..Sources::default()
        });
        assert!(loaded.faults.is_empty(), "{}", loaded.faults);
        let effective = loaded.effective.iter().find(|effective| effective.key.path == key.path).unwrap();
        assert_eq!(effective.shown, key.default, "{}: the default is written as it is shown", key.path);
    }
}

#[test]
fn every_bound_is_inside_its_own_range() {
    for (key, bound) in keys().into_iter().filter_map(|key| Some((key, key.range?))) {
        for bound in [bound.0, bound.1] {
            let loaded = load::<Config>(Sources {
                environment: Environment::from_iter([(key.environment, bound)]),
                ..Sources::default()
            });
            assert!(loaded.faults.is_empty(), "{}", loaded.faults);
        }
    }
}

#[test]
fn names_are_unique_and_ours_bear_our_prefix() {
    /// The names that operators of comparable systems expect. All others must be recognisable as ours, because only
    /// then a slip in one is found.
    const EXPECTED: &[&str] = &[
        "SERVER_ID",
        "DATA_DIR",
        "AUDIT_DIR",
        "HOST",
        "PORT",
        "MAX_CONNECTIONS",
        "CORS_ORIGIN",
        "JWT_SECRET",
        "HEARTBEAT_INTERVAL",
        "COMPRESSION_THRESHOLD",
        "ADMIN_HOST",
        "ADMIN_PORT",
        "MEDIA_HOST",
        "MEDIA_PORT",
        "LOG_LEVEL",
        "LOG_FILE",
        "LOG_MAX_BYTES",
        "LOG_MAX_AGE",
        "LOG_MAX_FILES",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "REDIS_NODES",
        "REDIS_USERNAME",
        "REDIS_PASSWORD",
    ];
    let keys = keys();
    for name_of in [|key: &Key| key.path.to_owned(), |key: &Key| key.environment.to_owned(), Key::flag] {
        let names: HashSet<String> = keys.iter().map(|key| name_of(key)).collect();
        assert_eq!(names.len(), keys.len());
    }
    for key in &keys {
        let name = key.environment;
        assert!(EXPECTED.contains(&name) || name.starts_with("TURNPIKE_"), "{name}");
    }
    let mut reserved = vec!["config", "help", "version", "h", "V"];
    crate::line::ROOT.walk(&mut |_, spec| reserved.extend(spec.flags().map(|flag| flag.name)));
    for flag in reserved {
        assert!(keys.iter().all(|key| key.flag() != flag), "{flag}");
    }
}

/// What stands between the marks of a document is made from the code. `UPDATE_DOCS=1 cargo test -p turnpike` writes it anew.
fn hold(document: &str, marks: [&str; 2], expected: &str) {
    let path = format!("{}/../docs/{document}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let [begin, end] = marks;
    let (before, rest) = text.split_once(begin).expect("the document has a place for the tables");
    let (_, after) = rest.split_once(end).expect("the tables have an end");
    let wanted = format!("{before}{begin}\n{expected}{end}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "docs/{document} differs from the code; run UPDATE_DOCS=1 cargo test -p turnpike"
        );
    }
}

#[test]
fn the_document_is_what_the_code_says() {
    const MARKS: [&str; 2] = [
        "<!-- The tables are made from the code: UPDATE_DOCS=1 cargo test -p turnpike -->\n",
        "<!-- end of the tables -->",
    ];
    hold("configuration.md", MARKS, &as_markdown(&Config::sections()));
}

/// How the name of a key ends that bounds something.
const BOUNDS: [&str; 12] = [
    "_max",
    "_timeout",
    "_deadline",
    "_per_second",
    "_per_address",
    "_burst",
    "_score",
    "_ttl",
    ".ttl",
    "_bytes",
    "timeout",
    "deadline",
];

#[test]
fn the_security_document_has_every_limit() {
    const MARKS: [&str; 2] = [
        "<!-- The table is made from the code: UPDATE_DOCS=1 cargo test -p turnpike -->\n",
        "<!-- end of the table -->",
    ];
    let is_limit =
        |key: &&Key| key.path.starts_with("rates.") || BOUNDS.iter().any(|ending| key.path.ends_with(ending));
    let mut table = String::from("| key | default | what is bounded |\n| --- | --- | --- |\n");
    for key in keys().into_iter().filter(is_limit) {
        let first = key.about.split_inclusive(". ").next().unwrap_or_default().trim();
        let default = if key.default.is_empty() { "-".into() } else { format!("`{}`", key.default) };
        writeln!(table, "| `{}` | {default} | {first} |", key.path).unwrap();
    }
    hold("security.md", MARKS, &format!("{table}\n"));
}
