//! The disk of the audit log is full, to the last byte of the reserve: who wants to come in is refused, or let in without a
//! record, as it was configured; and all is well again when there is room. The disk is a file system in memory, in a mount
//! namespace of the node's own.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use turnpike_lab::{Directory, Node, turnpike};

/// Past it something is broken.
const BROKEN: Duration = Duration::from_mins(1);

struct Place {
    directory: Directory,
    node: Node,
}

impl Place {
    fn open(on_failure: &str) -> Self {
        let directory = Directory::new("full-disk").unwrap();
        let disk = directory.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let program = directory.path().join("turnpike");
        let (disk, binary) = (disk.to_str().unwrap(), turnpike().unwrap());
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" != inside ]; then exec unshare --map-root-user --mount \"$0\" inside \"$@\"; fi\nshift\n\
             mount -t tmpfs -o size=3m none '{disk}' || exit 1\nexec '{}' \"$@\"\n",
            binary.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let log = format!("{disk}/audit");
        let node = Node::start_binary(
            &program,
            &[
                ("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"),
                ("AUDIT_DIR", &log),
                ("TURNPIKE_AUDIT_RESERVE_BYTES", "64KiB"),
                ("TURNPIKE_AUDIT_ON_FAILURE", on_failure),
            ],
        )
        .unwrap();
        Self { directory, node }
    }

    /// The disk, as the node sees it.
    fn disk(&self) -> PathBuf {
        let disk = self.directory.path().join("disk");
        Path::new(&format!("/proc/{}/root", self.node.id())).join(disk.strip_prefix("/").unwrap())
    }

    /// Takes all the room that there is.
    fn fill(&self) {
        let mut file = File::options().append(true).create(true).open(self.disk().join("filler")).unwrap();
        for size in [64 * 1024, 1024, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn is_ready(&self) -> bool {
        use std::io::Read as _;
        let mut stream = std::net::TcpStream::connect(self.node.admin).unwrap();
        stream.set_read_timeout(Some(BROKEN)).unwrap();
        write!(stream, "GET /ready HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.node.admin)
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 200")
    }

    /// Whether somebody is let in over Socket.IO.
    async fn lets_in(&self, token: &str) -> bool {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", self.node.gateway);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        socket.send(Message::text(format!(r#"40{{"token":"{token}"}}"#))).await.unwrap();
        loop {
            match tokio::time::timeout(BROKEN, socket.next()).await.expect("an answer in time") {
                Some(Ok(Message::Text(text))) if text.starts_with("40") => return true,
                Some(Ok(Message::Text(text))) if text.starts_with("44") => return false,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    fn records(&self) -> String {
        let mut text = String::new();
        for file in std::fs::read_dir(self.disk().join("audit")).unwrap().flatten() {
            text += &std::fs::read_to_string(file.path()).unwrap_or_default();
        }
        text
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < BROKEN, "{what}\n{}", self.node.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fills the disk and whatever is freed on it, until the node says that it is not well and has nothing left in reserve.
    async fn until_nothing_is_written(&self, token: &str) {
        self.fill();
        let written = self.records().len();
        let mut before = written;
        let begun = Instant::now();
        loop {
            self.lets_in(token).await;
            self.fill();
            let after = self.records().len();
            if after == before && !self.is_ready() {
                return;
            }
            before = after;
            assert!(begun.elapsed() < BROKEN, "it is never full\n{}", self.node.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_record_and_everybody_when_there_is_room_again() {
    let place = Place::open("deny");
    let token = place.node.token(&["--user", "alice"]).unwrap();
    assert!(place.is_ready() && place.lets_in(&token).await);
    place.until_nothing_is_written(&token).await;
    let refused = Instant::now();
    place.until("logins are refused", async || !place.lets_in(&token).await).await;
    assert!(refused.elapsed() < Duration::from_secs(6), "{:?}", refused.elapsed());
    let logins = place.records().matches("\"activity\":\"login\"").count();
    for _ in 0..5 {
        assert!(!place.lets_in(&token).await, "let in without a record");
    }
    assert_eq!(place.records().matches("\"activity\":\"login\"").count(), logins);
    std::fs::remove_file(place.disk().join("filler")).unwrap();
    place.until("logins go on", async || place.lets_in(&token).await).await;
    place.until("it is ready again", async || place.is_ready()).await;
    let records = place.records();
    assert!(records.contains("\"disk_full\"") && records.contains("\"disk_recovered\""), "{records}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_service_goes_before_records_everybody_comes_in_and_it_is_said() {
    let place = Place::open("degrade");
    let token = place.node.token(&["--user", "alice"]).unwrap();
    assert!(place.lets_in(&token).await);
    place.until_nothing_is_written(&token).await;
    let logins = place.records().matches("\"activity\":\"login\"").count();
    for _ in 0..5 {
        assert!(place.lets_in(&token).await, "refused for want of a record");
    }
    assert_eq!(place.records().matches("\"activity\":\"login\"").count(), logins, "nothing can be written");
    std::fs::remove_file(place.disk().join("filler")).unwrap();
    place.until("it is ready again", async || place.is_ready()).await;
    let records = place.records();
    assert!(records.contains("\"disk_recovered\""), "{records}");
    assert!(
        records.contains("\"gap\"") || records.matches("\"activity\":\"login\"").count() >= logins + 5,
        "what is missing is said, or is there: {records}"
    );
}
