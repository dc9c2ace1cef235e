use crate::polling::Client;
use crate::process::{Directory, System, eventually, get, get_json, run, stdout};

#[test]
fn a_signal_ends_it_in_order() {
    for signal in ["TERM", "INT"] {
        let directory = Directory::new();
        let mut system = System::start(&directory);
        eventually("ready", || get(&system.admin, "/ready").0 == 200);
        system.signal(signal);
        assert_eq!(system.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn the_phases_of_the_drain_are_logged() {
    let directory = Directory::new();
    let log = System::start(&directory).stop();
    let lines: Vec<serde_json::Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    let at = |message: &str| {
        messages
            .iter()
            .position(|found| *found == message)
            .unwrap_or_else(|| panic!("no {message} in {messages:#?}"))
    };
    let (up, asked, begins) = (at("turnpike is up"), at("asked to end"), at("drain begins"));
    let (phase, ends) = (at("drain phase is done"), at("drain ends"));
    assert!(up < asked && asked < begins && begins < phase && phase < ends, "{messages:#?}");
    assert_eq!(lines[asked]["signal"], "SIGTERM");
    let done = lines.iter().filter(|line| line["message"] == "drain phase is done");
    let done: Vec<&str> = done.map(|line| line["phase"].as_str().unwrap()).collect();
    let expected =
        ["close connections", "stop the shards", "stop the relay", "leave the cluster", "send the spans"];
    assert_eq!(done, expected);
    assert!(lines[up]["file_descriptors"].as_u64() >= lines[up]["file_descriptors_before"].as_u64());
    assert!(lines.iter().all(|line| line["level"] != "ERROR"), "{log:#?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let directory = Directory::new();
        let mut system = System::start(&directory);
        // A client that never asks again: the drain waits for it to take its last words.
        let _silent = Client::open(&system.gateway);
        system.signal("TERM");
        eventually("draining", || {
            let (status, ready) = get_json(&system.admin, "/ready");
            status == 503
                && ready["draining"]["phase"] == "close connections"
                && ready["draining"]["left"] == 1
        });
        assert_eq!(get_json(&system.admin, "/health").0, 200, "leaving is nothing unhealthy");
        system.signal(signal);
        assert_eq!(system.wait().code(), Some(code), "{signal}");
    }
}

#[test]
fn who_is_connected_is_told_why() {
    let directory = Directory::new();
    // How long a client that does not poll again is waited for.
    let mut system = System::start_with(&directory, &["--write-deadline", "3s"], &[]);
    let token = stdout(run(&directory, &["token", "--user", "alice"], &[]));
    let alice = Client::enter(&system.gateway, token.trim_end());
    assert!(alice.receive("42[\"session\"").contains("alice"));
    system.signal("TERM");
    let farewell = alice.receive("42[\"closing\"");
    assert!(farewell.contains("3001") && farewell.contains("drain"), "{farewell}");
    assert_eq!(system.wait().code(), Some(0));
}

/// As `turnpike drain` says it: exit code, stdout, stderr.
fn drain(directory: &Directory, system: &System, flags: &[&str]) -> (Option<i32>, String, String) {
    let url = format!("http://{}", system.admin);
    let flags: Vec<&str> = ["drain", "--url", &url].into_iter().chain(flags.iter().copied()).collect();
    let output = run(directory, &flags, &[]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_operator_sends_a_node_away_and_waits_until_it_is_gone() {
    let directory = Directory::new();
    let mut system = System::start_with(&directory, &["--write-deadline", "1s"], &[]);
    let _silent = Client::open(&system.gateway);
    let (code, stdout, stderr) = drain(&directory, &system, &[]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.starts_with("the node is gone ("), "{stdout}");
    assert_eq!(stderr, "", "in a pipe it is quiet");
    assert_eq!(system.wait().code(), Some(0), "it has left in order");
    let (code, _, stderr) = drain(&directory, &system, &[]);
    assert_eq!(code, Some(69), "nobody is there any more: {stderr}");
}

#[test]
fn an_operator_who_waits_no_longer_is_told_that_it_still_leaves() {
    let directory = Directory::new();
    let system = System::start_with(&directory, &["--write-deadline", "20s"], &[]);
    let _silent = Client::open(&system.gateway);
    let (code, stdout, stderr) = drain(&directory, &system, &["--no-wait", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &said["state"], &said["ok"]), (Some(0), &"leaving".into(), &true.into()), "{stderr}");
    // It leaves already, and is followed.
    let (code, stdout, stderr) = drain(&directory, &system, &["--deadline", "600ms"]);
    assert_eq!(code, Some(75), "{stdout}{stderr}");
    assert!(stdout.starts_with("the node still leaves"), "{stdout}");
    let (code, _, stderr) = drain(&directory, &system, &["--deadline", "soon"]);
    assert_eq!(code, Some(64), "{stderr}");
}

#[test]
fn a_process_of_this_machine_is_sent_away_by_its_number() {
    let directory = Directory::new();
    let mut system = System::start(&directory);
    eventually("ready", || get(&system.admin, "/ready").0 == 200);
    let own = std::process::id().to_string();
    let output = run(&directory, &["drain", "--pid", &own], &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && stderr.contains("and not turnpike"), "{stderr}");
    // Somebody has to take its last breath, or the kernel keeps it.
    let pid = system.id().to_string();
    let ended = std::thread::spawn(move || system.wait());
    let output = run(&directory, &["drain", "--pid", &pid, "--json"], &[]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["state"]), (Some(0), &"gone".into()), "{said}");
    assert_eq!(ended.join().unwrap().code(), Some(0));
    let output = run(&directory, &["drain", "--pid", &pid], &[]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("there is no process"));
    let output = run(&directory, &["drain", "--pid", &pid, "--url", "http://127.0.0.1:1"], &[]);
    assert_eq!(output.status.code(), Some(64));
}
