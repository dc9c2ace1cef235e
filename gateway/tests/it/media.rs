//! Live video as clients ask for it. The relay is played by the test; everything between it and the client is real.

use std::time::Duration;

use serde_json::{Value, json};
use turnpike_guard::{Claims, MediaGrant, Role as TokenRole};
use turnpike_wire::Code;
use turnpike_wire::limits::SDP_BYTES_MAX;
use turnpike_wire::media::relay::{Ask, FromRelay, Kept, Note, Noted, Request, Role, SessionEvent, ToRelay};
use turnpike_wire::media::{MediaSession, Quality, Sdp, StreamState};

use crate::backend::Backend;
use crate::client::Client;
use crate::house::{House, claims, signed};
use crate::raw::Raw;
use crate::relay::{RECORDING, Relay, live, session};

const STREAM: &str = "live:show";
const OFFER: &str = "v=0\r\nthe client's";

fn grants(grants: &[(&str, &[&str])]) -> Vec<MediaGrant> {
    let grants = grants.iter().map(|(pattern, can)| json!({ "match": pattern, "can": can }));
    serde_json::from_value(grants.collect()).unwrap()
}

fn media_claims(user: &str) -> Claims {
    Claims { media: Some(grants(&[("live:*", &["publish", "subscribe"])])), ..claims(user) }
}

fn media_token(user: &str) -> Value {
    json!({ "token": signed(&media_claims(user)) })
}

pub(crate) async fn enter(house: &House, user: &str) -> Client {
    Client::enter_with(house, &media_token(user)).await.0
}

/// A house whose things happen sooner, so that tests need not wait.
fn quick() -> House {
    House::with(|plan| {
        plan.media.deadline = Duration::from_secs(3);
        plan.media.grace = Duration::from_millis(2_500);
        plan.media.keep_every = Duration::from_millis(500);
    })
}

/// The client asks, the relay answers. Gives what the relay was asked, and what the client was answered.
async fn ask(
    client: &mut Client,
    relay: &mut Relay,
    event: &str,
    data: &Value,
    role: Role,
) -> (Request, Value) {
    let (request, answer) = tokio::join!(
        async {
            let request = relay.request().await;
            relay.answer(&request, STREAM, role);
            request
        },
        client.ask(event, data)
    );
    assert_eq!(answer["ok"], true, "{answer}");
    (request, answer)
}

async fn publish(client: &mut Client, relay: &mut Relay) -> MediaSession {
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    let (request, answer) = ask(client, relay, "media:publish", &data, Role::Publisher).await;
    assert_eq!(session(&answer), request.session);
    request.session
}

async fn subscribe(client: &mut Client, relay: &mut Relay) -> MediaSession {
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    ask(client, relay, "media:subscribe", &data, Role::Viewer).await.0.session
}

pub(crate) async fn state(client: &mut Client) -> Value {
    let event = client.event().await;
    assert_eq!(event.name, "media:state", "{event:?}");
    event.data
}

pub(crate) fn refused(answer: &Value, code: Code) {
    assert_eq!(answer["error"]["code"], code.number(), "{answer}");
}

