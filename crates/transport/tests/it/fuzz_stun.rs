//! The fuzz target of STUN. Its corpus stands in `corpus/stun/`.

use turnpike_fuzz::fuzz;
use turnpike_transport::demux::{Kind, classify};
use turnpike_transport::stun::{self, Class, Message, UNKNOWN_LISTED_MAX, Writer};

const PASSWORD: &str = "a password that the corpus does not have";
/// Attributes that the writer adds itself.
const INTEGRITY: u16 = 0x0008;
const FINGERPRINT: u16 = 0x8028;

#[test]
fn messages_hold() {
    fuzz!("stun", message);
}

/// A message.
fn message(data: &[u8]) {
    let ufrag = stun::local_ufrag(data);
    let Ok(message) = Message::parse(data) else {
        assert_eq!(ufrag, None, "of what is no message");
        return;
    };
    // Of other methods than the ones that peers speak, the first byte may be that of something else (RFC 7983 7).
    assert_eq!(classify(data) == Kind::Stun, data[0] < 4);
    assert!(!message.verify(PASSWORD));
    assert!(message.unknown().len() <= UNKNOWN_LISTED_MAX);
    if let Some(ufrag) = ufrag {
        assert!(message.username().is_some_and(|name| name.starts_with(ufrag)));
    }
    sealed(data, &message);
}

/// The same attributes in a message of somebody who knows the password: then it is genuine, and says the same.
fn sealed(data: &[u8], message: &Message<'_>) {
    let mut writer = Writer::new(message.class(), &message.transaction());
    let mut rest = &data[20..];
    while let [high, low, long, short, more @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*long, *short]));
        let kind = u16::from_be_bytes([*high, *low]);
        let Some(value) = more.get(..len) else { break };
        // What stands behind the tag counts for nothing.
        if matches!(kind, INTEGRITY | FINGERPRINT) {
            break;
        }
        writer = writer.attribute(kind, value);
        rest = more.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    let sealed = writer.finish(PASSWORD);
    let again = Message::parse(&sealed).expect("it was one before");
    assert!(again.verify(PASSWORD));
    assert_eq!(again.class(), message.class());
    assert_eq!((again.username(), again.priority()), (message.username(), message.priority()));
    assert_eq!((again.mapped(), again.error()), (message.mapped(), message.error()));
    assert_eq!((again.controlling(), again.controlled()), (message.controlling(), message.controlled()));
    let mut forged = sealed;
    let at = forged.len() - 20;
    forged[at] ^= 1;
    assert!(!Message::parse(&forged).is_ok_and(|forged| forged.verify(PASSWORD)));
    assert!(matches!(message.class(), Class::Request | Class::Success | Class::Error | Class::Indication));
}
