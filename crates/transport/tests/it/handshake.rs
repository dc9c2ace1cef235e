//! The handshake with the library alone as the client, and what the guard keeps from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_dtls::config::{ConfigBuilder, ExtendedMasterSecretType};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::default_provider;
use rtc_dtls::endpoint::Endpoint;
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use turnpike_transport::srtp::Profile;
use turnpike_transport::{
    CloseReason, Credentials, DtlsRole, Event, Fingerprint, IceMode, Path, Remote, Setup, Transport, stun,
};

use crate::network::{Random, config};

const CM: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80;
const CM_SHORT: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32;
const GCM: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm;
const GCM_256: SrtpProtectionProfile = SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm;

/// A transport with a valid path, and a library's endpoint at the other end of it.
struct Bench {
    transport: Transport,
    client: Endpoint,
    path: Path,
    now: Instant,
}

fn bench(profiles: &[SrtpProtectionProfile], mtu: usize, secret: ExtendedMasterSecretType) -> Bench {
    let provider = default_provider().unwrap();
    let certificate =
        Certificate::generate_self_signed(vec!["client".to_owned()], provider.crypto()).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.certificate[0].as_ref());
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let fingerprint = Fingerprint::parse(&format!("sha-256 {}", pairs.join(":"))).unwrap();
    let handshake = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![certificate])
        .with_srtp_protection_profiles(profiles.to_vec())
        .with_extended_master_secret(secret)
        .with_insecure_skip_verify(true)
        .with_mtu(mtu)
        .build(true, None)
        .unwrap();
    let path = Path { local: "192.0.2.1:1".parse().unwrap(), remote: "192.0.2.2:2".parse().unwrap() };
    let now = Instant::now();
    let mut random = Random::new(1);
    let (ours, theirs) =
        (Credentials::from_random(&random.bytes()), Credentials::from_random(&random.bytes()));
    let setup = Setup {
        local: ours.clone(),
        remote: Some(Remote { credentials: theirs.clone(), fingerprints: vec![fingerprint] }),
        dtls: DtlsRole::Server,
        controlling: false,
    };
    let mut transport = Transport::new(&Arc::new(config(IceMode::Lite)), setup, now);
    let mut check = stun::Writer::new(stun::Class::Request, &random.bytes())
        .username(ours.ufrag(), theirs.ufrag())
        .priority(1)
        .controlling(1)
        .use_candidate()
        .finish(ours.pwd());
    transport.handle(now, path, &mut check);
    transport.poll_transmit().unwrap();
    let mut client = Endpoint::new(path.remote, TransportProtocol::UDP, None);
    client.connect(now, path.local, Arc::new(handshake), None).unwrap();
    Bench { transport, client, path, now }
}

impl Bench {
    fn send(&mut self, mut datagram: Vec<u8>) {
        self.transport.handle(self.now, self.path, &mut datagram);
    }

    /// Carries datagrams to and fro until nobody has any.
    fn shake(&mut self) {
        let to: SocketAddr = self.path.local;
        loop {
            let mut quiet = true;
            while let Some(message) = self.client.poll_transmit() {
                quiet = false;
                self.send(message.message.to_vec());
            }
            while let Some(transmit) = self.transport.poll_transmit() {
                quiet = false;
                let _ = self.client.read(self.now, to, None, BytesMut::from(&transmit.data[..]));
            }
            if quiet {
                return;
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.transport.poll_event()).collect()
    }

    fn closed(&mut self) -> Option<CloseReason> {
        self.events().into_iter().find_map(|event| match event {
            Event::Closed(reason) => Some(reason),
            _ => None,
        })
    }
}

#[test]
fn the_best_profile_whatever_the_clients_order() {
    for (offered, chosen) in [
        (&[CM, CM_SHORT, GCM_256, GCM][..], Profile::AeadAes128Gcm),
        (&[CM, GCM_256], Profile::AeadAes256Gcm),
        (&[CM_SHORT, CM], Profile::Aes128CmSha1_80),
    ] {
        let mut bench = bench(offered, 0, ExtendedMasterSecretType::Require);
        bench.shake();
        assert_eq!(bench.transport.profile(), Some(chosen));
        let state = bench.client.get_connection_state(bench.path.local).unwrap();
        assert_eq!(state.srtp_protection_profile() as u16, chosen as u16);
        assert!(bench.events().iter().any(|event| matches!(event, Event::Connected { .. })));
    }
}

#[test]
fn clients_that_cannot_be_served() {
    for (offered, secret) in [
        (&[CM_SHORT][..], ExtendedMasterSecretType::Require),
        (&[], ExtendedMasterSecretType::Require),
        (&[GCM], ExtendedMasterSecretType::Disable),
    ] {
        let mut bench = bench(offered, 0, secret);
        bench.shake();
        assert_eq!(bench.transport.profile(), None);
        let closed = bench.closed();
        assert!(matches!(closed, Some(CloseReason::HandshakeFailed(_))), "{closed:?}");
    }
}

#[test]
fn messages_in_small_fragments() {
    for mtu in [64, 100, 300] {
        let mut bench = bench(&[GCM], mtu, ExtendedMasterSecretType::Require);
        bench.shake();
        assert_eq!(bench.transport.profile(), Some(Profile::AeadAes128Gcm), "{mtu}: {:?}", bench.closed());
    }
}

/// A handshake record with one fragment.
fn fragment(kind: u8, length: u32, message: u16, offset: u32, carried: usize) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend(&length.to_be_bytes()[1..]);
    body.extend(message.to_be_bytes());
    body.extend(&offset.to_be_bytes()[1..]);
    body.extend(&(carried as u32).to_be_bytes()[1..]);
    body.resize(12 + carried, 0xff);
    record(22, 0, &body)
}

fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 0xfe, 0xfd];
    record.extend(epoch.to_be_bytes());
    record.extend([0, 0, 0, 0, 0, 9]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

#[test]
fn what_the_guard_does_not_let_through() {
    let cases: [(&str, Vec<Vec<u8>>); 9] = [
        ("16 KB", vec![fragment(1, 16_385, 0, 0, 100)]),
        ("contradict", vec![fragment(1, 200, 0, 150, 100)]),
        ("contradict", vec![fragment(1, 500, 0, 0, 100), fragment(1, 501, 0, 100, 100)]),
        ("64 bytes", (0..5).map(|at| fragment(1, 500, 0, at * 63, 63)).collect()),
        ("far ahead", vec![fragment(1, 100, 8, 0, 100)]),
        ("bytes wait", (0..3).map(|message| fragment(1, 16_000, message, 0, 100)).collect()),
        ("malformed", vec![fragment(11, 100, 0, 0, 100)]),
        ("malformed", vec![fragment(1, 100, 0, 0, 100)]),
        ("128 datagrams", (0..129).map(|_| record(20, 0, &[1])).collect()),
    ];
    for (why, datagrams) in cases {
        let mut bench = bench(&[GCM], 0, ExtendedMasterSecretType::Require);
        let last = datagrams.len() - 1;
        for (at, datagram) in datagrams.into_iter().enumerate() {
            assert!(!bench.transport.is_closed(), "{why} at {at}");
            bench.send(datagram);
            assert!(at == last || !bench.transport.is_closed(), "{why} at {at}");
        }
        match bench.closed() {
            Some(CloseReason::HandshakeFailed(text)) if text.contains(why) => {}
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn records_of_the_next_epoch_are_counted() {
    let mut bench = bench(&[GCM], 0, ExtendedMasterSecretType::Require);
    // The hello, and the verification's question; then the client says nothing more.
    let hello = bench.client.poll_transmit().unwrap().message;
    bench.send(hello.to_vec());
    for count in 1..=17 {
        assert!(!bench.transport.is_closed(), "{count}");
        bench.send(record(23, 1, &[0; 40]));
    }
    assert!(
        matches!(bench.closed(), Some(CloseReason::HandshakeFailed(text)) if text.contains("next epoch"))
    );
}

/// Nothing that lacks the keys can end a connection.
#[test]
fn forged_records_once_connected() {
    let mut bench = bench(&[GCM], 0, ExtendedMasterSecretType::Require);
    bench.shake();
    for epoch in [0, 1, 2, 65_535] {
        for kind in [20, 21, 22, 23, 25, 63] {
            for body in [&[2, 40][..], &[1, 0], &[1], &[0; 50]] {
                for _ in 0..5 {
                    bench.send(record(kind, epoch, body));
                }
            }
        }
    }
    assert!(!bench.transport.is_closed());
    assert!(bench.transport.poll_transmit().is_none());
    let now = bench.now;
    bench.client.stop(now, bench.path.local);
    bench.shake();
    assert_eq!(bench.closed(), Some(CloseReason::CloseNotify));
}
