//! Offers and answers as a browser makes them, and what is needed of the other side's.

use std::net::SocketAddr;

use anyhow::Context as _;
use turnpike_transport::{Credentials, DtlsRole, Fingerprint, Remote};

/// As the publisher offers it.
pub(crate) const VP8: u8 = 96;
pub(crate) const EXTENSION_MID: u8 = 1;
pub(crate) const EXTENSION_TWCC: u8 = 3;
pub(crate) const RTX: u8 = 97;

const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const TWCC_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What a publisher calls its stream; its repairs have the next number.
pub(crate) const SSRC: u32 = 0x1234_5678;

/// One side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Viewer,
}

/// Numbers that stand for things in the packets of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) vp8: u8,
    pub(crate) rtx: Option<u8>,
    pub(crate) twcc: Option<u8>,
}

/// Who we are to the other side.
pub(crate) struct Ours<'o> {
    pub(crate) credentials: &'o Credentials,
    pub(crate) fingerprint: &'o Fingerprint,
    pub(crate) address: SocketAddr,
}

pub(crate) fn offer(ours: &Ours<'_>, role: Role) -> String {
    let terms = Terms { vp8: VP8, rtx: Some(RTX), twcc: Some(EXTENSION_TWCC) };
    description(ours, role, terms, Some(EXTENSION_MID), "0", "actpass")
}

/// To an offer whose stream we watch: its own numbers, and we begin the handshake.
pub(crate) fn answer(ours: &Ours<'_>, theirs: &Theirs) -> String {
    description(ours, Role::Viewer, theirs.terms, None, &theirs.mid, "active")
}

fn description(
    ours: &Ours<'_>,
    role: Role,
    terms: Terms,
    extension_mid: Option<u8>,
    mid: &str,
    setup: &str,
) -> String {
    let Ours { credentials, fingerprint, address } = ours;
    let (ufrag, pwd) = (credentials.ufrag(), credentials.pwd());
    let (ip, port) = (address.ip(), address.port());
    let vp8 = terms.vp8;
    let payload_types = terms.rtx.map_or_else(|| vp8.to_string(), |rtx| format!("{vp8} {rtx}"));
    let mut lines = vec![
        "v=0".to_owned(),
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1".to_owned(),
        "s=-".to_owned(),
        "t=0 0".to_owned(),
        format!("a=group:BUNDLE {mid}"),
        "a=extmap-allow-mixed".to_owned(),
        "a=msid-semantic: WMS".to_owned(),
        format!("m=video 9 UDP/TLS/RTP/SAVPF {payload_types}"),
        "c=IN IP4 0.0.0.0".to_owned(),
        "a=rtcp:9 IN IP4 0.0.0.0".to_owned(),
        format!("a=ice-ufrag:{ufrag}"),
        format!("a=ice-pwd:{pwd}"),
        "a=ice-options:trickle".to_owned(),
        format!("a=fingerprint:{fingerprint}"),
        format!("a=setup:{setup}"),
        format!("a=mid:{mid}"),
    ];
    lines.extend(extension_mid.map(|id| format!("a=extmap:{id} {MID_URI}")));
    lines.extend(terms.twcc.map(|id| format!("a=extmap:{id} {TWCC_URI}")));
    lines.extend([
        (if role == Role::Publisher { "a=sendonly" } else { "a=recvonly" }).to_owned(),
        "a=rtcp-mux".to_owned(),
        "a=rtcp-rsize".to_owned(),
        format!("a=rtpmap:{vp8} VP8/90000"),
    ]);
    if terms.twcc.is_some() {
        lines.push(format!("a=rtcp-fb:{vp8} transport-cc"));
    }
    lines.extend([
        format!("a=rtcp-fb:{vp8} ccm fir"),
        format!("a=rtcp-fb:{vp8} nack"),
        format!("a=rtcp-fb:{vp8} nack pli"),
    ]);
    if let Some(rtx) = terms.rtx {
        lines.push(format!("a=rtpmap:{rtx} rtx/90000"));
        lines.push(format!("a=fmtp:{rtx} apt={vp8}"));
    }
    if role == Role::Publisher {
        let repairs = SSRC + 1;
        lines.push("a=msid:bench video".to_owned());
        lines.push(format!("a=ssrc-group:FID {SSRC} {repairs}"));
        lines.push(format!("a=ssrc:{SSRC} cname:bench"));
        lines.push(format!("a=ssrc:{repairs} cname:bench"));
    }
    lines.push(format!("a=candidate:1 1 udp 2130706431 {ip} {port} typ host"));
    lines.push("a=end-of-candidates".to_owned());
    lines.join("\r\n") + "\r\n"
}

