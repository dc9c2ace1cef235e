//! Against str0m, which shares neither ICE nor DTLS nor SRTP with us: checks, handshake in both roles and in both of its
//! versions of a hello, media both ways, restart and close.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::crypto::Fingerprint as TheirFingerprint;
use str0m::crypto::dtls::DtlsVersion;
use str0m::media::{MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Candidate, Event as TheirEvent, IceCreds, Input as TheirInput, Output, Rtc};
use turnpike_transport::{
    Credentials, DtlsRole, Event, Fingerprint, IceMode, Input, Path, Remote, Setup, Transport,
};

use crate::network::{Random, config, rtp_packet};

const OPUS: u8 = 111;

struct Session {
    ours: Transport,
    theirs: Rtc,
    path: Path,
    now: Instant,
    random: Random,
    connected: bool,
    /// RTP payloads that came to us, and to them.
    media: (usize, usize),
    control: usize,
    closed: Option<String>,
}

fn credentials(of: &Credentials) -> IceCreds {
    IceCreds { ufrag: of.ufrag().to_owned(), pass: of.pwd().to_owned() }
}

fn session(ice: IceMode, dtls: DtlsRole, version: DtlsVersion, we_control: bool) -> Session {
    let mut random = Random::new(11);
    let path = Path { local: "10.0.0.1:5000".parse().unwrap(), remote: "10.0.0.2:6000".parse().unwrap() };
    let now = Instant::now();
    let config = config(ice);
    let (local, remote) =
        (Credentials::from_random(&random.bytes()), Credentials::from_random(&random.bytes()));
    let mut theirs = Rtc::builder()
        .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
        .set_dtls_version(version)
        .set_rtp_mode(true)
        .set_local_ice_credentials(credentials(&remote))
        .build(now);
    theirs.add_local_candidate(Candidate::host(path.remote, "udp").unwrap());
    theirs.add_remote_candidate(Candidate::host(path.local, "udp").unwrap());
    let mut api = theirs.direct_api();
    api.set_remote_ice_credentials(credentials(&local));
    api.set_ice_controlling(!we_control);
    let text = config.certificate().fingerprint().to_string();
    api.set_remote_fingerprint(text.parse::<TheirFingerprint>().unwrap());
    let fingerprint = Fingerprint::parse(&api.local_dtls_fingerprint().to_string()).unwrap();
    api.start_dtls(dtls == DtlsRole::Server).unwrap();
    let mid: Mid = "aud".into();
    api.declare_media(mid, MediaKind::Audio);
    api.declare_stream_tx(Ssrc::from(1), None, mid, None);
    api.expect_stream_rx(Ssrc::from(2), None, mid, None);
    let setup = Setup {
        local,
        remote: Some(Remote { credentials: remote, fingerprints: vec![fingerprint] }),
        dtls,
        controlling: we_control,
    };
    Session {
        ours: Transport::new(&Arc::new(config), setup, now),
        theirs,
        path,
        now,
        random,
        connected: false,
        media: (0, 0),
        control: 0,
        closed: None,
    }
}

impl Session {
    /// Carries datagrams for so long, or until `until`.
    fn run(&mut self, time: Duration, until: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        while self.now < end && !until(self) {
            let to_us = self.poll_theirs();
            for mut datagram in to_us {
                match self.ours.handle(self.now, self.path, &mut datagram) {
                    Input::Rtp(_) => self.media.0 += 1,
                    Input::Rtcp(_) => self.control += 1,
                    Input::Consumed => {}
                    Input::Dropped(reason) => println!("dropped: {reason:?}"),
                }
            }
            self.ours.tick(self.now);
            while let Some(transmit) = self.ours.poll_transmit() {
                self.hand_over(transmit.local, &transmit.data);
            }
            while let Some(event) = self.ours.poll_event() {
                self.connected |= matches!(event, Event::Connected { .. });
                if let Event::Closed(reason) = event {
                    self.closed = Some(reason.to_string());
                }
            }
            self.now += Duration::from_millis(5);
            self.theirs.handle_input(TheirInput::Timeout(self.now)).unwrap();
        }
        until(self)
    }

