//! Histories broken by hand: each must be called by its name, and by no other.

use turnpike_history::{Law, Level, What};

use crate::story::{ROOM, Story, body, message};

/// Two messages that all were given, and the log without the last lines.
fn two() -> Story {
    let mut story = Story::new();
    story.say("m1", 1).say("m2", 2).wait_ms(20_000).log_from(1);
    story
}

#[test]
fn p1_an_acknowledged_message_is_not_kept() {
    let mut story = Story::new();
    story.say("m1", 1).send("alice", "m2").ack("alice", "m2", 2).end_with(&["m1"]).breaks(&[Law::P1]);
}

#[test]
fn p1_another_stands_where_it_was_acknowledged() {
    let mut story = Story::new();
    story.send("alice", "m1").send("alice", "m2").ack("alice", "m1", 1).ack("alice", "m2", 1);
    story.give_all("m1", 1).end_with(&["m1"]).breaks(&[Law::P1]);
}

#[test]
fn p1_and_p9_it_is_kept_with_another_payload() {
    let mut story = Story::new();
    story.send("alice", "m1").ack("alice", "m1", 1);
    for who in ["alice", "bob", "carol"] {
        story.tell(who, message(1, 1, "m1", "alice", "other"));
    }
    story.wait_ms(20_000).log_from(1).logged_with(1, 1, "m1", "other").end().breaks(&[Law::P1, Law::P9]);
}

#[test]
fn p2_an_id_stands_twice() {
    let mut story = Story::new();
    story.say("m1", 1).send("alice", "m1").give_all("m1", 2).end_with(&["m1", "m1"]).breaks(&[Law::P2]);
}

#[test]
fn p3_a_number_is_missing_in_the_log() {
    let mut story = two();
    story.send("alice", "m4").logged(1, 1, "m1").logged(1, 2, "m2").logged(1, 4, "m4").end();
    // Whoever was to be given the message cannot have been; only the law about the log is asked here.
    assert!(story.broken_laws().contains(&Law::P3));
    let mut alone = Story::default();
    alone.send("alice", "m1").ack("alice", "m1", 1).send("alice", "m3").ack("alice", "m3", 3);
    alone.log_from(1).logged(1, 1, "m1").logged(1, 3, "m3").breaks(&[Law::P3]);
}

#[test]
fn p3_an_epoch_goes_back() {
    let mut story = Story::default();
    story.send("alice", "m1").ack_in("alice", "m1", 2, 1, Level::Stored);
    story.send("alice", "m2").ack_in("alice", "m2", 1, 2, Level::Stored);
    story.log_from(1).logged(2, 1, "m1").logged(1, 2, "m2");
    assert!(story.broken_laws().contains(&Law::P3));
}

#[test]
fn p4_a_senders_messages_change_places() {
    let mut story = Story::new();
    story.send("alice", "m1").ack("alice", "m1", 2).send("alice", "m2").ack("alice", "m2", 1);
    story.give_all("m2", 1).give_all("m1", 2).end_with(&["m2", "m1"]).breaks(&[Law::P4]);
}

#[test]
fn p4_messages_sent_without_waiting_change_places() {
    let mut story = Story::new();
    story.send("alice", "m1").send("alice", "m2").ack("alice", "m2", 1).ack("alice", "m1", 2);
    story.give_all("m2", 1).give_all("m1", 2).end_with(&["m2", "m1"]).breaks(&[Law::P4]);
}

#[test]
fn p5_two_subscribers_are_given_different_contents() {
    let mut story = Story::new();
    story.send("alice", "m1").ack("alice", "m1", 1).give("alice", "m1", 1).give("bob", "m1", 1);
    story.send("alice", "m2").give("carol", "m2", 1).end_with(&["m1"]);
    // Nobody answers for m2, but that it is not pending is said elsewhere.
    let refused = What::Refused {
        room: ROOM.to_owned(),
        id: "m2".to_owned(),
        from: "alice".to_owned(),
        retryable: false,
    };
    story.tell("alice", refused).breaks(&[Law::P5]);
}

