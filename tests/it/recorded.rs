//! Streams of a real browser are recorded, and the files are given to somebody else's reader: also that of a node that was
//! killed in the middle.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use turnpike_lab::Directory;

use crate::harness::turnpike::Turnpike;
use crate::harness::{home, require_packages, signal};

/// What a node that is killed may lose, and what a busy machine adds to the measurement.
const LOST_S_MAX: f64 = 1.2;

/// A browser with its page. It ends with this value.
struct Studio {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Studio {
    fn open(turnpike: &Turnpike, by: &str, codec: &str, ms: Option<u64>) -> Self {
        require_packages();
        let publisher = turnpike.token(&["--user", "publisher", "--stream", "live:*=publish"]);
        let recorder = turnpike.token(&["--user", "recorder", "--stream", "live:*=subscribe,record"]);
        let mut command = Command::new("node");
        command
            .current_dir(home().join("node"))
            .arg("recorded.mjs")
            .arg(format!("--url=http://{}", turnpike.server.address))
            .arg(format!("--publisher={publisher}"))
            .arg(format!("--recorder={recorder}"))
            .arg(format!("--by={by}"))
            .arg(format!("--codec={codec}"))
            .arg("--stream=live:show");
        if let Some(ms) = ms {
            command.arg(format!("--ms={ms}"));
        }
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn told(&mut self) -> Value {
        let line = self.lines.next().expect("the page says something").unwrap();
        println!("{line}");
        let told: Value = serde_json::from_str(&line).unwrap();
        assert!(told["fault"].is_null(), "{told}");
        told
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        // So that it can end its browser.
        signal("TERM", self.process.id());
        let _ = self.process.wait();
    }
}

/// What ffprobe says of a file, all of whose frames it decodes.
fn probe(file: &Path) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-of", "json", "-show_entries"])
        .arg("format=format_name,duration:stream=codec_name,width,height,nb_read_frames")
        .arg(file)
        .output()
        .expect("ffprobe is there: `cargo xtask test --only install` gets it");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", file.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// With the machine to itself: how much of it is there is a claim about time.
#[test]
fn alone_a_recording_outlives_a_node_that_is_killed() {
    let directory = Directory::new("recorded").unwrap();
    let turnpike = Turnpike::start(&[("TURNPIKE_MEDIA_RECORDINGS", directory.path().to_str().unwrap())]);
    let opened = Instant::now();
    let mut studio = Studio::open(&turnpike, "http", "vp8", None);
    let told = studio.told();
    // By now there is a picture in it.
    let begun = Instant::now();
    assert_eq!(told["same"], true);
    assert_eq!((&told["early"], &told["status"], &told["again"]), (&404.into(), &200.into(), &200.into()));
    // In the middle of it.
    std::thread::sleep(std::time::Duration::from_millis(4_300));
    let (lived, most) = (begun.elapsed().as_secs_f64(), opened.elapsed().as_secs_f64());
    signal("KILL", turnpike.server.process_id());

    let files = files(directory.path());
    // What was heard before an encoder had a whole picture is a file of its own.
    let file = files.last().expect("there is a file");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("live%3Ashow-") && file.extension().unwrap() == "webm", "{files:?}");
    let probed = probe(file);
    println!("lived {lived} s: {probed}");
    let duration = number(&probed["format"]["duration"]);
    assert!(
        (lived - LOST_S_MAX..=most).contains(&duration),
        "{duration} s of at least {lived} s, and at most {most} s, are there"
    );
    let streams = probed["streams"].as_array().unwrap();
    let names: Vec<_> = streams.iter().map(|stream| stream["codec_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["vp8", "opus"]);
    assert!(number(&streams[1]["nb_read_frames"]) >= 0.9 * 50.0 * duration, "{probed}");
    assert!(number(&streams[0]["nb_read_frames"]) >= 5.0 * duration, "{probed}");
}

#[test]
fn every_codec_of_a_browser_is_recorded() {
    for (codec, extension, by) in
        [("vp9", "webm", "http"), ("h264", "mkv", "event"), ("av1", "webm", "event")]
    {
        let directory = Directory::new("recorded").unwrap();
        let turnpike = Turnpike::start(&[("TURNPIKE_MEDIA_RECORDINGS", directory.path().to_str().unwrap())]);
        let mut studio = Studio::open(&turnpike, by, codec, Some(2_500));
        let begun = studio.told();
        assert_eq!(
            (&begun["early"], &begun["status"], &begun["same"]),
            (&404.into(), &200.into(), &true.into())
        );
        let ended = studio.told();
        assert_eq!(
            (&ended["status"], &ended["again"], &ended["same"]),
            (&200.into(), &404.into(), &true.into())
        );
        drop(studio);
        // Ends, and waits for what is still to be written.
        drop(turnpike);
        let files = files(directory.path());
        let mut pictures = 0.0;
        for file in &files {
            let probed = probe(file);
            println!("{}: {probed}", file.display());
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(begun["recording"].as_str().unwrap()), "{name}: {begun}");
            // What was heard before an encoder had a whole picture is a file of its own.
            if probed["streams"][0]["codec_name"] == "opus" {
                continue;
            }
            assert_eq!(probed["streams"][0]["codec_name"], codec);
            assert_eq!(file.extension().unwrap(), extension);
            pictures += number(&probed["streams"][0]["nb_read_frames"]);
        }
        assert!(pictures >= 5.0, "{pictures} pictures in {files:?}");
    }
}