#[tokio::test]
async fn a_publisher_and_a_viewer_are_brought_to_the_relay() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    let (request, answer) = ask(&mut alice, &mut relay, "media:publish", &data, Role::Publisher).await;
    let name = request.session.to_string();
    assert_eq!(request.session.relay, relay.own().0);
    assert_eq!((&*request.by.user, &*request.by.connection), ("alice", &*alice.sid));
    assert_eq!(
        request.ask,
        Ask::Publish { stream: STREAM.parse().unwrap(), sdp: Sdp::parse(OFFER).unwrap() }
    );
    assert_eq!(
        answer,
        json!({ "ok": true, "session": name, "stream": STREAM, "type": "answer", "sdp": "v=0\r\nthe relay's" })
    );
    relay.claim(STREAM).await;
    let mut bob = enter(&house, "bob").await;
    let data = json!({ "stream": STREAM });
    let (request, answer) = ask(&mut bob, &mut relay, "media:subscribe", &data, Role::Viewer).await;
    assert_eq!(request.ask, Ask::Subscribe { stream: STREAM.parse().unwrap(), sdp: None });
    assert_eq!(answer["type"], "offer", "who brings none is offered one");
    let name = answer["session"].as_str().unwrap();
    for (event, data, expected) in [
        ("media:answer", json!({ "sdp": OFFER }), Ask::Answer { sdp: Sdp::parse(OFFER).unwrap() }),
        ("media:candidate", json!({ "candidate": null }), Ask::Candidate { candidate: None }),
        ("media:candidate", json!({ "candidate": { "candidate": "" } }), Ask::Candidate { candidate: None }),
        ("media:resume", json!({}), Ask::Resume),
    ] {
        let mut data = data;
        data["session"] = name.into();
        let (request, answer) = ask(&mut bob, &mut relay, event, &data, Role::Viewer).await;
        assert_eq!((request.ask, &request.session.to_string()), (expected, &name.to_owned()));
        if event != "media:resume" {
            assert_eq!(answer, json!({ "ok": true }));
        }
    }
    let data = json!({ "session": name, "mid": "1", "quality": "low", "width": 320 });
    let (request, _) = ask(&mut bob, &mut relay, "media:layer", &data, Role::Viewer).await;
    let Ask::Layer(wish) = request.ask else { panic!("{request:?}") };
    assert_eq!((wish.mid.as_deref(), wish.quality, wish.width), (Some("1"), Some(Quality::Low), Some(320)));
    let data = json!({ "session": name, "kind": "video", "muted": true });
    let (request, _) = ask(&mut bob, &mut relay, "media:mute", &data, Role::Viewer).await;
    assert!(matches!(request.ask, Ask::Mute(mute) if mute.muted));
    let data = json!({ "session": name, "sdp": OFFER });
    let (request, answer) = ask(&mut bob, &mut relay, "media:restart", &data, Role::Viewer).await;
    assert!(matches!(request.ask, Ask::Restart { .. }));
    assert_eq!((&answer["type"], &answer["sdp"]), (&json!("answer"), &json!("v=0\r\nthe relay's")));
    assert_eq!(house.metric("turnpike_gateway_media_sessions", &[]), 2);
    ask(&mut bob, &mut relay, "media:stop", &json!({ "session": name }), Role::Viewer).await;
    assert_eq!(house.metric("turnpike_gateway_media_sessions", &[]), 1);
}

#[tokio::test]
async fn rights_are_those_of_the_token() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    relay.claim(STREAM).await;
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    for (user, media, event) in [
        ("alice", None, "media:publish"),
        ("alice", None, "media:subscribe"),
        ("bob", Some(grants(&[("live:*", &["subscribe", "record"])])), "media:publish"),
        ("carol", Some(grants(&[("live:*", &["publish"])])), "media:subscribe"),
        ("dave", Some(grants(&[("live:other", &["publish", "subscribe"])])), "media:publish"),
    ] {
        let token = signed(&Claims { media, ..claims(user) });
        let (mut client, _) = Client::enter_with(&house, &json!({ "token": token })).await;
        refused(&client.ask(event, &data).await, Code::Forbidden);
    }
    assert!(relay.has_heard_nothing());
    let backend = Claims { role: TokenRole::Service, ..claims("backend") };
    let (mut backend, _) = Client::enter_with(&house, &json!({ "token": signed(&backend) })).await;
    publish(&mut backend, &mut relay).await;
}

