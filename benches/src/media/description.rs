//! Offers as a browser makes them, and what is needed of the answers.

use std::net::SocketAddr;

use anyhow::Context as _;
use turnpike_transport::{Credentials, Fingerprint, Remote};

/// As it is offered, and so as it is answered.
pub(crate) const VP8: u8 = 96;
pub(crate) const EXTENSION_MID: u8 = 1;
pub(crate) const EXTENSION_TWCC: u8 = 3;
const RTX: u8 = 97;

/// What the publisher calls its stream and its repairs.
pub(crate) const SSRC: u32 = 0x1234_5678;
const SSRC_RTX: u32 = 0x1234_5679;

pub(crate) fn offer(ours: &Credentials, fingerprint: &Fingerprint, is_publisher: bool) -> String {
    let (ufrag, pwd) = (ours.ufrag(), ours.pwd());
    let mut lines = vec![
        "v=0".to_owned(),
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1".to_owned(),
        "s=-".to_owned(),
        "t=0 0".to_owned(),
        "a=group:BUNDLE 0".to_owned(),
        "a=extmap-allow-mixed".to_owned(),
        "a=msid-semantic: WMS".to_owned(),
        format!("m=video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX}"),
        "c=IN IP4 0.0.0.0".to_owned(),
        "a=rtcp:9 IN IP4 0.0.0.0".to_owned(),
        format!("a=ice-ufrag:{ufrag}"),
        format!("a=ice-pwd:{pwd}"),
        "a=ice-options:trickle".to_owned(),
        format!("a=fingerprint:{fingerprint}"),
        "a=setup:actpass".to_owned(),
        "a=mid:0".to_owned(),
        format!("a=extmap:{EXTENSION_MID} urn:ietf:params:rtp-hdrext:sdes:mid"),
        format!(
            "a=extmap:{EXTENSION_TWCC} \
             http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
        ),
        (if is_publisher { "a=sendonly" } else { "a=recvonly" }).to_owned(),
        "a=rtcp-mux".to_owned(),
        "a=rtcp-rsize".to_owned(),
        format!("a=rtpmap:{VP8} VP8/90000"),
        format!("a=rtcp-fb:{VP8} transport-cc"),
        format!("a=rtcp-fb:{VP8} ccm fir"),
        format!("a=rtcp-fb:{VP8} nack"),
        format!("a=rtcp-fb:{VP8} nack pli"),
        format!("a=rtpmap:{RTX} rtx/90000"),
        format!("a=fmtp:{RTX} apt={VP8}"),
    ];
    if is_publisher {
        lines.push("a=msid:bench video".to_owned());
        lines.push(format!("a=ssrc-group:FID {SSRC} {SSRC_RTX}"));
        lines.push(format!("a=ssrc:{SSRC} cname:bench"));
        lines.push(format!("a=ssrc:{SSRC_RTX} cname:bench"));
    }
    lines.join("\r\n") + "\r\n"
}

/// The other side: who it is, and where.
pub(crate) struct Answer {
    pub(crate) remote: Remote,
    pub(crate) address: SocketAddr,
}

pub(crate) fn answer(text: &str) -> anyhow::Result<Answer> {
    let attribute = |name: &str| {
        let prefix = format!("a={name}:");
        text.lines().find_map(|line| Some(line.trim_end().strip_prefix(&prefix)?.to_owned()))
    };
    let ufrag = attribute("ice-ufrag").context("no ice-ufrag in the answer")?;
    let pwd = attribute("ice-pwd").context("no ice-pwd in the answer")?;
    let fingerprint = attribute("fingerprint").context("no fingerprint in the answer")?;
    let setup = attribute("setup").context("no setup in the answer")?;
    anyhow::ensure!(setup == "passive", "the answer's setup is {setup}");
    let candidates = text.lines().filter_map(|line| line.trim_end().strip_prefix("a=candidate:"));
    let address = candidates.filter_map(udp).find(SocketAddr::is_ipv4).context("no address over UDP")?;
    let credentials = Credentials::new(&ufrag, &pwd)?;
    Ok(Answer {
        remote: Remote { credentials, fingerprints: vec![Fingerprint::parse(&fingerprint)?] },
        address,
    })
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

    #[test]
    fn an_answer_is_understood() {
        let pairs = vec!["AB"; 32].join(":");
        let text = format!(
            "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {pairs}\r\n\
             a=setup:passive\r\na=candidate:1 1 tcp 9 127.0.0.1 9 typ host tcptype passive\r\n\
             a=candidate:2 1 UDP 9 127.0.0.1 3020 typ host\r\n"
        );
        let answer = answer(&text).unwrap();
        assert_eq!(answer.address, SocketAddr::from(([127, 0, 0, 1], 3_020)));
        assert_eq!(answer.remote.credentials.ufrag(), "abcd");
    }
}
