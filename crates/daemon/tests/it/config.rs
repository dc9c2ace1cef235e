use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use turnpike_daemon::config::{
    Arguments, ByteSize, Environment, List, Loaded, Secret, Setting as _, Settings as _, Sources, as_flags,
    as_markdown, as_toml, load,
};
use turnpike_daemon::{section, settings};

section! {
    /// Where clients come in.
    pub struct Listen in "listen" {
        /// TCP port.
        port: u16 = "3010", "PORT";
        /// Names that are answered to.
        names: List<String> = "a,b", "TURNPIKE_NAMES";
        /// Largest request.
        request_bytes_max: ByteSize = "1MB", "TURNPIKE_REQUEST_BYTES_MAX", "1KiB" to "5MB";
        /// Whether to be quick.
        quick: bool = "true", "TURNPIKE_QUICK";
    }
}

section! {
    /// Who may enter.
    pub struct Auth in "auth" {
        /// Signs tokens.
        token_secret: Option<Secret> = "", "TOKEN_SECRET";
        /// How long a login lasts.
        login_ttl: Duration = "25s", "TURNPIKE_LOGIN_TTL", "1s" to "10m";
        /// A sentence.
        motto: Option<String> = "", "TURNPIKE_MOTTO";
    }
}

settings! {
    pub struct Config { listen: Listen, auth: Auth }
}

const CANARY: &str = "canary-5d41402abc4b2a76b9719d911017c592";

