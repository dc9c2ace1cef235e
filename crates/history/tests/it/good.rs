//! What must not be called a fault.

use turnpike_history::{Level, What};

use crate::story::{ROOM, Story, body, message};

#[test]
fn nothing_at_all() {
    Story::default().is_good();
    Story::new().wait_ms(20_000).end().is_good();
}

#[test]
fn a_conversation() {
    Story::new().say("m1", 1).say("m2", 2).say("m3", 3).end_with(&["m1", "m2", "m3"]).is_good();
}

#[test]
fn a_repetition_is_acknowledged_as_the_first() {
    let mut story = Story::new();
    story
        .send("alice", "m1")
        .give_all("m1", 1)
        .send("alice", "m1")
        .ack("alice", "m1", 1)
        .ack("alice", "m1", 1);
    story.end_with(&["m1"]).is_good();
}

#[test]
fn what_was_missed_comes_after_the_return() {
    let mut story = Story::new();
    story.say("m1", 1).drop_line("carol").send("alice", "m2").ack("alice", "m2", 2);
    story.give("alice", "m2", 2).give("bob", "m2", 2).wait_ms(500).recover("carol");
    story.members("carol", &["alice", "bob", "carol"]).give("carol", "m2", 2).say("m3", 3);
    story.end_with(&["m1", "m2", "m3"]).is_good();
}

#[test]
fn a_tail_that_was_rolled_back_and_announced() {
    let mut story = Story::new();
    story.say("m1", 1).send("alice", "m2").ack_in("alice", "m2", 1, 2, Level::Stored).give_all("m2", 2);
    for who in ["alice", "bob", "carol"] {
        story.resync(who, 2, 1);
    }
    story.send("alice", "m3").ack_in("alice", "m3", 2, 2, Level::Replicated);
    for who in ["alice", "bob", "carol"] {
        story.tell(who, message(2, 2, "m3", "alice", &body("m3")));
    }
    story.wait_ms(20_000).log_from(1).logged(1, 1, "m1").logged(2, 2, "m3").end().is_good();
}

#[test]
fn a_new_epoch_in_which_nothing_was_lost() {
    let mut story = Story::new();
    story.say("m1", 1).send("alice", "m2").ack_in("alice", "m2", 2, 2, Level::Replicated);
    for who in ["alice", "bob", "carol"] {
        story.tell(who, message(2, 2, "m2", "alice", &body("m2")));
    }
    story.wait_ms(20_000).log_from(1).logged(1, 1, "m1").logged(2, 2, "m2").end().is_good();
}

#[test]
fn history_that_is_really_gone() {
    let mut story = Story::new();
    story.say("m1", 1).drop_line("carol");
    for (id, seq) in [("m2", 2), ("m3", 3), ("m4", 4)] {
        story.send("alice", id).ack("alice", id, seq).give("alice", id, seq).give("bob", id, seq);
    }
    story.recover("carol").members("carol", &["alice", "bob", "carol"]).resync("carol", 1, 4).say("m5", 5);
    story.wait_ms(20_000).log_from(4).logged(1, 4, "m4").logged(1, 5, "m5").end().is_good();
}

#[test]
fn who_left_misses_nothing() {
    let mut story = Story::new();
    story.say("m1", 1).tell("carol", What::Leave { room: ROOM.to_owned() });
    story.presence("alice", &[], &["carol"]).presence("bob", &[], &["carol"]);
    story.send("alice", "m2").ack("alice", "m2", 2).give("alice", "m2", 2).give("bob", "m2", 2);
    story.end_with(&["m1", "m2"]).is_good();
}

#[test]
fn who_comes_later_begins_later() {
    let mut story = Story::new();
    story.say("m1", 1).say("m2", 2).connect("dave", "dave").tell("dave", What::Session { recovered: false });
    story.join("dave", 2).members("dave", &["alice", "bob", "carol", "dave"]);
    for who in ["alice", "bob", "carol"] {
        story.presence(who, &["dave"], &[]);
    }
    story.say("m3", 3).give("dave", "m3", 3).end_with(&["m1", "m2", "m3"]).is_good();
}

#[test]
fn a_message_that_was_refused_and_sent_again_stands_where_it_came() {
    let mut story = Story::new();
    let refused = |id: &str, retryable| What::Refused {
        room: ROOM.to_owned(),
        id: id.to_owned(),
        from: "alice".to_owned(),
        retryable,
    };
    story.send("alice", "m1").tell("alice", refused("m1", true)).say("m2", 1).send("alice", "m1");
    story.ack("alice", "m1", 2).give_all("m1", 2);
    story.send("alice", "m3").tell("alice", refused("m3", false)).end_with(&["m2", "m1"]).is_good();
}

