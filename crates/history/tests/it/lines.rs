//! The form that recorders in other languages write.

use turnpike_history::{Event, Level, LinesError, What, read, write};

use crate::story::Story;

#[test]
fn written_and_read_again() {
    let mut story = Story::new();
    story.say("m1", 1).drop_line("carol").recover("carol").types("alice").end_with(&["m1"]);
    let mut text = Vec::new();
    write(&story.events, &mut text).unwrap();
    assert_eq!(read(&text[..]).unwrap(), story.events);
}

#[test]
fn the_form_of_a_line() {
    let line = br#"{"at_us":17,"who":"c1","event":"ack","room":"chat:a","id":"m1","from":"alice","epoch":1790000000000,"seq":3,"level":"replicated"}

{"at_us":18,"who":"c1","event":"connect","user":"alice"}
{"at_us":19,"who":"machine","event":"end"}
"#;
    let level = Level::Replicated;
    let (room, id, from) = ("chat:a".to_owned(), "m1".to_owned(), "alice".to_owned());
    let ack = What::Ack { room, id, from, epoch: 1_790_000_000_000, seq: 3, level };
    let connect = What::Connect { user: "alice".to_owned(), device: String::new() };
    let event = |at_us, who: &str, what| Event { at_us, who: who.to_owned(), what };
    let expected = [event(17, "c1", ack), event(18, "c1", connect), event(19, "machine", What::End)];
    assert_eq!(read(&line[..]).unwrap(), expected);
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let fault =
        read(&b"{\"at_us\":1,\"who\":\"m\",\"event\":\"end\"}\n{\"at_us\":2,\"who\"\n"[..]).unwrap_err();
    assert!(matches!(fault, LinesError::Line { number: 2, .. }), "{fault:?}");
}