fn file(text: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("config-{}-{}.toml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn load_all(file: Option<&Path>, environment: &[(&str, &str)], flags: &[&str]) -> Loaded<Config> {
    let mut arguments: Vec<String> = flags.iter().map(ToString::to_string).collect();
    if let Some(file) = file {
        arguments.push(format!("--config={}", file.display()));
    }
    load(Sources {
        arguments: Arguments::parse(arguments.into_iter().map(Into::into), &[]),
        other_flags: vec!["user"],
        environment: environment.iter().copied().collect::<Environment>(),
    })
}

/// The faults as they are printed, with the path of the file out of the way.
fn faults(loaded: &Loaded<Config>, file: &Path) -> String {
    loaded.faults.to_string().replace(&file.display().to_string(), "FILE")
}

#[test]
fn the_later_layer_wins() {
    let file =
        file("[listen]\nport = 1\nquick = false\n[auth]\nlogin_ttl = \"3s\"\nmotto = \"from the file\"");
    let environment = [("PORT", "2"), ("TURNPIKE_LOGIN_TTL", "4s")];
    let loaded = load_all(Some(&file), &environment, &["--login-ttl", "5s"]);
    assert_eq!(loaded.faults.0, []);
    let Config { listen, auth } = &loaded.settings;
    assert_eq!((listen.port, listen.quick), (2, false));
    assert_eq!(listen.names, List(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!((auth.login_ttl, auth.motto.as_deref()), (Duration::from_secs(5), Some("from the file")));

    let place = |path: &str| {
        let effective = loaded.effective.iter().find(|effective| effective.key.path == path).unwrap();
        effective.place.to_string().replace(&file.display().to_string(), "FILE")
    };
    assert_eq!(place("listen.port"), "environment PORT");
    assert_eq!(place("listen.quick"), "FILE line 3");
    assert_eq!(place("auth.login_ttl"), "flag --login-ttl");
    assert_eq!(place("listen.names"), "default");
}

#[test]
fn every_fault_of_every_layer_is_found_at_once() {
    let file = file(
        "\
[listen]
port = 70_000          # overridden below, and wrong nevertheless
names = [1, 2]
request_bytes_max = \"6MB\"
prot = 1
[lisen]
x = 1
[auth]
login_ttl = [1]
motto = {}
[[listen.quick]]
port = 4
",
    );
    let environment = [
        ("PORT", "three"),
        ("TURNPIKE_QUIKC", "true"),
        ("TURNPIKE_COLOUR_OF_THE_SKY", "blue"),
        ("TURNPIKE_LOGIN_TTL", "500ms"),
        ("SOMEBODY_ELSES", "x"),
    ];
    let flags = [
        "--port",
        "3010",
        "--por",
        "1",
        "--usr",
        "u",
        "--quick",
        "maybe",
        "--motto",
        "--names=x",
        "--names=y",
    ];
    let loaded = load_all(Some(&file), &environment, &flags);
    insta::assert_snapshot!(faults(&loaded, &file));
}

#[test]
fn several_syntax_errors_are_found_at_once_and_the_rest_is_still_read() {
    let file = file("[listen]\nport = = 1\nquick = maybe\n[auth]\nlogin_ttl = \"0s\"\nlogin_ttl = \"1s\"\n");
    insta::assert_snapshot!(faults(&load_all(Some(&file), &[], &[]), &file));
}

#[test]
fn a_file_that_is_named_must_exist() {
    let nowhere = Path::new("/nonexistent/turnpike.toml");
    insta::assert_snapshot!(
        faults(&load_all(Some(nowhere), &[], &[]), nowhere),
        @"
    1 configuration fault:
      config (FILE): the file cannot be read: No such file or directory (os error 2); expected a TOML file
    "
    );
    let named_in_environment = load_all(None, &[("TURNPIKE_CONFIG", "/nonexistent")], &[]);
    assert!(named_in_environment.faults.to_string().contains("config (/nonexistent)"));
    assert!(load_all(None, &[("TURNPIKE_CONFIG", "")], &[]).faults.is_empty());
}

#[test]
fn an_empty_variable_is_not_set() {
    let loaded = load_all(None, &[("PORT", ""), ("TOKEN_SECRET", "")], &[]);
    assert_eq!(loaded.faults.0, []);
    assert_eq!(loaded.settings.listen.port, 3010);
    assert_eq!(loaded.settings.auth.token_secret, None);
}

#[test]
fn what_kubernetes_says_of_a_service_of_our_name_is_no_fault() {
    let names = [
        "TURNPIKE_SERVICE_HOST",
        "TURNPIKE_SERVICE_PORT",
        "TURNPIKE_SERVICE_PORT_HTTP",
        "TURNPIKE_PORT",
        "TURNPIKE_PORT_3010_TCP",
        "TURNPIKE_PORT_3010_TCP_ADDR",
        "TURNPIKE_PORT_3010_TCP_PORT",
        "TURNPIKE_PORT_3010_TCP_PROTO",
        "TURNPIKE_MEDIA_PORT_3020_UDP",
        "TURNPIKE_ADMIN_SERVICE_HOST",
    ];
    for name in names {
        assert_eq!(load_all(None, &[(name, "tcp://10.0.0.1:3010")], &[]).faults.0, [], "{name}");
    }
    for name in ["TURNPIKE_PORTS", "TURNPIKE_PORT_X_TCP", "TURNPIKE_PORT_3010_FTP", "TURNPIKE_SERVICE"] {
        assert_eq!(load_all(None, &[(name, "1")], &[]).faults.0.len(), 1, "{name}");
    }
}

#[test]
fn the_bounds_of_a_range_are_inside_it() {
    for (text, fits) in [("1KiB", true), ("1023", false), ("5MB", true), ("5000001", false)] {
        let loaded = load_all(None, &[("TURNPIKE_REQUEST_BYTES_MAX", text)], &[]);
        assert_eq!(loaded.faults.is_empty(), fits, "{text}: {}", loaded.faults);
    }
}

#[test]
fn whole_numbers_in_every_form_of_toml() {
    for (text, port) in [("0x1F", 31), ("1_000", 1_000), ("0b101", 5), ("0", 0), ("\"8080\"", 8080)] {
        let loaded = load_all(Some(&file(&format!("[listen]\nport = {text}"))), &[], &[]);
        assert_eq!((loaded.faults.0.len(), loaded.settings.listen.port), (0, port), "{text}");
    }
    for text in ["-1", "1.5", "65536", "1979-05-27", "true", "[1]", "{ a = 1 }"] {
        let loaded = load_all(Some(&file(&format!("[listen]\nport = {text}"))), &[], &[]);
        assert_eq!((loaded.faults.0.len(), loaded.settings.listen.port), (1, 3010), "{text}");
    }
}

#[test]
fn a_check_across_keys_names_the_place_of_the_value() {
    let mut loaded = load_all(None, &[("PORT", "1"), ("TOKEN_SECRET", CANARY)], &[]);
    loaded.refuse("listen.port", "is too small", "expected more");
    loaded.refuse("auth.token_secret", "is too short", "expected a longer one");
    loaded.refuse("auth.motto", "is required", "expected a motto");
    insta::assert_snapshot!(loaded.faults, @r#"
    3 configuration faults:
      listen.port (environment PORT): "1" is too small; expected more
      auth.token_secret (environment TOKEN_SECRET): is too short; expected a longer one
      auth.motto (default): is required; expected a motto
    "#);
    assert!(loaded.faults.concern("listen.port") && !loaded.faults.concern("listen.quick"));
}

#[test]
fn a_secret_is_never_shown() {
    let path = file(CANARY);
    let wrong_places = file(&format!(
        "[auth]\nmotto = = {CANARY}\ntoken_secret = \"{CANARY}\"\ntoken_secrett = \"{CANARY}\"\ntoken_secret = \"{CANARY}\"\n[ath]\nx = \"{CANARY}\"\n[listen]\ntoken_secret = \"{CANARY}\""
    ));
    let wrong_type = file(&format!("[auth]\ntoken_secret = [\"{CANARY}\"]"));
    let unreadable = format!("file:/nonexistent/{CANARY}");
    let from_file = format!("file:{}", path.display());
    let cases = [
        load_all(Some(&wrong_places), &[], &[]),
        load_all(Some(&wrong_type), &[], &[]),
        load_all(None, &[("TOKEN_SECRET", CANARY), ("TURNPIKE_TOKEN_SECRET", CANARY)], &[]),
        load_all(None, &[("TOKEN_SECRET", &unreadable)], &[]),
        load_all(None, &[("TOKEN_SECRET", &from_file)], &[]),
        load_all(None, &[], &["--token-secret", CANARY, "--token-secrte", CANARY, "--token-secret", CANARY]),
        load_all(None, &[], &["--token-secret", &from_file]),
    ];
    for mut case in cases {
        case.refuse("auth.token_secret", "is refused", "expected another");
        let shown = format!("{case:?}{}{}", case.faults, as_toml(&case.effective));
        // The name of a file that holds a secret is no secret, but the one here could not be read, so what stands
        // behind the prefix might have been meant to be one.
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

#[test]
fn a_secret_comes_from_a_file_without_its_line_break() {
    let path = file(&format!("{CANARY}\r\n"));
    let reference = format!("file:{}", path.display());
    for loaded in [
        load_all(None, &[("TOKEN_SECRET", &reference)], &[]),
        load_all(None, &[], &["--token-secret", &reference]),
    ] {
        assert_eq!(loaded.faults.0, []);
        assert_eq!(loaded.settings.auth.token_secret.unwrap().reveal(), CANARY);
    }
    let empty = format!("file:{}", file("\n").display());
    assert!(
        load_all(None, &[("TOKEN_SECRET", &empty)], &[]).faults.to_string().contains("names an empty file")
    );
}

#[test]
fn forms_for_people() {
    let environment = [("TOKEN_SECRET", CANARY), ("TURNPIKE_MOTTO", "say \"hi\"\n\u{1b}[2J")];
    let loaded = load_all(None, &environment, &[]);
    insta::assert_snapshot!("toml", as_toml(&loaded.effective));
    insta::assert_snapshot!("markdown", as_markdown(&Config::sections()));
    insta::assert_snapshot!("flags", as_flags(&Config::sections()));
}

proptest! {
    #[test]
    fn what_is_printed_loads_to_the_same(
        port: u16,
        names in prop::collection::vec("[^,\\p{C}\\s][^,\\p{C}]{0,8}[^,\\p{C}\\s]", 1..4),
        bytes in 1_024_usize..=5_000_000,
        quick: bool,
        millis in 1_000_u64..=600_000,
        motto in "\\PC{1,20}",
    ) {
        let values = [
            ("PORT", port.show()),
            ("TURNPIKE_NAMES", names.join(",")),
            ("TURNPIKE_REQUEST_BYTES_MAX", bytes.to_string()),
            ("TURNPIKE_QUICK", quick.show()),
            ("TURNPIKE_LOGIN_TTL", millis.to_string()),
            ("TURNPIKE_MOTTO", motto.clone()),
        ];
        let environment: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let loaded = load_all(None, &environment, &[]);
        prop_assert!(loaded.faults.is_empty(), "{}", loaded.faults);
        let printed = file(&as_toml(&loaded.effective));
        let again = load_all(Some(&printed), &[], &[]);
        std::fs::remove_file(&printed).unwrap();
        prop_assert!(again.faults.is_empty(), "{}", again.faults);
        prop_assert_eq!(format!("{:?}", loaded.settings), format!("{:?}", again.settings));
    }

    /// Whatever stands in a file, reading it ends with settings and a list.
    #[test]
    fn no_file_stops_the_loader(text in "(\\PC|\n|\\[|\\]|=|\"|listen|port|auth){0,60}") {
        let path = file(&text);
        let loaded = load_all(Some(&path), &[], &[]);
        std::fs::remove_file(&path).unwrap();
        prop_assert_eq!(loaded.effective.len(), 7);
    }
}
