//! One way to reach somebody (RFC 8839 5.1, RFC 6544 4.5 for TCP).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::Word;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub foundation: Word,
    /// Always 1 where RTP and RTCP share a transport.
    pub component: u8,
    pub protocol: CandidateProtocol,
    pub priority: u32,
    pub address: CandidateAddress,
    pub port: u16,
    pub kind: CandidateKind,
    /// Behind what was found out from outside.
    pub related: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateProtocol {
    Udp,
    Tcp(TcpKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpKind {
    Active,
    Passive,
    SimultaneousOpen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateAddress {
    Ip(IpAddr),
    /// Browsers hide addresses behind names that only their own network resolves. We resolve none.
    Name(Word),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    Host,
    ServerReflexive,
    PeerReflexive,
    Relayed,
}

const FORM: &str = "a candidate is `foundation component transport priority address port typ type`";

impl Candidate {
    /// A host candidate of our own. The preference is local, 65,535 for the best (RFC 8445 5.1.2.1).
    pub fn host(address: SocketAddr, protocol: CandidateProtocol, local_preference: u16) -> Self {
        let family = if address.is_ipv4() { 1 } else { 2 };
        let number = match protocol {
            CandidateProtocol::Udp => family,
            CandidateProtocol::Tcp(_) => family + 2,
        };
        let foundation = Word::parse(&number.to_string()).expect("digits are visible");
        // TCP below all UDP, as browsers rank it.
        let kind_preference = if protocol == CandidateProtocol::Udp { 126 } else { 90 };
        Self {
            foundation,
            component: 1,
            protocol,
            priority: kind_preference << 24 | u32::from(local_preference) << 8 | 255,
            address: CandidateAddress::Ip(address.ip()),
            port: address.port(),
            kind: CandidateKind::Host,
            related: None,
        }
    }

    /// With or without `candidate:` and `a=` before it. None within: well formed, of a transport or type that we do
    /// not know.
    pub fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let mut next = || words.next().ok_or(FORM);
        let foundation = next()?;
        let foundation = Word::parse(foundation).filter(|word| word.len() <= 32).ok_or(FORM)?;
        let component = next()?.parse().ok().filter(|component| *component >= 1).ok_or(FORM)?;
        let transport = next()?;
        let priority = next()?.parse().map_err(|_| FORM)?;
        let address = next()?;
        let address = match address.parse() {
            Ok(ip) => CandidateAddress::Ip(ip),
            Err(_) => CandidateAddress::Name(host_name(address)?),
        };
        let port = next()?.parse().map_err(|_| FORM)?;
        if next()? != "typ" {
            return Err(FORM);
        }
        let kind = next()?;
        let (mut tcp, mut related_address, mut related_port) = (None, None, None);
        // Pairs of name and value; the ones that we do not know have nothing for us.
        while let Some(name) = words.next() {
            let Some(value) = words.next() else { break };
            match name {
                "tcptype" => tcp = Some(TcpKind::parse(value)?),
                "raddr" => related_address = value.parse::<IpAddr>().ok(),
                "rport" => related_port = value.parse::<u16>().ok(),
                _ => {}
            }
        }
        let protocol = if transport.eq_ignore_ascii_case("udp") {
            CandidateProtocol::Udp
        } else if transport.eq_ignore_ascii_case("tcp") {
            // Some leave it out, and RFC 6544 4.5 does not say what then; such a peer waits to be called.
            CandidateProtocol::Tcp(tcp.unwrap_or(TcpKind::Passive))
        } else {
            return Ok(None);
        };
        let Some(kind) = CandidateKind::parse(kind) else { return Ok(None) };
        let related = related_address.zip(related_port).map(SocketAddr::from);
        Ok(Some(Self { foundation, component, protocol, priority, address, port, kind, related }))
    }

    /// Where to send to, if that can be told without asking anybody.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.address {
            CandidateAddress::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            CandidateAddress::Name(_) => None,
        }
    }
}

