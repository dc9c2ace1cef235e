use crate::process::{Directory, System, eventually, get};

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
    assert!(lines[up]["file_descriptors"].as_u64() >= lines[up]["file_descriptors_before"].as_u64());
    assert!(lines.iter().all(|line| line["level"] != "ERROR"), "{log:#?}");
}
