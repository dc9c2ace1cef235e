//! Pages that may connect, and the tricks of those that may not: the same answer wherever they try.

use turnpike_engine::{EngineConfig, Origins};

use super::http::Answer;
use super::lab::Lab;

const LISTED: [&str; 3] = ["https://app.example", "http://localhost:5173", "https://[2001:db8::1]:8443"];

/// By requests for `chat.example`.
const TRICKS: &[&str] = &[
    "null",
    "NULL",
    "*",
    "",
    " ",
    "app.example",
    "//app.example",
    "https:app.example",
    "https:/app.example",
    "http://app.example",
    "wss://app.example",
    "file://",
    "HTTPS://app.example",
    "https://APP.example",
    "https://app.example.",
    "https://app.example/",
    "https://app.example/x",
    "https://app.example?",
    "https://app.example#",
    "https://app.example:443",
    "https://app.example:8443",
    "https://app.example:",
    "https://app.example:0443",
    "https://app.example:443@evil.example",
    "https://app.example@evil.example",
    "https://user@app.example",
    "https://app.example\\@evil.example",
    "https://app.example%2f.evil.example",
    "https://app.example%00.evil.example",
    "https://app.example.evil.example",
    "https://evil-app.example",
    "https://evilapp.example",
    "https://sub.app.example",
    "https://app-example",
    "https://appxexample",
    "https://app.examplee",
    "https://app.exampl",
    "https://app.example, https://evil.example",
    "https://evil.example, https://app.example",
    "https://app.example https://evil.example",
    "https://evil.example https://app.example",
    "https://app.example\thttps://evil.example",
    "https://\u{430}pp.example",
    "https://xn--pp-6kc.example",
    "http://localhost",
    "http://localhost:5174",
    "https://localhost:5173",
    "http://127.0.0.1:5173",
    "http://[::1]:5173",
    "https://2001:db8::1:8443",
    "https://[2001:DB8::1]:8443",
    "https://[2001:db8:0::1]:8443",
    "https://[2001:db8::1]",
    // Its own name, as a page that was led here by a false answer of a name server has it.
    "http://chat.example",
    "https://chat.example",
    "http://chat.example:80",
    "chrome-extension://abcdefgh",
    "moz-extension://abcdefgh",
    "about:blank",
    "data:",
    "blob:https://app.example/1",
    "javascript:alert(1)",
];

async fn ask(lab: &Lab, line: &str, headers: &str) -> Answer {
    let mut http = lab.http().await;
    http.write(format!("{line} HTTP/1.1\r\nhost: chat.example\r\n{headers}\r\n").as_bytes()).await;
    http.answer().await.expect("an answer")
}

/// What each kind of entry is asked with; a websocket gets as far as any other request would.
fn entries() -> [(&'static str, String, u16); 5] {
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    [
        ("GET /socket.io/?EIO=4&transport=polling", String::new(), 200),
        (
            "OPTIONS /socket.io/?EIO=4&transport=polling",
            "access-control-request-method: POST\r\n".to_owned(),
            204,
        ),
        ("POST /socket.io/?EIO=4&transport=polling&sid=x", "content-length: 0\r\n".to_owned(), 400),
        ("GET /socket.io/?EIO=4&transport=websocket", upgrade.to_owned(), 101),
        ("GET /ws", upgrade.to_owned(), 101),
    ]
}

#[tokio::test]
async fn no_trick_gets_a_page_in() {
    let origins = Origins::Listed(LISTED.map(str::to_owned).to_vec());
    let lab = Lab::start(EngineConfig { origins, ..Lab::config() });
    for (line, headers, _) in entries() {
        for trick in TRICKS {
            let answer = ask(&lab, line, &format!("origin: {trick}\r\n{headers}")).await;
            assert_eq!(answer.status, 403, "{line} from {trick:?}: {answer:?}");
            assert!(!answer.head.contains("access-control-"), "{line} from {trick:?}: {}", answer.head);
        }
        // Two of them are none, whichever is first.
        for two in [
            "origin: https://app.example\r\norigin: https://evil.example\r\n",
            "origin: https://evil.example\r\norigin: https://app.example\r\n",
        ] {
            assert_eq!(ask(&lab, line, &format!("{two}{headers}")).await.status, 403, "{line} {two}");
        }
    }
    assert_eq!(lab.handle().counters().connections_now, 0);
}

#[tokio::test]
async fn pages_that_are_listed_may_and_so_may_what_is_no_page() {
    let origins = Origins::Listed(LISTED.map(str::to_owned).to_vec());
    let lab = Lab::start(EngineConfig { origins, ..Lab::config() });
    for (line, headers, status) in entries() {
        for origin in LISTED {
            let answer = ask(&lab, line, &format!("origin: {origin}\r\n{headers}")).await;
            assert_eq!(answer.status, status, "{line} from {origin}: {answer:?}");
            let allowed = format!("access-control-allow-origin: {}\r\n", origin.to_lowercase());
            assert!(answer.head.contains(&allowed), "{}", answer.head);
            assert!(answer.head.contains("vary: origin\r\n"), "{}", answer.head);
        }
        let answer = ask(&lab, line, &headers).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(!answer.head.contains("access-control-allow-origin"), "{}", answer.head);
    }
}

#[tokio::test]
async fn an_open_engine_tells_every_page_the_same_and_never_with_credentials() {
    let lab = Lab::start(Lab::config());
    for (line, headers, status) in entries() {
        for origin in ["https://evil.example", "null", "https://app.example"] {
            let answer = ask(&lab, line, &format!("origin: {origin}\r\n{headers}")).await;
            assert_eq!(answer.status, status, "{line} from {origin}: {answer:?}");
            assert!(answer.head.contains("access-control-allow-origin: *\r\n"), "{}", answer.head);
            assert!(!answer.head.contains("allow-credentials"), "{}", answer.head);
        }
    }
}