#[tokio::test]
async fn a_stream_is_recorded_by_those_who_may() {
    let house = quick();
    let mut relay = Relay::open(&house).await;
    let recorder = |grants_of: &[(&str, &[&str])]| json!({ "token": signed(&Claims { media: Some(grants(grants_of)), ..claims("carol") }) });
    let (mut carol, _) = Client::enter_with(&house, &recorder(&[("live:show", &["record"])])).await;
    let data = |on: bool| json!({ "stream": STREAM, "on": on });
    refused(&carol.ask("media:record", &data(true)).await, Code::NoSuchStream);
    relay.claim(STREAM).await;
    relay.claim("live:other").await;
    for on in [true, false] {
        let data = data(on);
        let ((), answer) = tokio::join!(
            async {
                let ToRelay::Record { id, stream, wanted } = relay.word().await else { panic!() };
                assert_eq!((&*stream, wanted), (STREAM, on));
                relay.say(&[FromRelay::Recorded { id, recording: RECORDING.into() }]);
            },
            carol.ask("media:record", &data)
        );
        assert_eq!(answer, json!({ "ok": true, "stream": STREAM, "on": on, "recording": RECORDING }));
    }
    // What the relay cannot do is told in its words.
    let stop = data(false);
    let ((), answer) = tokio::join!(
        async {
            let ToRelay::Record { id, .. } = relay.word().await else { panic!() };
            relay.refuse(id, Code::NoSuchStream);
        },
        carol.ask("media:record", &stop)
    );
    refused(&answer, Code::NoSuchStream);
    refused(
        &carol.ask("media:record", &json!({ "stream": "live:other", "on": true })).await,
        Code::Forbidden,
    );
    refused(&carol.ask("media:record", &json!({ "stream": STREAM })).await, Code::BadRequest);
    let (mut dave, _) = Client::enter_with(&house, &recorder(&[("live:*", &["publish", "subscribe"])])).await;
    refused(&dave.ask("media:record", &data(true)).await, Code::Forbidden);
    assert!(relay.has_heard_nothing());
    let backend = Claims { role: TokenRole::Service, ..claims("backend") };
    let mut raw = Raw::open(&house, Some(&signed(&backend))).await;
    raw.next().await.unwrap();
    raw.send(&json!({ "id": 1, "event": "media:record", "data": data(true) })).await;
    let ToRelay::Record { id, .. } = relay.word().await else { panic!() };
    relay.say(&[FromRelay::Recorded { id, recording: RECORDING.into() }]);
    assert_eq!(raw.next().await.unwrap()["recording"], RECORDING);
    // Who is in the stream is told.
    let mut alice = enter(&house, "alice").await;
    let session = publish(&mut alice, &mut relay).await;
    let told = StreamState { recording: true, ..live(1) };
    relay.event(session, 1, SessionEvent::State { state: told, whole: false });
    assert_eq!(state(&mut alice).await["recording"], true);
}

#[tokio::test]
async fn a_session_is_its_users_alone() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let session = publish(&mut alice, &mut relay).await;
    let mut mallory = enter(&house, "mallory").await;
    for event in ["media:resume", "media:stop", "media:candidate"] {
        let answer = mallory.ask(event, &json!({ "session": session.to_string() })).await;
        refused(&answer, Code::NoSuchStream);
    }
    assert!(relay.has_heard_nothing());
    // Of one that this gateway does not know, the relay decides.
    let other = MediaSession { key: session.key ^ 1, ..session };
    let data = json!({ "session": other.to_string() });
    let ((), answer) = tokio::join!(
        async {
            let request = relay.request().await;
            assert_eq!(&*request.by.user, "mallory");
            relay.refuse(request.id, Code::NoSuchStream);
        },
        mallory.ask("media:stop", &data)
    );
    refused(&answer, Code::NoSuchStream);
    // And of a relay that is nowhere, nobody.
    let nowhere = MediaSession { relay: 1, ..session };
    refused(&mallory.ask("media:stop", &json!({ "session": nowhere.to_string() })).await, Code::NoSuchStream);
}

#[tokio::test]
async fn without_a_relay_there_is_no_video() {
    let house = quick();
    let mut alice = enter(&house, "alice").await;
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    let answer = alice.ask("media:publish", &data).await;
    refused(&answer, Code::NoRelay);
    assert!(answer["error"]["retryable"] == true && answer["error"]["retry_after_ms"].as_u64() > Some(0));
    refused(&alice.ask("media:subscribe", &data).await, Code::NoSuchStream);
    let relay = Relay::open(&house).await;
    relay.offer(false).await;
    refused(&alice.ask("media:publish", &data).await, Code::NoRelay);
}

