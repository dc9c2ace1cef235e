//! The PROXY header in front of a connection.

use proptest::prelude::*;
use turnpike_guard::address::{
    PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyHeaderError as Error, read_proxy_header,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header with this command, family and rest.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
}

fn v4(rest: &[u8]) -> Vec<u8> {
    [&[203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 0x1f, 0x90], rest].concat()
}

fn v6(address: &str, rest: &[u8]) -> Vec<u8> {
    let address: std::net::Ipv6Addr = address.parse().unwrap();
    [&address.octets(), &[0; 16][..], &[0x12, 0x34, 0x1f, 0x90], rest].concat()
}

fn client(bytes: &[u8]) -> Option<String> {
    match read_proxy_header(bytes) {
        Ok(ProxyHeader::Complete { bytes: read, client }) => {
            assert!(read <= bytes.len());
            client.map(|client| client.to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_names_the_client() {
    let addition = [0x04, 0, 3, 1, 2, 3];
    for (bytes, expected) in [
        (header(1, 0x11, &v4(&[])), Some("203.0.113.9:4660")),
        (header(1, 0x11, &v4(&addition)), Some("203.0.113.9:4660")),
        (header(1, 0x11, &v4(&[addition, addition].concat())), Some("203.0.113.9:4660")),
        (header(1, 0x21, &v6("2001:db8::1", &[])), Some("[2001:db8::1]:4660")),
        (header(1, 0x21, &v6("2001:db8::1", &addition)), Some("[2001:db8::1]:4660")),
        (header(1, 0x21, &v6("::ffff:203.0.113.9", &[])), Some("203.0.113.9:4660")),
        // A client on the balancer's machine, and one that it cannot name.
        (header(1, 0x31, &[0; 216]), None),
        (header(1, 0x00, &[]), None),
        (header(1, 0x00, &addition), None),
        // The balancer itself, whatever else it says.
        (header(0, 0x00, &[]), None),
        (header(0, 0x11, &v4(&[])), None),
        (header(0, 0xff, &[9; 40]), None),
    ] {
        assert_eq!(client(&bytes).as_deref(), expected, "{}", bytes.escape_ascii());
        let whole = bytes.len();
        let more = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        let read = read_proxy_header(&more).unwrap();
        assert!(
            matches!(read, ProxyHeader::Complete { bytes, .. } if bytes == whole),
            "nothing behind it is read"
        );
    }
}

#[test]
fn what_is_no_such_header_is_refused() {
    let long = header(1, 0x11, &v4(&vec![0; PROXY_HEADER_BYTES_MAX]));
    let mut other_version = header(1, 0x11, &v4(&[]));
    other_version[12] = 0x31;
    for (bytes, error) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Error::Missing),
        (b"\x16\x03\x01".to_vec(), Error::Missing),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), Error::Missing),
        (b"\r\nGET".to_vec(), Error::Missing),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n".to_vec(), Error::VersionOne),
        (b"PRO".to_vec(), Error::VersionOne),
        (b"PROPFIND".to_vec(), Error::Missing),
        (other_version, Error::Version { version: 3 }),
        (header(2, 0x11, &v4(&[])), Error::Command { command: 2 }),
        (header(1, 0x12, &v4(&[])), Error::Family { family: 0x12 }),
        (header(1, 0x10, &v4(&[])), Error::Family { family: 0x10 }),
        (header(1, 0x41, &v4(&[])), Error::Family { family: 0x41 }),
        (header(1, 0x11, &[0; 11]), Error::Short),
        (header(1, 0x21, &[0; 35]), Error::Short),
        (header(1, 0x31, &[0; 215]), Error::Short),
        (header(1, 0x11, &v4(&[4])), Error::Additions),
        (header(1, 0x11, &v4(&[4, 0])), Error::Additions),
        (header(1, 0x11, &v4(&[4, 0, 2, 9])), Error::Additions),
        (header(1, 0x11, &v4(&[4, 0xff, 0xff, 9])), Error::Additions),
        (header(1, 0x00, &[1]), Error::Additions),
        (long.clone(), Error::TooLong { bytes: long.len() }),
    ] {
        assert_eq!(read_proxy_header(&bytes), Err(error), "{}", bytes.escape_ascii());
    }
    // Its length alone is enough to refuse it.
    assert_eq!(read_proxy_header(&long[..16]), Err(Error::TooLong { bytes: long.len() }));
}

#[test]
fn as_much_as_is_there_says_how_much_is_to_come() {
    let bytes = header(1, 0x11, &v4(&[4, 0, 1, 7]));
    for cut in 0..bytes.len() {
        let expected = if cut < 16 { 16 } else { bytes.len() };
        assert_eq!(
            read_proxy_header(&bytes[..cut]),
            Ok(ProxyHeader::Incomplete { bytes: expected }),
            "{cut}"
        );
    }
}

proptest! {
    /// Whoever reads as many bytes as it says comes to an end, by however small steps.
    #[test]
    fn reading_on_ends(bytes in prop::collection::vec(any::<u8>(), 0..300), signed: bool) {
        let bytes = if signed { [SIGNATURE, &[0x21], &bytes].concat() } else { bytes };
        let mut seen = 0;
        while let Ok(ProxyHeader::Incomplete { bytes: whole }) = read_proxy_header(&bytes[..seen]) {
            prop_assert!(whole > seen && whole <= PROXY_HEADER_BYTES_MAX);
            if whole > bytes.len() {
                break;
            }
            seen = whole;
        }
    }
}