fn host_name(text: &str) -> Result<Word, &'static str> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    Word::parse(text)
        .filter(|_| is_name)
        .ok_or("the address of a candidate is an IP address or a host's name")
}

impl TcpKind {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "active" => Ok(Self::Active),
            "passive" => Ok(Self::Passive),
            "so" => Ok(Self::SimultaneousOpen),
            _ => Err("`tcptype` is active, passive or so"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }
}

impl CandidateKind {
    fn parse(text: &str) -> Option<Self> {
        [Self::Host, Self::ServerReflexive, Self::PeerReflexive, Self::Relayed]
            .into_iter()
            .find(|kind| kind.name() == text)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

/// The value of `a=candidate`.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, priority, port, .. } = self;
        let transport = match self.protocol {
            CandidateProtocol::Udp => "udp",
            CandidateProtocol::Tcp(_) => "tcp",
        };
        write!(f, "{foundation} {component} {transport} {priority} ")?;
        match &self.address {
            CandidateAddress::Ip(ip) => write!(f, "{ip}")?,
            CandidateAddress::Name(name) => write!(f, "{name}")?,
        }
        write!(f, " {port} typ {}", self.kind.name())?;
        if let Some(related) = self.related {
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        if let CandidateProtocol::Tcp(kind) = self.protocol {
            write!(f, " tcptype {}", kind.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Candidate {
        Candidate::parse(text).unwrap().unwrap()
    }

    #[test]
    fn as_they_are_written() {
        let chromium = read(
            "candidate:842163049 1 udp 1677729535 203.0.113.7 41234 typ srflx raddr 192.168.1.5 rport 51000 generation 0 ufrag abcd network-id 1 network-cost 10",
        );
        assert_eq!(chromium.kind, CandidateKind::ServerReflexive);
        assert_eq!(chromium.related, Some("192.168.1.5:51000".parse().unwrap()));
        assert_eq!(
            chromium.to_string(),
            "842163049 1 udp 1677729535 203.0.113.7 41234 typ srflx raddr 192.168.1.5 rport 51000"
        );
        let hidden = read("1 1 UDP 2122260223 3e1c7f5a-9b1e-4b7e-8f7c-0f8a2f1c9d10.local 55555 typ host");
        assert_eq!(hidden.socket_address(), None);
        let tcp = read("a=candidate:2 1 TCP 2105458943 2001:db8::1 9 typ host tcptype active");
        assert_eq!(tcp.protocol, CandidateProtocol::Tcp(TcpKind::Active));
        assert_eq!(read(&tcp.to_string()), tcp);
        assert_eq!(Candidate::parse("1 1 sctp 1 192.0.2.1 5 typ host"), Ok(None));
        assert_eq!(Candidate::parse("1 1 udp 1 192.0.2.1 5 typ wormhole"), Ok(None));
    }

    #[test]
    fn malformed() {
        for bad in [
            "",
            "candidate:",
            "1 1 udp 1 192.0.2.1 5",
            "1 1 udp 1 192.0.2.1 5 host typ",
            "1 0 udp 1 192.0.2.1 5 typ host",
            "1 1 udp -1 192.0.2.1 5 typ host",
            "1 1 udp 1 192.0.2.1 65536 typ host",
            "1 1 udp 1 a/b 5 typ host",
            "1 1 udp 1 192.0.2.1\r 5 typ host",
            "1 1 tcp 1 192.0.2.1 5 typ host tcptype odd",
        ] {
            assert!(Candidate::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn of_our_own() {
        let udp = Candidate::host("192.0.2.1:7000".parse().unwrap(), CandidateProtocol::Udp, 65_535);
        assert_eq!(udp.to_string(), "1 1 udp 2130706431 192.0.2.1 7000 typ host");
        let tcp = CandidateProtocol::Tcp(TcpKind::Passive);
        let tcp = Candidate::host("[2001:db8::1]:443".parse().unwrap(), tcp, 0);
        assert_eq!(tcp.to_string(), "4 1 tcp 1509949695 2001:db8::1 443 typ host tcptype passive");
    }
}
