//! Commands as people and scripts meet them: completions in a real shell, `--json` that can be read, what is shown on a terminal and
//! nowhere else, man pages.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::polling::Client;
use crate::process::{Directory, System, eventually, get, run, stdout};

/// Of a line as it is typed, what bash would offer for its last word.
fn offered(script: &std::path::Path, line: &[&str]) -> Vec<String> {
    let typed = r#"
        source "$1"; shift
        complete -p turnpike | grep -q -- '-F _turnpike' || exit 9
        COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _turnpike turnpike "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", typed, "bash"])
        .arg(script)
        .args(line)
        .output()
        .expect("the tests have bash");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && stderr.is_empty(), "{line:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_words_and_keys() {
    let directory = Directory::new();
    let script = stdout(run(&directory, &["completions", "bash"], &[]));
    let script = directory.write("turnpike.bash", &script);
    for (line, expected) in [
        (&["turnpike", "au"][..], &["audit"][..]),
        (&["turnpike", "audit", "an"], &["anchors"]),
        (&["turnpike", "audit", "verify", "--an"], &["--anchors"]),
        (&["turnpike", "admin", "revoke", ""], &["user", "token", "connection"]),
        (&["turnpike", "admin", "bans", "add", "--re"], &["--reason"]),
        (&["turnpike", "--heartbeat-in"], &["--heartbeat-interval"]),
        (&["turnpike", "router", "--router-strategy", "ren"], &["rendezvous"]),
        (&["turnpike", "audit", "query", "--format", "oc"], &["ocsf"]),
        (&["turnpike", "token", "--role", ""], &["user", "service", "admin"]),
        (&["turnpike", "completions", "f"], &["fish"]),
    ] {
        let offered = offered(&script, line);
        for word in expected {
            assert!(offered.iter().any(|one| one == word), "{line:?}: {offered:?}");
        }
    }
    assert_eq!(offered(&script, &["turnpike", "inspect", "roo"]), ["room"]);
}