#[tokio::test]
async fn a_relay_that_does_not_answer_is_asked_again_and_then_given_up() {
    let house = quick();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    // The first time its answer is lost.
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    let ((), answer) = tokio::join!(
        async {
            let (first, second) = (relay.request().await, relay.request().await);
            assert_eq!(first, second, "the same, word for word");
            relay.answer(&second, STREAM, Role::Publisher);
            relay.answer(&second, STREAM, Role::Publisher);
        },
        alice.ask("media:publish", &data)
    );
    assert_eq!(answer["ok"], true);
    let held = session(&answer);
    assert!(house.metric("turnpike_gateway_media_requests_repeated_total", &[]) > 0);
    // Chat goes on while a relay is waited for.
    alice.tell("media:publish", &data).await;
    assert_eq!(alice.ask("ping", &json!(1)).await["data"], 1);
    let event = alice.event().await;
    assert_eq!((&*event.name, &event.data["code"]), ("error", &json!(123)));
    let asked = relay.request().await;
    let gone = loop {
        match relay.word().await {
            ToRelay::Request(again) => assert_eq!(*again, asked),
            ToRelay::Gone { sessions } => break sessions,
            word => panic!("{word:?}"),
        }
    };
    assert_eq!(gone, [asked.session], "should it have begun after all");
    let answer = alice.ask("media:resume", &json!({ "session": held.to_string() })).await;
    refused(&answer, Code::Unavailable);
}

#[tokio::test]
async fn what_a_relay_refuses_is_told_in_its_words() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    for code in [Code::StreamTaken, Code::BadSdp, Code::CodecNotSupported, Code::NoRelay] {
        let ((), answer) = tokio::join!(
            async {
                let request = relay.request().await;
                relay.refuse(request.id, code);
            },
            alice.ask("media:publish", &data)
        );
        refused(&answer, code);
    }
    assert_eq!(house.metric("turnpike_gateway_media_sessions", &[]), 0);
    // One that begins a session and says nothing of how to get there.
    let (request, answer) = tokio::join!(
        async {
            let request = relay.request().await;
            let empty = Request { ask: Ask::Stop, ..request.clone() };
            relay.answer(&empty, STREAM, Role::Publisher);
            request
        },
        alice.ask("media:publish", &data)
    );
    refused(&answer, Code::Internal);
    assert_eq!(relay.gone().await, [request.session]);
}

#[tokio::test]
async fn what_the_relay_says_of_a_session_comes_to_its_client_and_after_the_answer() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let mut bob = enter(&house, "bob").await;
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    alice.tell("media:publish", &data).await;
    // Without an ack nobody knows the session's name, and what comes of it comes all the same.
    let request = relay.request().await;
    relay.answer(&request, STREAM, Role::Publisher);
    let first = request.session;
    let audience = Some(vec!["bob".parse().unwrap()]);
    let told = StreamState { audience, ..live(1) };
    relay.event(first, 1, SessionEvent::State { state: told, whole: false });
    assert_eq!(
        state(&mut alice).await,
        json!({ "session": first.to_string(), "stream": STREAM, "role": "publisher", "state": "live", "tracks": [],
                "viewers": 1, "audience": ["bob"] })
    );
    // What is said right behind the answer waits for it.
    let (request, answer) = tokio::join!(
        async {
            let request = relay.request().await;
            relay.answer(&request, STREAM, Role::Publisher);
            relay.state(request.session, 1, 5);
            request
        },
        alice.ask("media:publish", &data)
    );
    let second = session(&answer);
    assert_eq!(second, request.session);
    assert_eq!(state(&mut alice).await["viewers"], 5);
    relay.event(second, 2, SessionEvent::Offer { sdp: Sdp::parse("v=0 again").unwrap() });
    relay.event(second, 3, SessionEvent::Candidate { candidate: None });
    relay.state(second, 4, 6);
    let offer = alice.event().await;
    assert_eq!(offer.name, "media:offer");
    assert_eq!(offer.data, json!({ "session": second.to_string(), "type": "offer", "sdp": "v=0 again" }));
    let candidate = alice.event().await;
    assert_eq!((&*candidate.name, &candidate.data["candidate"]), ("media:candidate", &Value::Null));
    assert_eq!(state(&mut alice).await["viewers"], 6);
    // It ends, and nothing follows.
    let ended = StreamState::ended(Some(Code::NoSuchStream));
    relay.event(second, 5, SessionEvent::State { state: ended, whole: false });
    let told = state(&mut alice).await;
    assert_eq!(
        (&told["state"], &told["code"], &told["retryable"]),
        (&json!("ended"), &json!(120), &json!(false))
    );
    relay.state(second, 6, 7);
    relay.state(first, 2, 8);
    assert_eq!(state(&mut alice).await["viewers"], 8);
    bob.has_nothing_more().await;
    assert_eq!(house.metric("turnpike_gateway_media_sessions", &[]), 1);
}

