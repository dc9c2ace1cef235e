//! `turnpike audit anchors`: the checkpoints of all nodes that Redis has, for `turnpike audit verify --anchors`. And
//! `turnpike audit anchors compare`: whether what is kept in several places says the same. Two checkpoints of one log that cover
//! as many records and have other roots are two logs: one of them was made anew by somebody with the key. And a witness that
//! was shown less than it had been shown before has seen an older copy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use turnpike_audit::{Digest, Note, PublicKey, Verdict, anchors_in, notes_in};
use turnpike_daemon::log::escaped;

use super::flags::Flags;
use super::verify::Keys;
use crate::config::Config;
use crate::{auditing, redis, terminal};

const REDIS: &str = "Redis";

#[derive(Debug)]
pub(crate) struct Compare {
    keys: Keys,
    places: Vec<PathBuf>,
    json: bool,
}

impl Compare {
    pub(super) fn parse(flags: &mut Flags<'_>) -> Self {
        let places = flags.texts("anchors", "a file or directory");
        let json = flags.switch("json");
        Self { keys: Keys::parse(flags), places: places.into_iter().map(Into::into).collect(), json }
    }
}

pub(super) fn execute(config: &Config, json: bool) -> anyhow::Result<()> {
    let text = kept_in_redis(config)?
        .context("this system has no Redis, and so nothing keeps checkpoints there: REDIS_NODES names one")?;
    if !json {
        return crate::print(text.trim_end());
    }
    let anchors: Vec<_> = notes_in(text.as_bytes())?
        .iter()
        .map(|note| {
            let checkpoint = &note.checkpoint;
            json!({
                "log": checkpoint.origin, "records": checkpoint.size, "root": checkpoint.root.to_string(),
                "note": note.text(),
            })
        })
        .collect();
    crate::print(&json!({ "ok": true, "anchors": anchors }).to_string())
}

