//! The TURN server: nobody without a credential, and nothing behind it that is not public.

use std::net::Ipv4Addr;

use super::file::{File, Found};
use super::{Kind, Surroundings};

pub(super) const KIND: Kind = Kind {
    name: "configuration of coturn",
    is: |file| ["coturn.conf", "turnserver.conf"].contains(&file.name()),
    check,
};

/// One address of each network that nobody is to look around in.
const PRIVATE: [(&str, Ipv4Addr); 6] = [
    ("127.0.0.0/8", Ipv4Addr::LOCALHOST),
    ("10.0.0.0/8", Ipv4Addr::new(10, 1, 2, 3)),
    ("172.16.0.0/12", Ipv4Addr::new(172, 20, 1, 2)),
    ("192.168.0.0/16", Ipv4Addr::new(192, 168, 1, 2)),
    ("169.254.0.0/16", Ipv4Addr::new(169, 254, 169, 254)),
    ("100.64.0.0/10", Ipv4Addr::new(100, 100, 1, 2)),
];

fn check(file: &File, _: &Surroundings<'_>) -> Vec<Found> {
    let said: Vec<_> = file.directives(&['=']).collect();
    let of = |name: &str| said.iter().find(|said| said.name == name);
    let mut found = Vec::new();
    let mut fault = |key: &str, problem: &str, remedy: &str| {
        found.push(Found::new(key, of(key).map(|said| said.line), problem, remedy));
    };
    for (name, problem) in [
        ("no-auth", "lets everybody relay"),
        ("allow-loopback-peers", "lets clients reach this machine itself"),
        ("lt-cred-mech", "takes names and passwords that do not end"),
        ("no-tls", "leaves clients without TLS"),
        ("cli-password", "opens a port for commands"),
    ] {
        if of(name).is_some() {
            fault(name, problem, "expected without");
        }
    }
    for (name, problem) in [
        ("use-auth-secret", "is missing: credentials would not end"),
        ("static-auth-secret", "is missing"),
        ("no-cli", "is missing: a port takes commands"),
        ("no-multicast-peers", "is missing"),
        ("cert", "is missing: clients have no TLS"),
        ("pkey", "is missing: clients have no TLS"),
    ] {
        if of(name).is_none() {
            fault(name, problem, "expected as in the sample");
        }
    }
    let denied: Vec<(Ipv4Addr, Ipv4Addr)> = said
        .iter()
        .filter(|said| said.name == "denied-peer-ip")
        .filter_map(|said| {
            let (first, last) = said.value.split_once('-').unwrap_or((said.value, said.value));
            Some((first.parse().ok()?, last.parse().ok()?))
        })
        .collect();
    for (network, address) in PRIVATE {
        if !denied.iter().any(|(first, last)| (first..=last).contains(&&address)) {
            let problem = format!("leaves {network} open to whoever may relay");
            fault("denied-peer-ip", &problem, "expected as in the sample");
        }
    }
    if let Some(secret) = of("static-auth-secret") {
        found.extend(file.secret(secret.name, secret.line, secret.value));
    }
    found
}