#[test]
fn p6_a_message_is_passed_over() {
    let mut story = two();
    let second = story
        .events
        .iter()
        .rposition(|event| event.who == "carol" && matches!(&event.what, What::Message { seq: 1, .. }));
    story.events.remove(second.unwrap());
    story.logged(1, 1, "m1").logged(1, 2, "m2").end().breaks(&[Law::P6]);
}

#[test]
fn p6_a_message_is_lost_over_a_recovery() {
    let mut story = Story::new();
    story.say("m1", 1).drop_line("carol").send("alice", "m2").ack("alice", "m2", 2);
    story.give("alice", "m2", 2).give("bob", "m2", 2).recover("carol");
    story.members("carol", &["alice", "bob", "carol"]).say("m3", 3);
    story.end_with(&["m1", "m2", "m3"]).breaks(&[Law::P6]);
}

#[test]
fn p6_what_was_rolled_back_was_not_announced() {
    let mut story = Story::new();
    story.say("m1", 1).send("alice", "m2").ack_in("alice", "m2", 1, 2, Level::Stored).give_all("m2", 2);
    for who in ["alice", "bob"] {
        story.resync(who, 2, 1);
    }
    story.end_with(&["m1"]).breaks(&[Law::P6]);
}

#[test]
fn p7_a_message_comes_twice() {
    let mut story = Story::new();
    story.say("m1", 1).give("carol", "m1", 1).end_with(&["m1"]).breaks(&[Law::P7]);
}

#[test]
fn p7_a_message_comes_again_after_a_recovery() {
    let mut story = Story::new();
    story.say("m1", 1).say("m2", 2).drop_line("carol").recover("carol");
    story
        .members("carol", &["alice", "bob", "carol"])
        .give("carol", "m2", 2)
        .end_with(&["m1", "m2"])
        .breaks(&[Law::P7]);
}

#[test]
fn p8_two_subscribers_disagree() {
    let mut story = Story::default();
    story.enter("alice", "alice").enter("bob", "bob");
    story.send("alice", "m1").send("alice", "m2").ack("alice", "m1", 1).ack("alice", "m2", 2);
    story.give("alice", "m1", 1).give("alice", "m2", 2);
    // Numbered for bob as if all were well.
    story.tell("bob", message(2, 1, "m2", "alice", &body("m2")));
    story.tell("bob", message(2, 2, "m1", "alice", &body("m1")));
    story.breaks(&[Law::P8]);
}

#[test]
fn p9_a_message_that_nobody_sent() {
    let mut story = Story::default();
    story.enter("bob", "bob").give("bob", "m1", 1).breaks(&[Law::P9]);
}

#[test]
fn p9_a_message_of_another_room() {
    let mut story = Story::default();
    story.enter("bob", "bob");
    let send = What::Send {
        room: "chat:b".to_owned(),
        id: "m1".to_owned(),
        from: "alice".to_owned(),
        body: body("m1"),
    };
    story.tell("alice", send).give("bob", "m1", 1).breaks(&[Law::P9]);
}

#[test]
fn p10_a_mark_goes_back() {
    let mut story = Story::new();
    story.say("m1", 1).say("m2", 2).receipt("alice", 2, 1).receipt("alice", 1, 1);
    story.end_with(&["m1", "m2"]).breaks(&[Law::P10]);
}

#[test]
fn p10_more_is_read_than_received() {
    Story::new().say("m1", 1).say("m2", 2).receipt("alice", 1, 2).end_with(&["m1", "m2"]).breaks(&[Law::P10]);
}

#[test]
fn p10_a_mark_is_beyond_the_head() {
    Story::new().say("m1", 1).receipt("alice", 2, 0).end_with(&["m1"]).breaks(&[Law::P10]);
}

#[test]
fn p11_a_cursor_passes_what_its_device_was_not_given() {
    let mut story = Story::new();
    let room = || "user:bob".to_owned();
    story.tell("bob", What::Join { room: room(), epoch: 1, seq: 0, recovered: false });
    story.tell(
        "alice",
        What::Send { room: room(), id: "d1".to_owned(), from: "alice".to_owned(), body: body("d1") },
    );
    story.tell("store", What::Cursor { user: "bob".to_owned(), device: "phone".to_owned(), seq: 1 });
    story.breaks(&[Law::P11]);
}

