//! One record in every form.

use super::*;
use crate::chain::{Chain, Stamp};
use crate::{Event, Object, Outcome, Time};

fn record() -> Record {
    let mut chain = Chain::new("node-a/0123456789abcdef".into());
    let event = Event::new(Kind::BanPlaced, Outcome::Success)
        .user("root")
        .role("admin")
        .address("192.0.2.7")
        .agent("curl/8 [x] a=b|c \"q\" \\")
        .connection("c-1")
        .request("r-9")
        .method("POST")
        .route("/v1/bans")
        .reason("flood")
        .on(Object::User, "mallory")
        .detail("seconds", 600_u64);
    let mut line = Vec::new();
    chain.append(&event, Stamp { time: Time(1_767_225_661_007), mono: 5 }, &mut || [7; 16], &mut line);
    Record::read(&line).unwrap()
}

fn pretty(form: Form) -> String {
    let value: serde_json::Value = serde_json::from_str(&form.line(&record())).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn as_it_stands() {
    insta::assert_snapshot!("ndjson", Form::Ndjson.line(&record()));
}

#[test]
fn ocsf() {
    insta::assert_snapshot!("ocsf", pretty(Form::Ocsf));
}

#[test]
fn ecs() {
    insta::assert_snapshot!("ecs", pretty(Form::Ecs));
}

#[test]
fn cef() {
    insta::assert_snapshot!("cef", Form::Cef.line(&record()));
}

#[test]
fn syslog() {
    insta::assert_snapshot!("syslog", Form::Syslog.line(&record()));
}

#[test]
fn every_kind_and_what_is_not_known_has_every_form() {
    for kind in Kind::ALL {
        let mut chain = Chain::new("a/b".into());
        let mut line = Vec::new();
        let stamp = Stamp { time: Time(0), mono: 0 };
        chain.append(&Event::new(*kind, Outcome::Success), stamp, &mut || [0; 16], &mut line);
        let record = Record::read(&line).unwrap();
        for form in Form::ALL {
            assert!(!form.line(&record).contains('\n'));
        }
    }
    let strange = Record::read(br#"{"seq":1,"x":1.5}"#).unwrap();
    assert!(Form::ALL.iter().all(|form| !form.line(&strange).is_empty()));
}
