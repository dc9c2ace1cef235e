//! What a real browser sent, kept in `corpus/`, and mutations of it against every parser, many of them to one transport, as
//! no input alone could. `TURNPIKE_FUZZ_SECONDS` and `TURNPIKE_FUZZ_SEED` set how long and from where.

use std::path::Path as File;
use std::time::{Duration, Instant};

use turnpike_transport::demux::{Kind, classify};
use turnpike_transport::srtp::{Keys, Opener, Profile};
use turnpike_transport::stun::{self, Class, Message};
use turnpike_transport::{Credentials, DtlsRole, Fingerprint, IceMode, Path, Remote, Setup, Transport};

use crate::network::{Random, config};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = File::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.extension().is_none())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn file(name: &str) -> Vec<u8> {
    corpus().into_iter().find(|(found, _)| found == name).unwrap().1
}

#[test]
fn a_browsers_datagrams_are_what_they_are() {
    let files = corpus();
    assert!(files.len() >= 10);
    for (name, datagram) in &files {
        let kind = match name.split('-').next().unwrap() {
            "check" | "answer" => Kind::Stun,
            "hello" | "flight" => Kind::Dtls,
            "rtp" => Kind::Rtp,
            "rtcp" => Kind::Rtcp,
            // What failed once.
            _ => continue,
        };
        assert_eq!(classify(datagram), kind, "{name}");
    }
    let check = file("check");
    let message = Message::parse(&check).unwrap();
    assert_eq!(message.class(), Class::Request);
    assert!(message.controlling().is_some() && message.priority().is_some());
    assert_eq!(message.unknown(), [0; 0], "its own attributes may be ignored");
    assert_eq!(stun::local_ufrag(&check).map(str::len), Some(8));
    let answer = file("answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.class(), Class::Success);
    assert!(message.mapped().is_some());
}

/// A transport with a valid path that awaits a handshake.
fn waiting(
    random: &mut Random,
    config: &std::sync::Arc<turnpike_transport::TransportConfig>,
) -> (Transport, Path) {
    let path = Path { local: "192.0.2.1:1".parse().unwrap(), remote: "192.0.2.2:2".parse().unwrap() };
    let (local, remote) =
        (Credentials::from_random(&random.bytes()), Credentials::from_random(&random.bytes()));
    let fingerprint = Fingerprint::parse(&format!("sha-256 {}", ["AB"; 32].join(":"))).unwrap();
    let mut check = stun::Writer::new(Class::Request, &random.bytes())
        .username(local.ufrag(), remote.ufrag())
        .priority(1)
        .controlling(1)
        .finish(local.pwd());
    let setup = Setup {
        local,
        remote: Some(Remote { credentials: remote, fingerprints: vec![fingerprint] }),
        dtls: DtlsRole::Server,
        controlling: false,
    };
    let now = Instant::now();
    let mut transport = Transport::new(config, setup, now);
    transport.handle(now, path, &mut check);
    transport.poll_transmit().unwrap();
    (transport, path)
}

#[test]
fn a_browsers_hello_is_understood() {
    for parts in [["hello-1a", "hello-1b"], ["hello-1b", "hello-1a"]] {
        let config = std::sync::Arc::new(config(IceMode::Lite));
        let (mut transport, path) = waiting(&mut Random::new(1), &config);
        for part in parts {
            assert!(transport.poll_transmit().is_none());
            transport.handle(Instant::now(), path, &mut file(part));
        }
        let answer = transport.poll_transmit().unwrap().data;
        // A HelloVerifyRequest.
        assert_eq!((answer[0], answer[13]), (22, 3));
        assert!(!transport.is_closed());
    }
}

#[test]
fn mutations() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let seed = setting("TURNPIKE_FUZZ_SEED").unwrap_or(21.0) as u64;
    let seconds = setting("TURNPIKE_FUZZ_SECONDS").unwrap_or(1.5);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let config = std::sync::Arc::new(config(IceMode::Lite));
    let mut population: Vec<Vec<u8>> = corpus().into_iter().map(|(_, datagram)| datagram).collect();
    let stored = population.len() as u64;
    let openers = || {
        Profile::PREFERENCE.map(|profile| {
            let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
            Opener::new(&Keys::new(profile, &key, &salt).unwrap(), 4).unwrap()
        })
    };
    let mut openers = openers();
    let (mut transport, mut path) = waiting(&mut random, &config);
    let mut tried = 0u64;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        tried += 1;
        if tried.is_multiple_of(50) || transport.is_closed() {
            (transport, path) = waiting(&mut random, &config);
        }
        let mut datagram = population[random.below(population.len() as u64) as usize].clone();
        for _ in 0..random.below(5) {
            mutate(&mut datagram, &population, &mut random);
        }
        if tried.is_multiple_of(64) {
            // Mutants are mutated further, so that what needs several steps is in reach.
            let place = stored + random.below(64);
            match population.get_mut(place as usize) {
                Some(old) => old.clone_from(&datagram),
                None => population.push(datagram.clone()),
            }
        }
        let _ = classify(&datagram);
        let _ = stun::local_ufrag(&datagram);
        if let Ok(message) = Message::parse(&datagram) {
            assert!(!message.verify("none"));
        }
        for opener in &mut openers {
            assert!(opener.open_rtp(&mut datagram.clone()).is_err());
            assert!(opener.open_rtcp(&mut datagram.clone()).is_err());
        }
        transport.handle(Instant::now(), path, &mut datagram);
        while transport.poll_transmit().is_some() {}
    }
    println!("{tried} mutations");
    assert!(tried > 500, "{tried}");
}

fn mutate(datagram: &mut Vec<u8>, population: &[Vec<u8>], random: &mut Random) {
    let len = datagram.len() as u64;
    if len == 0 {
        return;
    }
    let at = random.below(len) as usize;
    match random.below(7) {
        0 => datagram[at] ^= 1 << random.below(8),
        1 => datagram[at] = random.next() as u8,
        // Lengths at their edges.
        2 => datagram[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
        3 => datagram.truncate(at),
        4 => {
            datagram.remove(at);
        }
        5 => datagram.insert(at, random.next() as u8),
        _ => {
            let other = &population[random.below(population.len() as u64) as usize];
            let from = random.below(other.len() as u64 + 1) as usize;
            datagram.truncate(at);
            datagram.extend_from_slice(&other[from..]);
            datagram.truncate(2_000);
        }
    }
}