#[tokio::test]
async fn candidates_follow_their_answer_in_the_order_in_which_they_were_sent() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    relay.claim(STREAM).await;
    let mut alice = enter(&house, "alice").await;
    let session = subscribe(&mut alice, &mut relay).await.to_string();
    alice.tell("media:answer", &json!({ "session": session, "sdp": OFFER })).await;
    for index in 0..10 {
        let candidate = json!({ "candidate": format!("candidate:{index}"), "sdpMLineIndex": 0 });
        alice.tell("media:candidate", &json!({ "session": session, "candidate": candidate })).await;
    }
    // The answer is lost on its way, and comes when it is said again.
    let lost = relay.request().await;
    assert!(matches!(lost.ask, Ask::Answer { .. }));
    let again = relay.request().await;
    assert_eq!(lost, again, "nothing overtakes it");
    relay.answer(&again, STREAM, Role::Viewer);
    for index in 0..10 {
        let request = relay.request().await;
        let Ask::Candidate { candidate: Some(candidate) } = &request.ask else { panic!("{request:?}") };
        assert_eq!(candidate.candidate.as_str(), format!("candidate:{index}"));
        relay.answer(&request, STREAM, Role::Viewer);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_it_is_passed_on() {
    let house = House::with(|plan| plan.media.sessions_per_connection_max = 3);
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let long = "x".repeat(SDP_BYTES_MAX + 1);
    for (data, code) in [
        (json!({ "stream": STREAM, "sdp": long }), Code::TooLarge),
        (json!({ "stream": STREAM, "sdp": "" }), Code::BadSdp),
        (json!({ "stream": STREAM }), Code::BadRequest),
        (json!({ "stream": "live show", "sdp": OFFER }), Code::BadRequest),
        (json!({ "stream": STREAM, "sdp": 5 }), Code::BadRequest),
        (json!([]), Code::BadRequest),
    ] {
        refused(&alice.ask("media:publish", &data).await, code);
    }
    for data in [json!({}), json!({ "session": "x" }), json!({ "session": 5 }), json!(null)] {
        for event in [
            "media:restart",
            "media:resume",
            "media:answer",
            "media:candidate",
            "media:layer",
            "media:mute",
            "media:stop",
        ] {
            refused(&alice.ask(event, &data).await, Code::BadRequest);
        }
    }
    assert!(relay.has_heard_nothing());
    for _ in 0..3 {
        publish(&mut alice, &mut relay).await;
    }
    let data = json!({ "stream": STREAM, "sdp": OFFER });
    refused(&alice.ask("media:publish", &data).await, Code::LimitReached);
    assert!(relay.has_heard_nothing());
    let mut other = enter(&house, "alice").await;
    publish(&mut other, &mut relay).await;
}

#[tokio::test]
async fn nonsense_of_a_relay_harms_nobody() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let held = publish(&mut alice, &mut relay).await;
    let refused = || house.metric("turnpike_gateway_media_words_refused_total", &[]);
    for (letter, count) in [
        (&b""[..], 1),
        (b"\xff\x00", 1),
        (b"{}", 1),
        (b"[1,\"x\",{\"Event\":{}}]", 3),
        (b"[{\"Answered\":{\"id\":-1}}]", 1),
    ] {
        let before = refused();
        relay.say_raw(letter);
        house.until("it is refused", |_| refused() == before + count).await;
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let before = refused();
    relay.say_raw(deep.as_bytes());
    house.until("it is refused", |_| refused() > before).await;
    // Another relay's session, one that is nobody's, an answer to nothing.
    let foreign = MediaSession { relay: held.relay ^ 1, ..held };
    let unknown = MediaSession { key: held.key ^ 1, ..held };
    relay.state(foreign, 1, 1);
    relay.state(unknown, 1, 1);
    relay.say(&[
        FromRelay::Done { id: u64::MAX },
        FromRelay::Foreign { sessions: vec![foreign, unknown] },
        FromRelay::Over { sessions: vec![foreign, unknown] },
    ]);
    // What it says of its own among things of a later version.
    let event = FromRelay::Event {
        session: held,
        number: 1,
        event: SessionEvent::State { state: live(9), whole: false },
    };
    let event = serde_json::to_string(&event).unwrap();
    relay.say_raw(format!("[{{\"Later\":1}},{event}]").as_bytes());
    assert_eq!(state(&mut alice).await["viewers"], 9);
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn sessions_are_kept_until_their_connection_says_goodbye() {
    let house = quick();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let one = publish(&mut alice, &mut relay).await;
    let other = publish(&mut alice, &mut relay).await;
    relay.state(one, 1, 1);
    relay.state(one, 3, 3);
    state(&mut alice).await;
    state(&mut alice).await;
    let heard =
        |kept: &[Kept], session| kept.iter().find(|kept| kept.session == session).map(|kept| kept.heard);
    // It may have been said before anything was heard.
    let kept = loop {
        let kept = relay.kept().await;
        if heard(&kept, one) != Some(0) && heard(&kept, other).is_some() {
            break kept;
        }
    };
    assert_eq!((heard(&kept, one), heard(&kept, other)), (Some(1), Some(0)), "the second was missed");
    // One that the relay does not have any more is over.
    relay.say(&[FromRelay::Over { sessions: vec![other] }]);
    let told = state(&mut alice).await;
    assert_eq!((&told["session"], &told["state"]), (&json!(other.to_string()), &json!("ended")));
    alice.leave_namespace().await;
    assert_eq!(relay.gone().await, [one]);
    assert_eq!(house.metric("turnpike_gateway_media_sessions", &[]), 0);
}

#[tokio::test]
async fn a_connection_that_broke_has_its_sessions_when_it_is_back_in_time() {
    let house = House::with(|plan| plan.media.keep_every = Duration::from_millis(100));
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let (one, other) = (publish(&mut alice, &mut relay).await, publish(&mut alice, &mut relay).await);
    let memory = alice.cut();
    // What is told to a connection that only seems to be there goes with it.
    house.until("the cut is seen", |house| house.metric("turnpike_gateway_sessions_away", &[]) == 1).await;
    // Meanwhile one ends.
    let ended = StreamState::ended(Some(Code::NoRelay));
    relay.event(other, 1, SessionEvent::State { state: ended, whole: false });
    relay.state(one, 1, 7);
    // And nobody is there to be told.
    while relay.kept().await.iter().any(|kept| kept.heard == 0) {}
    let mut auth = media_token("alice");
    auth["pid"] = memory.pid.unwrap().into();
    auth["offset"] = memory.offset.unwrap().into();
    let (mut alice, greeting) = Client::enter_with(&house, &auth).await;
    assert_eq!(greeting["recovered"], true);
    let told = state(&mut alice).await;
    assert_eq!((&told["session"], &told["code"]), (&json!(other.to_string()), &json!(123)));
    let request = relay.request().await;
    assert_eq!((request.session, &request.ask), (one, &Ask::Resume));
    relay.answer(&request, STREAM, Role::Publisher);
    relay.event(one, 2, SessionEvent::State { state: live(8), whole: true });
    assert_eq!(state(&mut alice).await["viewers"], 8);
    alice.has_nothing_more().await;
}

#[tokio::test]
async fn a_connection_that_stays_away_loses_its_sessions() {
    let house = quick();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let session = publish(&mut alice, &mut relay).await;
    alice.cut();
    assert_eq!(relay.gone().await, [session]);
    // Also the raw one, of which nothing else is kept.
    let mut raw = Raw::open(&house, Some(&signed(&media_claims("bob")))).await;
    raw.next().await.unwrap();
    raw.send(&json!({ "id": 1, "event": "media:publish", "data": { "stream": STREAM, "sdp": OFFER } })).await;
    let request = relay.request().await;
    relay.answer(&request, STREAM, Role::Publisher);
    assert_eq!(raw.next().await.unwrap()["session"], request.session.to_string());
    drop(raw);
    assert_eq!(relay.gone().await, [request.session]);
}

#[tokio::test]
async fn a_new_connection_of_the_user_goes_on_with_a_session() {
    let house = quick();
    let mut relay = Relay::open(&house).await;
    let mut raw = Raw::open(&house, Some(&signed(&media_claims("alice")))).await;
    raw.next().await.unwrap();
    raw.send(&json!({ "id": 1, "event": "media:publish", "data": { "stream": STREAM, "sdp": OFFER } })).await;
    let request = relay.request().await;
    relay.answer(&request, STREAM, Role::Publisher);
    raw.next().await.unwrap();
    relay.state(request.session, 1, 3);
    let told = raw.next().await.unwrap();
    assert_eq!((&told["event"], &told["data"]["viewers"]), (&json!("media:state"), &json!(3)));
    // Before the earlier connection is known to be dead.
    let mut again = enter(&house, "alice").await;
    let data = json!({ "session": request.session.to_string() });
    let (resumed, answer) = ask(&mut again, &mut relay, "media:resume", &data, Role::Publisher).await;
    assert_eq!((&*resumed.by.connection, resumed.session), (&*again.sid, request.session));
    assert_eq!((&answer["stream"], &answer["role"]), (&json!(STREAM), &json!("publisher")));
    drop(raw);
    relay.state(request.session, 2, 4);
    assert_eq!(state(&mut again).await["viewers"], 4);
    // The end of the earlier one, and its grace, are nothing to the session.
    house.until("the cut is seen", |house| house.gateway.counters().sockets_now == 1).await;
    for _ in 0..8 {
        assert_eq!(relay.kept().await.len(), 1);
    }
    again.leave_namespace().await;
    assert_eq!(relay.gone().await, [request.session]);
}

#[tokio::test]
async fn a_session_that_another_gateway_had_is_taken_by_its_name() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let session = MediaSession { relay: relay.own().0, key: 7 };
    let mut alice = enter(&house, "alice").await;
    let data = json!({ "session": session.to_string() });
    ask(&mut alice, &mut relay, "media:resume", &data, Role::Viewer).await;
    relay.event(session, 41, SessionEvent::State { state: live(5), whole: true });
    assert_eq!(state(&mut alice).await["viewers"], 5);
    // The other has it back.
    relay.say(&[FromRelay::Foreign { sessions: vec![session] }]);
    house.until("it is gone", |house| house.metric("turnpike_gateway_media_sessions", &[]) == 0).await;
    alice.has_nothing_more().await;
    // With a token that does not grant the stream the name is worth nothing.
    let (mut poor, _) = Client::enter_with(&house, &json!({ "token": signed(&claims("alice")) })).await;
    let ((), answer) = tokio::join!(
        async {
            let request = relay.request().await;
            relay.answer(&request, STREAM, Role::Viewer);
        },
        poor.ask("media:resume", &data)
    );
    refused(&answer, Code::Forbidden);
    assert_eq!(relay.gone().await, [session]);
}

#[tokio::test]
async fn what_a_new_token_does_not_grant_ends() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let session = publish(&mut alice, &mut relay).await;
    let same = signed(&media_claims("alice"));
    assert_eq!(alice.ask("auth:refresh", &json!({ "token": same })).await["ok"], true);
    assert!(relay.has_heard_nothing());
    let less = Claims { media: Some(grants(&[("live:*", &["subscribe"])])), ..claims("alice") };
    assert_eq!(alice.ask("auth:refresh", &json!({ "token": signed(&less) })).await["ok"], true);
    assert_eq!(relay.gone().await, [session]);
    let told = state(&mut alice).await;
    assert_eq!((&told["state"], &told["code"]), (&json!("ended"), &json!(106)));
}