#[test]
fn p12_somebody_is_not_at_the_head() {
    let mut story = Story::new();
    story.say("m1", 1).send("alice", "m2").ack("alice", "m2", 2).give("alice", "m2", 2).give("bob", "m2", 2);
    story.end_with(&["m1", "m2"]).breaks(&[Law::P12]);
}

#[test]
fn p12_a_message_is_never_answered() {
    let mut story = Story::new();
    story.say("m1", 1).send("alice", "m2").end_with(&["m1"]).breaks(&[Law::P12]);
}

#[test]
fn p12_what_a_fault_held_up_comes_too_late() {
    let mut story = Story::new();
    story.fault("cut").send("alice", "m1").ack("alice", "m1", 1).give("alice", "m1", 1).give("bob", "m1", 1);
    story.healed("cut").wait_ms(11_000).give("carol", "m1", 1).end_with(&["m1"]).breaks(&[Law::P12]);
}

/// So many messages that take so long.
fn load(story: &mut Story, from: u64, messages: u64, took_ms: u64) {
    for seq in from..from + messages {
        let id = format!("m{seq}");
        story.send("alice", &id).wait_ms(took_ms).ack("alice", &id, seq);
        story.give("alice", &id, seq).give("bob", &id, seq);
    }
}

#[test]
fn p13_a_stalled_client_holds_others_up() {
    for (during_ms, broken) in [(15, &[][..]), (30, &[Law::P13][..])] {
        let mut story = Story::default();
        story.enter("alice", "alice").enter("bob", "bob");
        load(&mut story, 1, 80, 2);
        story.fault(What::STALLED);
        load(&mut story, 81, 80, during_ms);
        story.healed(What::STALLED).breaks(broken);
    }
}

#[test]
fn p14_a_revoked_user_is_given_something() {
    for (after_ms, broken) in [(900, &[][..]), (1_100, &[Law::P14][..])] {
        for room in [None, Some(ROOM.to_owned())] {
            let mut story = Story::new();
            story
                .say("m1", 1)
                .send("alice", "m2")
                .ack("alice", "m2", 2)
                .give("alice", "m2", 2)
                .give("bob", "m2", 2);
            story
                .tell("admin", What::Revoke { user: "carol".to_owned(), room })
                .wait_ms(after_ms)
                .give("carol", "m2", 2);
            story.end_with(&["m1", "m2"]).breaks(broken);
        }
    }
}

#[test]
fn p15_a_loss_is_announced_that_was_none() {
    let mut story = Story::new();
    story.say("m1", 1).drop_line("carol").send("alice", "m2").ack("alice", "m2", 2);
    story.give("alice", "m2", 2).give("bob", "m2", 2).recover("carol");
    story
        .members("carol", &["alice", "bob", "carol"])
        .resync("carol", 1, 2)
        .end_with(&["m1", "m2"])
        .breaks(&[Law::P15]);
}

#[test]
fn p15_an_ack_claims_a_replica_that_was_not_there() {
    let mut story = Story::new();
    story.tell("machine", What::NoReplica { rooms: vec![ROOM.to_owned()] }).say("m1", 1);
    story
        .tell("machine", What::ReplicaBack { rooms: vec![ROOM.to_owned()] })
        .end_with(&["m1"])
        .breaks(&[Law::P15]);
    let mut stored = Story::new();
    stored.tell("machine", What::NoReplica { rooms: vec![ROOM.to_owned()] }).send("alice", "m1");
    stored.ack_in("alice", "m1", 1, 1, Level::Stored).give_all("m1", 1).end_with(&["m1"]).is_good();
}

#[test]
fn pr1_a_ghost_stays() {
    let mut story = Story::new();
    story.drop_line("carol").wait_ms(9_000).presence("alice", &[], &["carol"]).presence(
        "bob",
        &[],
        &["carol"],
    );
    story.wait_ms(20_000).end().breaks(&[Law::PR1]);
}

#[test]
fn pr1_somebody_is_shown_who_never_came() {
    let mut story = Story::default();
    story.enter("alice", "alice").members("alice", &["alice", "nobody"]).wait_ms(9_000);
    story.presence("alice", &[], &["nobody"]).breaks(&[Law::PR1]);
}

