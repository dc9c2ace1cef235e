//! Which protocol a datagram belongs to, by its first two bytes (RFC 7983, RFC 5761 4).
//!
//! It must not know any peer: a shard asks it before it knows whose datagram this is.

/// The protocols that share one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    /// Neither: TURN channels, ZRTP, empty datagrams, noise.
    Unknown,
}

/// Looks at the first two bytes and the length; says nothing about whether the rest is well-formed.
pub fn classify(datagram: &[u8]) -> Kind {
    let [first, second, ..] = datagram else { return Kind::Unknown };
    match first {
        0..=3 if datagram.len() >= 20 => Kind::Stun,
        20..=63 if datagram.len() >= 13 => Kind::Dtls,
        // RTCP packet types 192 to 223 lie where RTP would carry payload types 64 to 95 with the marker set,
        // and those are not used with rtcp-mux.
        128..=191 if (192..=223).contains(second) && datagram.len() >= 8 => Kind::Rtcp,
        128..=191 if datagram.len() >= 12 => Kind::Rtp,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_the_first_byte() {
        let with = |first: u8, second: u8| {
            let mut datagram = [0; 40];
            (datagram[0], datagram[1]) = (first, second);
            classify(&datagram)
        };
        for first in 0..=255u8 {
            let kind = match first {
                0..=3 => Kind::Stun,
                20..=63 => Kind::Dtls,
                128..=191 => Kind::Rtp,
                _ => Kind::Unknown,
            };
            assert_eq!(with(first, 96), kind, "{first}");
        }
        for second in 0..=255u8 {
            let kind = if (192..=223).contains(&second) { Kind::Rtcp } else { Kind::Rtp };
            assert_eq!(with(0x80, second), kind, "{second}");
        }
    }

    #[test]
    fn what_is_too_short_for_its_header_is_unknown() {
        for (first, second, shortest, kind) in [
            (0, 1, 20, Kind::Stun),
            (22, 254, 13, Kind::Dtls),
            (0x80, 96, 12, Kind::Rtp),
            (0x80, 200, 8, Kind::Rtcp),
        ] {
            let mut datagram = vec![0; shortest];
            datagram[0] = first;
            datagram[1] = second;
            assert_eq!(classify(&datagram), kind);
            assert_eq!(classify(&datagram[..shortest - 1]), Kind::Unknown);
        }
        assert_eq!(classify(&[]), Kind::Unknown);
    }
}