#[tokio::test]
async fn sessions_of_a_relay_that_is_gone_are_over() {
    let house = quick();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let session = publish(&mut alice, &mut relay).await;
    relay.vanish().await;
    let told = state(&mut alice).await;
    assert_eq!((&told["session"], &told["code"]), (&json!(session.to_string()), &json!(123)));
    assert_eq!(told["retryable"], true);
}

#[tokio::test]
async fn a_backend_is_told_when_a_stream_starts_and_ends() {
    let mut backend = Backend::start(&[]).await;
    let webhooks = backend.webhooks();
    let house = House::with(|plan| plan.webhooks = vec![webhooks]);
    let mut relay = Relay::open(&house).await;
    let whats = [Noted::Started, Noted::Ended { duration_ms: 60_000, viewers_max: 40 }];
    for (id, what) in (1..).zip(whats) {
        let (stream, user) = (STREAM.parse().unwrap(), "alice".parse().unwrap());
        relay.say(&[FromRelay::Note(Note { id, life: 7, stream, user, what })]);
        assert_eq!(relay.word().await, ToRelay::Noted { id });
    }
    let events = backend.events(2).await;
    let told = |event: &Value| (event["type"].clone(), event["stream"].clone(), event["user"].clone());
    assert_eq!(told(&events[0]), (json!("stream.started"), json!(STREAM), json!("alice")));
    assert_eq!(told(&events[1]), (json!("stream.ended"), json!(STREAM), json!("alice")));
    assert_eq!((&events[1]["duration_ms"], &events[1]["viewers_max"]), (&json!(60_000), &json!(40)));
    assert_ne!(events[0]["id"], events[1]["id"]);
}