#[test]
fn other_shells_have_scripts_too() {
    let directory = Directory::new();
    for (shell, words) in [
        ("zsh", "#compdef turnpike"),
        ("fish", "complete -c turnpike"),
        ("elvish", "edit:completion:arg-completer[turnpike]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = stdout(run(&directory, &["completions", shell], &[]));
        assert!(script.contains(words) && script.contains("heartbeat-interval"), "{shell}");
        // Where the shell is installed, it must be able to read it.
        let file = directory.write(shell, &script);
        if ["zsh", "fish"].contains(&shell)
            && let Ok(output) = Command::new(shell).arg("-n").arg(&file).output()
        {
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn there_is_a_man_page_for_each_command() {
    let directory = Directory::new();
    let folder = directory.path().join("man1");
    let output = run(&directory, &["man", folder.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(0));
    let page = |name: &str| {
        std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(page("turnpike.1").contains("Socket.IO"));
    let verify = page("turnpike-audit-verify.1");
    assert!(verify.contains("without\\-anchors") && verify.contains("tampered"), "{verify}");
    assert!(page("turnpike-admin-bans-add.1").contains("credential stuffing"));
    assert!(std::fs::read_dir(&folder).unwrap().count() > 45);
}

fn json_of(output: &Output, what: &str) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"))
}

#[test]
fn what_scripts_read_is_json() {
    let directory = Directory::new();
    let system = System::start(&directory);
    eventually("ready", || get(&system.admin, "/ready").0 == 200);
    let (host, port) = system.admin.rsplit_once(':').unwrap();
    let environment = [("ADMIN_HOST", host), ("ADMIN_PORT", port)];
    let _client = Client::open(&system.gateway);
    let commands = [
        "token --user alice",
        "health",
        "health --live",
        "size --connections 1000",
        "config check",
        "config print",
        "audit verify --without-anchors",
        "audit keys",
        "audit prove --record 0",
        "admin nodes",
        "admin node",
        "admin bans",
        "admin bans add --user mallory --for 1m",
        "admin bans lift --user mallory",
        "admin revocations",
        "admin user alice",
        "admin log-level",
        "admin drain status",
        "admin verify --wait",
        "admin verify status",
        "admin config",
        "inspect user alice",
    ];
    for command in commands {
        let arguments: Vec<&str> = command.split(' ').chain(["--json"]).collect();
        let output = run(&directory, &arguments, &environment);
        assert!(json_of(&output, command).is_object(), "{command}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(0), ""),
            "{command}: in a pipe it is quiet"
        );
    }
    for command in ["audit tail --lines 3", "audit query --limit 2", "audit export --limit 2"] {
        let arguments: Vec<&str> = command.split(' ').chain(["--json"]).collect();
        let lines = stdout(run(&directory, &arguments, &environment));
        assert!(lines.lines().count() >= 2, "{command}: {lines}");
        for line in lines.lines() {
            assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "{command}: {line}");
        }
    }
}

#[test]
fn errors_are_json_too_for_whoever_reads_it() {
    let directory = Directory::new();
    for (command, code, reason) in [
        ("admin nodes --url http://127.0.0.1:1", 69, "cannot be reached"),
        ("admin bans ad", 64, "did you mean `turnpike admin bans add`?"),
        ("config check --prot 1", 64, "did you mean --port?"),
        ("inspect room chat:lobby --url http://127.0.0.1:1", 69, "is the node running"),
        ("audit anchors", 1, "REDIS_NODES"),
        ("audit keys", 1, "`turnpike audit keys new` makes one"),
        ("audit verify --audit-dir nowhere --key nobody", 1, "neither a key nor a file"),
        ("audit tail --audit-dir nowhere", 1, "--audit-dir PATH says where it is"),
        ("audit query --audit-dir nowhere", 1, "--audit-dir PATH says where it is"),
        ("deploy check nowhere", 1, "cannot look into nowhere"),
        ("deploy check .", 1, "has no file that is known here"),
    ] {
        let arguments: Vec<&str> = command.split(' ').chain(["--json"]).collect();
        let output = run(&directory, &arguments, &[]);
        let said = json_of(&output, command);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), &said["ok"], &said["exit_code"]),
            (Some(code), &false.into(), &code.into()),
            "{command}"
        );
        let error = said["error"].as_str().unwrap();
        assert!(error.contains(reason) && stderr.contains(reason), "{command}: {error}");
        assert_eq!(said["faults"].is_array(), code == 64, "{command}: {said}");
    }
}

/// What a command shows on a terminal of 100 columns.
fn on_a_terminal(directory: &Directory, line: &str, environment: &[(&str, &str)]) -> String {
    let program = env!("CARGO_BIN_EXE_turnpike");
    let output = Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--command",
            &format!("stty cols 100 rows 30; {program} {line}"),
            "/dev/null",
        ])
        .current_dir(directory.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the tests have script (util-linux)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let directory = Directory::new();
    for line in ["doctor", "--help", "audit verify --help"] {
        assert!(on_a_terminal(&directory, line, &[]).contains("\x1b["), "{line}");
        for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let shown = on_a_terminal(&directory, line, &[environment]);
            assert!(!shown.contains("\x1b[") && shown.len() > 100, "{line} {environment:?}: {shown:?}");
        }
    }
}

#[test]
fn a_terminal_shows_how_far_a_drain_is() {
    let directory = Directory::new();
    let mut system = System::start_with(&directory, &["--write-deadline", "2s"], &[]);
    let _silent = Client::open(&system.gateway);
    let shown = on_a_terminal(&directory, &format!("drain --url http://{}", system.admin), &[]);
    assert!(shown.contains("close connections: 1 left") && shown.contains("the node is gone ("), "{shown:?}");
    assert_eq!(system.wait().code(), Some(0));
}
