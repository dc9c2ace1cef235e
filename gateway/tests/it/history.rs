//! `message:history`: pages of a room's past.

use serde_json::{Value, json};

use crate::client::Client;
use crate::house::House;

fn seqs(answer: &Value) -> Vec<u64> {
    answer["messages"].as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pages_forwards_and_backwards() {
    let house = House::start();
    let mut alice = Client::enter(&house, "alice").await;
    alice.join("chat:a").await;
    for number in 1..=9 {
        alice.say("chat:a", number).await;
    }
    // Whoever may read the history need not be in the room.
    let mut bob = Client::enter(&house, "bob").await;
    let mut page = async |request: Value| bob.ask("message:history", &request).await;
    for (request, expected, more) in [
        (json!({ "room": "chat:a" }), vec![1, 2, 3, 4, 5, 6, 7, 8, 9], false),
        (json!({ "room": "chat:a", "limit": 3 }), vec![7, 8, 9], true),
        (json!({ "room": "chat:a", "limit": 3, "before": 7 }), vec![4, 5, 6], true),
        (json!({ "room": "chat:a", "limit": 3, "before": 4 }), vec![1, 2, 3], false),
        (json!({ "room": "chat:a", "limit": 4, "after": 0 }), vec![1, 2, 3, 4], true),
        (json!({ "room": "chat:a", "limit": 4, "after": 4 }), vec![5, 6, 7, 8], true),
        (json!({ "room": "chat:a", "limit": 4, "after": 8 }), vec![9], false),
        (json!({ "room": "chat:a", "after": 9 }), vec![], false),
        (json!({ "room": "chat:a", "after": 99 }), vec![], false),
        (json!({ "room": "chat:a", "before": 1 }), vec![], false),
        (json!({ "room": "chat:empty" }), vec![], false),
    ] {
        let answer = page(request.clone()).await;
        assert_eq!(answer["ok"], true, "{request} {answer}");
        assert_eq!((seqs(&answer), &answer["more"]), (expected, &json!(more)), "{request}");
    }
    for (request, code) in [
        (json!({ "room": "chat:a", "after": 1, "before": 3 }), 101),
        (json!({ "room": "chat:a", "limit": 101 }), 101),
        (json!({ "room": "chat:a", "after": "1" }), 101),
        (json!({ "room": "quiet:a" }), 106),
    ] {
        let refused = page(request.clone()).await;
        assert_eq!(refused["error"]["code"], code, "{request}");
    }
}
