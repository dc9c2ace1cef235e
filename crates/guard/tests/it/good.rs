//! What is accepted, and what it means.

use proptest::prelude::*;
use turnpike_guard::{
    Audience, Claims, KeyError, Name, NumericDate, Right, Role, TokenError, TokenKey, mint,
};
use turnpike_wire::{RoomId, UserId};

use crate::tokens::{HEADER, NOW, SECRET, payload, token, verifier};

#[test]
fn the_least_token_has_the_default_grants() {
    let claims = Claims::new(UserId::parse("alice").unwrap(), NOW + 60);
    let identity = verifier().check(&mint(SECRET, &claims).unwrap(), NOW).unwrap();
    assert_eq!(identity.user.as_str(), "alice");
    assert_eq!(identity.role, Role::User);
    assert_eq!(identity.expires_at, NOW + 60);
    let room = RoomId::parse("chat:a").unwrap();
    assert!(identity.can(Right::Send, &room) && !identity.can(Right::History, &room));
}

#[test]
fn every_claim_is_read() {
    let mut claims = Claims::new(UserId::parse("alice").unwrap(), NOW + 60);
    claims.nbf = Some(NumericDate(NOW));
    claims.iat = Some(NumericDate(NOW));
    claims.iss = Some("https://login.example".to_owned());
    claims.aud = Some(Audience::Several(vec!["other".to_owned(), "turnpike".to_owned()]));
    claims.jti = Some("token-1".into());
    claims.role = Role::Service;
    claims.name = Some(Name::parse("Alice Ångström").unwrap());
    claims.rooms = Some(vec!["news:*=join".parse().unwrap()]);
    claims.class = Some("gold".into());
    let verifier = verifier().issuer("https://login.example").audience("turnpike");
    let identity = verifier.check(&mint(SECRET, &claims).unwrap(), NOW).unwrap();
    assert_eq!(identity.token_id.as_deref(), Some("token-1"));
    assert_eq!(identity.role, Role::Service);
    assert_eq!(identity.name.as_ref().map(Name::as_str), Some("Alice Ångström"));
    assert_eq!(identity.class.as_deref(), Some("gold"));
    assert_eq!(identity.rooms.len(), 1);
}

#[test]
fn an_empty_list_of_rooms_is_not_the_default() {
    let identity = verifier().check(&token(HEADER, payload(r#","rooms":[]"#)), NOW).unwrap();
    assert!(!identity.can(Right::Join, &RoomId::parse("chat:a").unwrap()));
}

#[test]
fn what_others_write_is_accepted() {
    for (what, header, payload) in [
        ("no type", r#"{"alg":"HS256"}"#, payload("")),
        ("type in lower case", r#"{"typ":"jwt","alg":"HS256"}"#, payload("")),
        ("an access token", r#"{"typ":"at+jwt","alg":"HS256"}"#, payload("")),
        ("a key id", r#"{"alg":"HS256","kid":"2026-01"}"#, payload("")),
        (
            "claims of their own",
            HEADER,
            payload(r#","email":"a@example.org","scope":["x"],"nested":{"a":[1]}"#),
        ),
        ("times with a fraction", HEADER, format!(r#"{{"sub":"alice","exp":{NOW}.75,"iat":1.79e9}}"#)),
        (
            "spaces",
            "{ \"alg\" : \"HS256\" }",
            format!("{{\n \"sub\" : \"alice\",\n \"exp\" : {} }}\n", NOW + 9),
        ),
    ] {
        let checked = verifier().check(&token(header, payload), NOW);
        assert!(checked.is_ok(), "{what}: {checked:?}");
    }
}

#[test]
fn clocks_may_differ_by_thirty_seconds() {
    let check = |claims: String| verifier().check(&token(HEADER, claims), NOW);
    let expiring = |exp: u64| check(format!(r#"{{"sub":"alice","exp":{exp}}}"#));
    assert!(expiring(NOW - 29).is_ok());
    assert_eq!(expiring(NOW - 30), Err(TokenError::Expired));
    assert!(check(payload(&format!(r#","nbf":{}"#, NOW + 30))).is_ok());
    assert_eq!(check(payload(&format!(r#","nbf":{}"#, NOW + 31))), Err(TokenError::NotYet));
    assert!(check(payload(&format!(r#","iat":{}"#, NOW + 30))).is_ok());
    assert_eq!(check(payload(&format!(r#","iat":{}"#, NOW + 31))), Err(TokenError::IssuedInFuture));
}

#[test]
fn short_secrets_are_refused() {
    assert!(TokenKey::hs256(&[7; 32]).is_ok());
    assert_eq!(TokenKey::hs256(&[7; 31]).unwrap_err(), KeyError::ShortSecret { bytes: 31 });
    let claims = Claims::new(UserId::parse("alice").unwrap(), NOW);
    assert_eq!(mint(b"short", &claims), Err(KeyError::ShortSecret { bytes: 5 }));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", verifier());
    assert!(!shown.contains("thirty-two") && !shown.contains("116, 104"), "{shown}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        prop_assert!(verifier().check(&text, NOW).is_err());
    }

    /// Also behind a genuine signature, where all of the reading happens.
    #[test]
    fn no_signed_bytes_panic(header in ".{0,60}", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verifier().check(&token(header, &payload), NOW).is_err());
        prop_assert!(verifier().check(&token(HEADER, &payload), NOW).is_err());
    }

    /// One changed character anywhere: refused, or (in a place that means nothing) never another identity.
    #[test]
    fn no_changed_character_passes(index in 0usize..200, with in "[A-Za-z0-9_.=-]") {
        let sound = token(HEADER, payload(""));
        let index = index % sound.len();
        prop_assume!(sound[index..=index] != with);
        let mut changed = sound.clone();
        changed.replace_range(index..=index, &with);
        prop_assert!(verifier().check(&changed, NOW).is_err(), "{changed}");
    }
}