#[test]
fn marks_that_rise() {
    let mut story = Story::new();
    story.say("m1", 1).say("m2", 2).receipt("alice", 1, 0).receipt("alice", 2, 0).receipt("alice", 2, 2);
    story.receipt("bob", 1, 1).end_with(&["m1", "m2"]).is_good();
}

#[test]
fn a_device_that_catches_up() {
    let mut story = Story::new();
    let room = || "user:bob".to_owned();
    let cursor = |seq| What::Cursor { user: "bob".to_owned(), device: "phone".to_owned(), seq };
    story.tell("bob", What::Join { room: room(), epoch: 1, seq: 0, recovered: false });
    for seq in 1..=3u64 {
        let id = format!("d{seq}");
        story.tell(
            "alice",
            What::Send { room: room(), id: id.clone(), from: "alice".to_owned(), body: body(&id) },
        );
        let (epoch, level) = (1, Level::Replicated);
        story.tell(
            "alice",
            What::Ack { room: room(), id: id.clone(), from: "alice".to_owned(), epoch, seq, level },
        );
        let given =
            What::Message { room: room(), epoch: 1, seq, body: body(&id), id, from: "alice".to_owned() };
        story.tell("bob", given);
        story.tell("store", cursor(seq));
    }
    story.wait_ms(20_000).end().is_good();
}

#[test]
fn a_crash_that_is_seen_in_time() {
    let mut story = Story::new();
    story.drop_line("carol").wait_ms(7_000).presence("alice", &[], &["carol"]).presence(
        "bob",
        &[],
        &["carol"],
    );
    story.wait_ms(20_000).end().is_good();
}

#[test]
fn a_goodbye_and_a_return() {
    let mut story = Story::new();
    story.tell("carol", What::Disconnect { clean: true });
    story.presence("alice", &[], &["carol"]).presence("bob", &[], &["carol"]);
    story.wait_ms(1_000).enter("carol", "carol").members("carol", &["alice", "bob", "carol"]);
    story.presence("alice", &["carol"], &[]).presence("bob", &["carol"], &[]).wait_ms(20_000).end().is_good();
}

#[test]
fn several_devices_are_one_user() {
    let mut story = Story::new();
    story.enter("carol's desk", "carol").members("carol's desk", &["alice", "bob", "carol"]);
    story.drop_line("carol").wait_ms(20_000).end().is_good();
}

#[test]
fn who_is_invisible_is_not_there() {
    let mut story = Story::new();
    story.tell("carol", What::Status { invisible: true });
    story.presence("alice", &[], &["carol"]).presence("bob", &[], &["carol"]).presence(
        "carol",
        &[],
        &["carol"],
    );
    story.wait_ms(20_000).end().is_good();
}

#[test]
fn typing_that_ends() {
    let mut story = Story::new();
    story.types("alice").wait_ms(300).typing("bob", &["alice"]).typing("carol", &["alice"]);
    story.wait_ms(3_000).types("alice").wait_ms(5_000).typing("bob", &[]).typing("carol", &[]);
    story
        .types("alice")
        .typing("bob", &["alice"])
        .say("m1", 1)
        .wait_ms(100)
        .typing("bob", &[])
        .end_with(&["m1"]);
    story.is_good();
}

#[test]
fn a_node_that_came_back_may_be_referred_to() {
    let mut story = Story::new();
    story.tell("machine", What::NodeDown { node: "n1".to_owned() }).wait_ms(30_000);
    story.tell("machine", What::Rows { nodes: vec!["n1".to_owned()] });
    story.tell("machine", What::NodeUp { node: "n1".to_owned() }).wait_ms(90_000);
    story.tell("machine", What::Rows { nodes: vec!["n1".to_owned()] }).wait_ms(20_000).end().is_good();
}

#[test]
fn a_right_that_was_given_back() {
    let mut story = Story::new();
    story.say("m1", 1).tell("admin", What::Revoke { user: "carol".to_owned(), room: Some(ROOM.to_owned()) });
    story.tell("carol", What::Leave { room: ROOM.to_owned() }).wait_ms(5_000).join("carol", 1);
    story.say("m2", 2).end_with(&["m1", "m2"]);
    let of_presence = |what: &What| matches!(what, What::Members { .. });
    story.events.retain(|event| !of_presence(&event.what));
    story.is_good();
}
