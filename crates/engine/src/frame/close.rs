//! The payload of a close frame (RFC 6455 5.5.1, 7.4).

use super::ProtocolError;

pub(super) fn parse(payload: &[u8]) -> Result<Option<(u16, &str)>, ProtocolError> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(ProtocolError::CloseTruncated),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !may_be_sent(code) {
        return Err(ProtocolError::CloseCode(code));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
    Ok(Some((code, reason)))
}

/// The codes of RFC 6455 7.4.1 and of IANA's registry that may stand in a frame, and the ranges of libraries and
/// applications. 1004 to 1006 and 1015 only ever describe a connection that ended without such a frame.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::frame::ProtocolError;

    type Parsed = Result<Option<(u16, &'static str)>, ProtocolError>;

    #[test]
    fn table() {
        let cases: &[(&[u8], Parsed)] = &[
            (b"", Ok(None)),
            (b"\x03", Err(ProtocolError::CloseTruncated)),
            (b"\x03\xe8", Ok(Some((1000, "")))),
            (b"\x03\xe9bye", Ok(Some((1001, "bye")))),
            (b"\x03\xe8\xc3", Err(ProtocolError::CloseReasonNotUtf8)),
            (b"\x03\xe8\xed\xa0\x80", Err(ProtocolError::CloseReasonNotUtf8)),
        ];
        for (payload, expected) in cases {
            assert_eq!(&parse(payload), expected, "{payload:?}");
        }
    }

    #[test]
    fn codes() {
        let sendable =
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
        let unsendable = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
        for code in sendable {
            assert_eq!(parse(&u16::to_be_bytes(code)), Ok(Some((code, ""))));
        }
        for code in unsendable {
            assert_eq!(parse(&u16::to_be_bytes(code)), Err(ProtocolError::CloseCode(code)));
        }
    }
}