/// The other side: who it is, where, and what its numbers are.
#[derive(Clone, Debug)]
pub(crate) struct Theirs {
    pub(crate) remote: Remote,
    pub(crate) address: SocketAddr,
    /// What is left to us.
    pub(crate) dtls: DtlsRole,
    pub(crate) terms: Terms,
    pub(crate) mid: String,
}

impl Theirs {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let values = |name: &str| {
            let prefix = format!("a={name}:");
            let lines = text.lines();
            lines.filter_map(move |line| line.trim_end().strip_prefix(&prefix)).collect::<Vec<_>>()
        };
        let value = |name: &str| {
            values(name).first().copied().with_context(|| format!("no {name} in the description"))
        };
        let address = values("candidate").into_iter().filter_map(udp).find(SocketAddr::is_ipv4);
        let numbered = |name: &str, wanted: &str| {
            let values = values(name);
            values.into_iter().find_map(|value| {
                let (number, what) = value.split_once(' ')?;
                let number = number.split('/').next()?.parse::<u8>().ok()?;
                what.eq_ignore_ascii_case(wanted).then_some(number)
            })
        };
        let vp8 = numbered("rtpmap", "VP8/90000").context("no VP8 in the description")?;
        let terms =
            Terms { vp8, rtx: numbered("fmtp", &format!("apt={vp8}")), twcc: numbered("extmap", TWCC_URI) };
        let credentials = Credentials::new(value("ice-ufrag")?, value("ice-pwd")?)?;
        Ok(Self {
            remote: Remote { credentials, fingerprints: vec![Fingerprint::parse(value("fingerprint")?)?] },
            address: address.context("no address over UDP")?,
            dtls: if value("setup")? == "active" { DtlsRole::Server } else { DtlsRole::Client },
            terms,
            mid: value("mid")?.to_owned(),
        })
    }
}

/// `foundation component transport priority address port typ ...`
fn udp(candidate: &str) -> Option<SocketAddr> {
    let mut words = candidate.split(' ');
    let transport = words.nth(2)?;
    let ip = words.nth(1)?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    transport.eq_ignore_ascii_case("udp").then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs(setup: &str, numbers: &str) -> String {
        let pairs = vec!["AB"; 32].join(":");
        format!(
            "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {pairs}\r\n\
             a=setup:{setup}\r\na=mid:v\r\n{numbers}a=candidate:1 1 tcp 9 127.0.0.1 9 typ host tcptype passive\r\n\
             a=candidate:2 1 UDP 9 127.0.0.1 3020 typ host\r\n"
        )
    }

    #[test]
    fn an_answer_is_understood() {
        let theirs = Theirs::parse(&theirs("passive", "a=rtpmap:96 VP8/90000\r\n")).unwrap();
        assert_eq!(theirs.address, SocketAddr::from(([127, 0, 0, 1], 3_020)));
        assert_eq!(theirs.remote.credentials.ufrag(), "abcd");
        assert_eq!(theirs.terms, Terms { vp8: 96, rtx: None, twcc: None });
        assert_eq!((theirs.dtls, theirs.mid.as_str()), (DtlsRole::Client, "v"));
    }

    #[test]
    fn what_others_offer_keeps_its_numbers() {
        let numbers = format!(
            "a=rtpmap:101 vp8/90000\r\na=rtpmap:102 rtx/90000\r\na=fmtp:102 apt=101\r\n\
             a=extmap:7/sendonly {TWCC_URI}\r\n"
        );
        let theirs = Theirs::parse(&theirs("actpass", &numbers)).unwrap();
        assert_eq!(theirs.terms, Terms { vp8: 101, rtx: Some(102), twcc: Some(7) });
        let ours = Credentials::from_random(&[7; turnpike_transport::RANDOM_BYTES]);
        let fingerprint = &theirs.remote.fingerprints[0];
        let address = SocketAddr::from(([127, 0, 0, 1], 4_000));
        let text = answer(&Ours { credentials: &ours, fingerprint, address }, &theirs);
        for line in ["m=video 9 UDP/TLS/RTP/SAVPF 101 102", "a=setup:active", "a=mid:v", "a=recvonly"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
