//! The demo page in a real browser, as a newcomer uses it: chat, ticks, typing, a cut, history, live video; and whether it
//! can be used without eyes or a mouse.

use serde_json::json;

use crate::harness::script::seen;
use crate::harness::turnpike::Turnpike;

const PAGE_BYTES_MAX: u64 = 100_000;

#[test]
fn a_newcomer_chats_goes_live_and_watches() {
    let turnpike = Turnpike::start(&[]);
    let mut options = vec![("url", format!("http://{}", turnpike.server.address))];
    // Where somebody wants to look at them.
    if let Ok(folder) = std::env::var("TURNPIKE_PICTURES") {
        options.push(("pictures", folder));
    }
    let told = seen("demo.mjs", &options);
    assert!(told.iter().all(|line| line["fault"].is_null()), "{told:#?}");
    let steps: Vec<_> = told.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["door", "chat", "cut", "history", "live", "over"]);
    for line in &told {
        assert!(line["faults"].is_null() || line["faults"] == json!([]), "{line:#}");
    }
    let [door, chat, cut, history, live, over] = told.as_slice() else { unreachable!("counted above") };
    assert!(door["bytes"].as_u64().unwrap() <= PAGE_BYTES_MAX, "{door}");
    assert_eq!(chat["members"], json!(["ann (you)", "ben"]));
    assert_eq!(chat["file"], "notes.txt: notes");
    assert!(cut["banner"].as_str().unwrap().contains("kept and sent afterwards"), "{cut}");
    assert_eq!(cut["same"], true, "{cut}");
    assert_eq!(history["doubled"], 0, "{history}");
    assert!(history["after"].as_u64() > history["before"].as_u64(), "{history}");
    assert!(live["figures"].as_str().unwrap().contains("fps"), "{live}");
    assert!(over["note"].as_str().unwrap().contains("publisher is away"), "{over}");
}

/// Three windows and no mouse: chat, files, rooms, a cut, live video, and a small screen.
#[test]
fn by_keyboard_alone_a_newcomer_does_it_all() {
    let turnpike = Turnpike::start(&[]);
    let told = seen("keyboard.mjs", &[("url", format!("http://{}", turnpike.server.address))]);
    assert!(told.iter().all(|line| line["fault"].is_null()), "{told:#?}");
    let steps: Vec<_> = told.iter().map(|line| line["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["door", "chat", "messages", "rooms", "live", "over", "phone", "out"]);
    let [door, chat, messages, rooms, live, over, phone, out] = told.as_slice() else {
        unreachable!("counted above")
    };
    // Each stop has a name, is marked and to be seen, and none was lost.
    assert_eq!(out["faults"], json!([]), "{out:#}");
    assert_eq!((&door["door"], &door["inside"]), (&json!("Your name"), &json!("Message to chat:lobby")));
    assert_eq!(chat["voice"]["live"], "polite", "what others write is read out: {chat}");
    assert_eq!(chat["attached"], "Attach a file");
    // From the latest to the one before, and who said it is heard with it.
    let rows: Vec<_> = messages["rows"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    for (row, said) in rows.iter().zip(["notes.txt", "I hear you", "Does anybody hear me?", "notes.txt"]) {
        assert!(row.contains(said), "{said}: {messages}");
    }
    assert!(rows[0].starts_with("ann") && rows[2].starts_with("ben"), "{messages}");
    assert_eq!(messages["stayed"], rows[3], "another message moves nobody away");
    assert_eq!(messages["file"], "notes");
    assert_eq!(rooms["offline"], "Message to chat:lobby", "{rooms}");
    assert_eq!((&rooms["closed"], &rooms["isClosed"]), (&json!("2 here, show who"), &json!(true)), "{rooms}");
    assert_eq!(live["quality"], json!(["combobox", "low"]), "{live}");
    assert_eq!(live["sound"], json!(["Sound off", "Sound on"]), "{live}");
    assert_eq!((&live["muted"], &live["after"]), (&json!("Unmute"), &json!("Message to live:ann")), "{live}");
    // Shown in capitals.
    assert_eq!(over["gone"], "LIVE NOW", "the list whose only stream ended: {over}");
    let menu = json!(["live:ann", "Rooms and streams", "live:ann", "live:ann", "Close", "1 here, show who"]);
    assert_eq!(phone["menu"], menu, "{phone}");
    assert_eq!(out["outside"], "Your name");
}
