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