/// None: there is no Redis.
fn kept_in_redis(config: &Config) -> anyhow::Result<Option<String>> {
    let address = std::net::SocketAddr::new(config.gateway.host, config.gateway.port);
    let Some(wanted) = redis::config(config, address) else { return Ok(None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = runtime.block_on(terminal::waiting("Redis is asked for its checkpoints", async {
        let directory = turnpike_cluster::redis::directory(wanted).await?;
        auditing::anchors_of_cluster(&*directory).await
    }))?;
    Ok(Some(text))
}

pub(super) fn compare(request: &Compare, config: &Config, key_file: &Path) -> anyhow::Result<ExitCode> {
    let keys = request.keys.read(key_file)?;
    let mut places = Vec::new();
    if let Some(text) = kept_in_redis(config)? {
        places.push((REDIS.to_owned(), notes_in(text.as_bytes())?));
    }
    for path in &request.places {
        let found =
            anchors_in(path).with_context(|| format!("cannot read the anchors in {}", path.display()))?;
        places.push((path.display().to_string(), found));
    }
    let logs = compared(&places, &keys);
    crate::print(&if request.json { as_json(&logs).to_string() } else { as_text(&logs) })?;
    Ok(ExitCode::from(verdict(&logs) as u8))
}

/// What is kept of one log.
#[derive(Debug, Default)]
struct Log {
    /// Each place with how many it has, and how many records the newest covers.
    places: Vec<(String, usize, u64)>,
    /// Each size with the roots that are signed for it, and where the first of each was found.
    roots: BTreeMap<u64, Vec<(Digest, String)>>,
    /// The first place that was shown less than before: how much, and how much it had been.
    back: Option<(String, u64, u64)>,
    /// Signed by none of the keys: anybody could have made them.
    unsigned: usize,
}

impl Log {
    /// The first size for which two roots are signed.
    fn contradiction(&self) -> Option<(u64, &[(Digest, String)])> {
        let mut two = self.roots.iter().filter(|(_, roots)| roots.len() > 1);
        two.next().map(|(size, roots)| (*size, roots.as_slice()))
    }

    fn is_doubtful(&self) -> bool {
        self.back.is_some() || self.contradiction().is_some()
    }
}

fn compared(places: &[(String, Vec<Note>)], keys: &[PublicKey]) -> BTreeMap<String, Log> {
    let mut logs = BTreeMap::<String, Log>::new();
    for (place, notes) in places {
        for note in notes {
            let checkpoint = &note.checkpoint;
            let log = logs.entry(checkpoint.origin.clone()).or_default();
            // The name in a key is that of the log that it signs.
            if !keys.iter().any(|key| key.name() == checkpoint.origin && note.is_signed_by(key)) {
                log.unsigned += 1;
                continue;
            }
            match log.places.iter_mut().find(|(known, ..)| known == place) {
                Some((_, count, newest)) => {
                    // What was written down one after the other is in that order, and Redis has no order.
                    if checkpoint.size < *newest && place != REDIS && log.back.is_none() {
                        log.back = Some((place.clone(), checkpoint.size, *newest));
                    }
                    (*count, *newest) = (*count + 1, checkpoint.size.max(*newest));
                }
                None => log.places.push((place.clone(), 1, checkpoint.size)),
            }
            let roots = log.roots.entry(checkpoint.size).or_default();
            if !roots.iter().any(|(root, _)| *root == checkpoint.root) {
                roots.push((checkpoint.root, place.clone()));
            }
        }
    }
    logs
}

fn verdict(logs: &BTreeMap<String, Log>) -> Verdict {
    if logs.values().any(Log::is_doubtful) {
        Verdict::Tampered
    } else if logs.values().any(|log| log.places.len() > 1) {
        Verdict::Sound
    } else {
        // Nothing is kept twice, so nothing was compared.
        Verdict::TailNotAnchored
    }
}

fn as_json(logs: &BTreeMap<String, Log>) -> Value {
    let shown = |(origin, log): (&String, &Log)| {
        let places: Vec<_> = log
            .places
            .iter()
            .map(|(place, count, newest)| json!({ "place": place, "checkpoints": count, "records": newest }))
            .collect();
        let two = log.contradiction().map(|(size, roots)| {
            let places: Vec<&str> = roots.iter().map(|(_, place)| place.as_str()).collect();
            json!({ "records": size, "places": places })
        });
        let back = log
            .back
            .as_ref()
            .map(|(place, size, before)| json!({ "place": place, "records": size, "before": before }));
        json!({ "log": origin, "places": places, "unsigned": log.unsigned, "two_logs": two, "went_back": back })
    };
    let verdict = verdict(logs);
    let logs: Vec<_> = logs.iter().map(shown).collect();
    json!({ "ok": verdict == Verdict::Sound, "verdict": verdict.word(), "logs": logs })
}

fn as_text(logs: &BTreeMap<String, Log>) -> String {
    let mut out = String::new();
    for (origin, log) in logs {
        let _ = writeln!(out, "{}", escaped(origin));
        for (place, count, newest) in &log.places {
            let _ =
                writeln!(out, "  {}: {count} checkpoints, the newest over {newest} records", escaped(place));
        }
        if log.unsigned > 0 {
            let _ = writeln!(out, "  {} are signed by none of the keys, and count for nothing", log.unsigned);
        }
        if let Some((place, size, before)) = &log.back {
            let place = escaped(place);
            let _ = writeln!(out, "  WENT BACK: {place} was shown {before} records, and {size} after that");
        }
        if let Some((size, roots)) = log.contradiction() {
            let where_from: Vec<String> = roots.iter().map(|(_, place)| escaped(place)).collect();
            let _ = writeln!(
                out,
                "  TWO LOGS: for {size} records there are {} roots, in {}",
                roots.len(),
                where_from.join(" and ")
            );
        }
    }
    let word = match verdict(logs) {
        Verdict::Tampered => "somebody with a key has made a log anew, or put an older copy in its place",
        Verdict::Sound => "what is kept in several places says the same",
        _ => "nothing is kept in two places, so nothing was compared",
    };
    out.push_str(word);
    out
}

#[cfg(test)]
mod tests {
    use turnpike_audit::{Checkpoint, Signer};

    use super::*;

    fn note(signer: &Signer, size: u64, root: u8) -> Note {
        let origin = signer.public().name().to_owned();
        Note::sign(Checkpoint { origin, size, root: Digest([root; 32]), bound: "x".into() }, &[signer])
    }

    #[test]
    fn notes_of_redis_are_read_as_they_are_written() {
        let signer = Signer::from_seed("turnpike/a", [1; 32]).unwrap();
        let notes = [note(&signer, 3, 1), note(&signer, 9, 2)];
        let text: String = notes.iter().flat_map(|note| [note.text(), "\n"]).collect();
        assert_eq!(notes_in(text.as_bytes()).unwrap(), notes);
        assert_eq!(notes_in("".as_bytes()).unwrap(), []);
    }

    #[test]
    fn two_roots_for_one_size_are_two_logs_if_a_key_signed_both() {
        let [signer, stranger] = [1, 2].map(|seed| Signer::from_seed("turnpike/a", [seed; 32]).unwrap());
        let keys = [signer.public().clone()];
        let verdict_of = |places: [Vec<Note>; 2]| {
            let [a, b] = places;
            let logs = compared(&[("a".into(), a), ("b".into(), b)], &keys);
            (verdict(&logs), as_text(&logs))
        };
        let (same, text) =
            verdict_of([vec![note(&signer, 3, 1), note(&signer, 9, 2)], vec![note(&signer, 9, 2)]]);
        assert_eq!(same, Verdict::Sound, "{text}");
        let (anew, text) = verdict_of([vec![note(&signer, 9, 2)], vec![note(&signer, 9, 3)]]);
        assert_eq!(anew, Verdict::Tampered, "{text}");
        assert!(text.contains("for 9 records there are 2 roots, in a and b"), "{text}");
        let (back, text) = verdict_of([vec![note(&signer, 9, 2), note(&signer, 3, 1)], vec![]]);
        assert_eq!(back, Verdict::Tampered, "{text}");
        assert!(text.contains("a was shown 9 records, and 3 after that"), "{text}");
        let (forged, text) =
            verdict_of([vec![note(&signer, 9, 2)], vec![note(&stranger, 9, 3), note(&signer, 9, 2)]]);
        assert_eq!(forged, Verdict::Sound, "{text}");
        assert!(text.contains("1 are signed by none"), "{text}");
        let (alone, text) = verdict_of([vec![note(&signer, 9, 2)], vec![]]);
        assert_eq!(alone, Verdict::TailNotAnchored, "{text}");
    }
}