    fn poll_theirs(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        loop {
            match self.theirs.poll_output().unwrap() {
                Output::Timeout(_) => return sent,
                Output::Transmit(transmit) => sent.push(transmit.contents.to_vec()),
                Output::Event(TheirEvent::RtpPacket(_)) => self.media.1 += 1,
                Output::Event(_) => {}
            }
        }
    }

    fn hand_over(&mut self, source: SocketAddr, datagram: &[u8]) {
        let receive = Receive::new(Protocol::Udp, source, self.path.remote, datagram).unwrap();
        self.theirs.handle_input(TheirInput::Receive(self.now, receive)).unwrap();
        let sent = self.poll_theirs();
        for mut datagram in sent {
            self.ours.handle(self.now, self.path, &mut datagram);
        }
    }

    fn talk(&mut self, from: u16) {
        for sequence in from..from + 20 {
            let mut packet = rtp_packet(sequence, 2, 80);
            packet[1] = OPUS;
            let len = packet.len() - 20;
            let len = self.ours.seal_rtp(&mut packet, len).unwrap();
            self.hand_over(self.path.local, &packet[..len]);
            let write = RtpWrite::new(
                OPUS.into(),
                u64::from(sequence).into(),
                u32::from(sequence) * 960,
                self.now,
                &[9; 60][..],
            );
            let mut api = self.theirs.direct_api();
            api.stream_tx(&Ssrc::from(1)).unwrap().write_rtp(write);
            self.run(Duration::from_millis(20), |_| false);
        }
        self.run(Duration::from_millis(200), |_| false);
    }
}

#[test]
fn every_role() {
    for (ice, we_control) in [(IceMode::Full, false), (IceMode::Full, true), (IceMode::Lite, false)] {
        for dtls in [DtlsRole::Server, DtlsRole::Client] {
            for version in [DtlsVersion::Dtls12, DtlsVersion::Auto] {
                println!("{ice:?} {dtls:?} {version:?} control {we_control}");
                let mut session = session(ice, dtls, version, we_control);
                assert!(
                    session.run(Duration::from_secs(10), |session| session.connected),
                    "{:?}",
                    session.closed
                );
                session.run(Duration::from_millis(200), |_| false);
                session.talk(1);
                assert_eq!(session.media, (20, 20));
            }
        }
    }
}

#[test]
fn consent_lasts_and_a_restart_keeps_the_media() {
    for ice in [IceMode::Full, IceMode::Lite] {
        let mut session = session(ice, DtlsRole::Server, DtlsVersion::Dtls12, false);
        assert!(session.run(Duration::from_secs(10), |session| session.connected));
        session.talk(1);
        session.run(Duration::from_secs(90), |_| false);
        session.talk(100);
        assert_eq!(session.media, (40, 40), "{ice:?} {:?}", session.closed);
        assert!(session.control > 0);

        let (local, remote) = (
            Credentials::from_random(&session.random.bytes()),
            Credentials::from_random(&session.random.bytes()),
        );
        session.ours.restart(local.clone(), Some(remote.clone()));
        let mut api = session.theirs.direct_api();
        api.set_local_ice_credentials(credentials(&remote));
        api.set_remote_ice_credentials(credentials(&local));
        session.run(Duration::from_mins(1), |_| false);
        session.talk(200);
        assert_eq!(session.media, (60, 60), "{ice:?} {:?}", session.closed);
    }
}

#[test]
fn their_close_is_ours() {
    let mut session = session(IceMode::Full, DtlsRole::Server, DtlsVersion::Dtls12, false);
    assert!(session.run(Duration::from_secs(10), |session| session.connected));
    session.run(Duration::from_secs(1), |_| false);
    session.theirs.close().unwrap();
    assert!(session.run(Duration::from_secs(2), |session| session.closed.is_some()));
    assert_eq!(session.closed.as_deref(), Some("close_notify"));
}