#[tokio::test]
async fn a_relay_that_leaves_says_so_and_the_session_goes_on() {
    let house = House::start();
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let session = publish(&mut alice, &mut relay).await;
    let state_told = SessionEvent::State { state: live(3).moving(8_000), whole: false };
    relay.event(session, 1, state_told);
    let told = state(&mut alice).await;
    assert_eq!(
        (&told["state"], &told["code"], &told["ends_in_ms"], &told["viewers"]),
        (&json!("moving"), &json!(123), &json!(8_000), &json!(3))
    );
    assert_eq!((&told["reason"], &told["retryable"]), (&json!("no_relay"), &json!(true)));
    let data = json!({ "session": session.to_string(), "kind": "audio", "muted": true });
    ask(&mut alice, &mut relay, "media:mute", &data, Role::Publisher).await;
    let data = json!({ "session": session.to_string() });
    ask(&mut alice, &mut relay, "media:stop", &data, Role::Publisher).await;
}

#[tokio::test]
async fn a_relay_that_another_has_lost_is_asked_itself() {
    // Long enough to be told from being waited for.
    let house = House::with(|plan| plan.media.deadline = Duration::from_secs(15));
    let mut relay = Relay::open(&house).await;
    let mut alice = enter(&house, "alice").await;
    let session = publish(&mut alice, &mut relay).await;
    relay.claim(STREAM).await;
    let lost = [FromRelay::Lost { relay: relay.own().0 }];
    // It lives: nothing happens, and it can be asked.
    relay.say(&lost);
    let ToRelay::Ping { id } = relay.word().await else { panic!("it is not asked") };
    relay.say(&[FromRelay::Done { id }]);
    let data = json!({ "session": session.to_string(), "kind": "audio", "muted": true });
    ask(&mut alice, &mut relay, "media:mute", &data, Role::Publisher).await;
    // It does not answer, whoever waits for it waits no longer, and its sessions are over.
    let begun = std::time::Instant::now();
    let ((), answer) = tokio::join!(
        async {
            relay.request().await;
            relay.say(&lost);
        },
        alice.ask("media:mute", &data)
    );
    refused(&answer, Code::NoRelay);
    let told = state(&mut alice).await;
    assert_eq!(
        (&told["state"], &told["code"], &told["retryable"]),
        (&json!("ended"), &json!(123), &json!(true))
    );
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let offer = json!({ "stream": STREAM, "sdp": OFFER });
    refused(&alice.ask("media:subscribe", &offer).await, Code::NoRelay);
    refused(&alice.ask("media:resume", &json!({ "session": session.to_string() })).await, Code::NoSuchStream);
    assert_eq!(house.metric("turnpike_gateway_media_relays_lost_total", &[]), 1);
    // A sign of life after all: what it still has is given up, and it takes newcomers.
    let mut is_answered = false;
    while !is_answered {
        match relay.word().await {
            ToRelay::Ping { id } => relay.say(&[FromRelay::Done { id }]),
            ToRelay::Gone { sessions } => {
                assert_eq!(sessions, [session]);
                is_answered = true;
            }
            // Said again before it was lost.
            ToRelay::Request(_) => {}
            word => panic!("{word:?}"),
        }
    }
    subscribe(&mut alice, &mut relay).await;
}
