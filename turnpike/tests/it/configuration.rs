use crate::process::{Directory, System, get, refused, run, stdout};

#[test]
fn print_shows_what_is_in_effect_and_can_be_loaded_again() {
    let directory = Directory::new();
    let file = directory.write("a.toml", "[gateway]\nport = 4000\nconnections_max = 500\n");
    let environment =
        [("HEARTBEAT_INTERVAL", "30000"), ("CORS_ORIGIN", "https://a.example,http://localhost:5173")];
    let arguments = ["config", "print", "--config", file.to_str().unwrap(), "--log-level", "warn"];
    let printed = stdout(run(&directory, &arguments, &environment)).replace(file.to_str().unwrap(), "FILE");
    insta::assert_snapshot!(printed);

    let again = directory.write("b.toml", &printed);
    let reprinted =
        stdout(run(&directory, &["config", "print"], &[("TURNPIKE_CONFIG", again.to_str().unwrap())]));
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&reprinted), values(&printed));
}

#[test]
fn check_says_that_it_is_sound() {
    let said = stdout(run(&Directory::new(), &["config", "check"], &[("PORT", "80"), ("LOG_LEVEL", "")]));
    assert!(said.contains("the configuration is sound") && said.contains(", 1 of them given"), "{said}");
}

#[test]
fn every_fault_at_once() {
    let directory = Directory::new();
    let file = directory.write(
        "turnpike.toml",
        "[gateway]\nprot = 1\nport = 70000\n[heartbeat]\ninterval = \"soon\"\n[limits]\npayload_bytes_max = \"6MB\"\n[gatway]\nx = 1\n",
    );
    let environment = [
        ("HOST", "everywhere"),
        ("ADMIN_PORT", "-1"),
        ("TURNPIKE_SHARDZ", "2"),
        ("SERVER_ID", "a/b"),
        ("CORS_ORIGIN", "https://a.example/path,*"),
        ("SOMEBODY_ELSES", "1"),
    ];
    let said =
        refused(&["--config", file.to_str().unwrap(), "--shards", "65", "--log-levle", "info"], &environment);
    insta::assert_snapshot!(said.replace(file.to_str().unwrap(), "FILE"));
}

#[test]
fn origins_are_what_browsers_send() {
    for origins in [
        "*",
        "https://a.example",
        "http://localhost:5173,https://b.example:8443",
        "http://[::1]:3000",
        "http://127.0.0.1:80801,",
    ] {
        let directory = Directory::new();
        let output = run(&directory, &["config", "check"], &[("CORS_ORIGIN", origins)]);
        assert_eq!(output.status.success(), !origins.contains("80801"), "{origins}");
    }
    for origins in [
        "null",
        "a.example",
        "https://",
        "https://a.example/",
        "https://A.example",
        "ftp://a.example",
        "https://a.example:443",
        "http://a.example:80",
        "https://a@b.example",
        "https://*.example",
        "https://a.example,*",
        "http://[::1",
        "https://:1",
    ] {
        assert!(refused(&[], &[("CORS_ORIGIN", origins)]).contains("gateway.cors_origin"), "{origins}");
    }
}

#[test]
fn unknown_commands_are_refused() {
    for arguments in
        [&["serve"][..], &["config"], &["config", "edit"], &["config", "check", "now"], &["token", "alice"]]
    {
        assert!(refused(arguments, &[]).contains("is not a command"), "{arguments:?}");
    }
}

#[test]
fn help_and_version() {
    let directory = Directory::new();
    let help = stdout(run(&directory, &["--help"], &[("PORT", "a fault is no reason not to help")]));
    assert!(help.contains("Usage: turnpike [FLAGS]") && help.contains("turnpike --port 8080"), "{help}");
    for arguments in [&["help"][..], &["-h"]] {
        assert_eq!(stdout(run(&directory, arguments, &[])), help, "{arguments:?}");
    }
    let keys = stdout(run(&directory, &["help", "configuration"], &[]));
    assert!(keys.contains("--heartbeat-interval"), "{keys}");
    assert_eq!(
        stdout(run(&directory, &["--version"], &[])),
        format!("turnpike {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_gateway_is_on_the_port_that_was_asked_for() {
    // A free one, which another process might take in between; then the start fails, and this says so.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = Directory::new();
    let system = System::start_with(&directory, &["--port", &port.to_string()], &[]);
    assert_eq!(system.gateway, format!("127.0.0.1:{port}"));
    assert_eq!(get(&system.gateway, "/live").0, 200);
}