#[test]
fn pr2_somebody_is_shown_offline_who_is_there() {
    let mut story = Story::new();
    story.wait_ms(5_000).presence("alice", &[], &["carol"]).wait_ms(100).presence("alice", &["carol"], &[]);
    story.wait_ms(20_000).end().breaks(&[Law::PR2]);
}

#[test]
fn pr3_a_version_goes_back() {
    let mut story = Story::new();
    let presence = |version| What::Presence {
        room: ROOM.to_owned(),
        version: Some(version),
        joined: vec![],
        left: vec![],
    };
    story.tell("alice", presence(7)).tell("alice", presence(6)).wait_ms(20_000).end().breaks(&[Law::PR3]);
}

#[test]
fn pr4_somebody_joins_twice() {
    Story::new().presence("alice", &["carol"], &[]).wait_ms(20_000).end().breaks(&[Law::PR4]);
}

#[test]
fn pr5_the_set_is_not_that_of_the_connected() {
    let mut story = Story::new();
    story.connect("dave", "dave").tell("dave", What::Session { recovered: false }).join("dave", 0);
    story.presence("alice", &["dave"], &[]).presence("carol", &["dave"], &[]).wait_ms(20_000).end();
    story.breaks(&[Law::PR5]);
}

#[test]
fn pr6_a_row_refers_to_a_node_long_dead() {
    let mut story = Story::new();
    story.tell("machine", What::NodeDown { node: "n1".to_owned() }).wait_ms(61_000);
    story
        .tell("machine", What::Rows { nodes: vec!["n1".to_owned()] })
        .wait_ms(20_000)
        .end()
        .breaks(&[Law::PR6]);
}

#[test]
fn pr7_a_return_within_the_grace_is_told() {
    let mut story = Story::new();
    story.wait_ms(5_000).drop_line("carol").wait_ms(1_000).presence("alice", &[], &["carol"]).wait_ms(1_000);
    story.recover("carol").members("carol", &["alice", "bob", "carol"]).presence("alice", &["carol"], &[]);
    story.wait_ms(20_000).end().breaks(&[Law::PR7]);
}

#[test]
fn ty1_an_indicator_grows_old() {
    let mut story = Story::new();
    story.types("alice").typing("bob", &["alice"]).wait_ms(7_500).typing("bob", &[]).breaks(&[Law::TY1]);
}

#[test]
fn ty1_somebody_is_shown_who_never_typed() {
    Story::new().typing("bob", &["alice"]).typing("bob", &[]).breaks(&[Law::TY1]);
}

#[test]
fn ty2_an_indicator_outlives_the_message() {
    let mut story = Story::new();
    story.types("alice").typing("bob", &["alice"]).say("m1", 1).wait_ms(300).typing("bob", &[]);
    story.end_with(&["m1"]).breaks(&[Law::TY2]);
}

#[test]
fn ty3_the_typist_is_told() {
    Story::new().types("alice").typing("alice", &["alice"]).typing("alice", &[]).breaks(&[Law::TY3]);
}

#[test]
fn ty3_somebody_is_told_who_is_no_member() {
    let mut story = Story::new();
    story
        .connect("dave", "dave")
        .types("alice")
        .typing("dave", &["alice"])
        .typing("dave", &[])
        .breaks(&[Law::TY3]);
}

#[test]
fn ty4_typing_holds_messages_up() {
    for (during_ms, broken) in [(20, &[][..]), (24, &[Law::TY4][..])] {
        let mut story = Story::default();
        story.enter("alice", "alice").enter("bob", "bob");
        load(&mut story, 1, 80, 20);
        story.fault(What::TYPING_LOAD);
        load(&mut story, 81, 80, during_ms);
        story.healed(What::TYPING_LOAD).breaks(broken);
    }
}

#[test]
fn ty5_typing_is_written_down() {
    let dump = What::Dump { place: "audit".to_owned(), text: r#"{"event":"typing:start"}"#.to_owned() };
    Story::new().tell("machine", dump).breaks(&[Law::TY5]);
}

#[test]
fn each_law_can_be_broken() {
    // Read from this file, so that no law is forgotten.
    let text = include_str!("broken.rs");
    for law in Law::ALL {
        assert!(text.contains(&format!("fn {}_", law.name().to_lowercase())), "{law} has no broken history");
    }
}
