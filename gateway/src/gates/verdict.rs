//! What a backend's answer means. It was written by somebody else: what of it a client is shown is bounded and plain.

use serde::Deserialize;
use serde_json::Value;
use turnpike_wire::{Code, Failure};

const REASON_CHARS_MAX: usize = 200;
/// An hour: nobody means longer, and clients keep timers for it.
const RETRY_AFTER_MS_MAX: u64 = 3_600_000;

/// The codes that a backend may refuse with. The others say what this node alone can know.
const CODES: [Code; 4] = [Code::Forbidden, Code::RateLimited, Code::LimitReached, Code::Banned];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Refused(Failure),
}

#[derive(Deserialize)]
struct Said {
    allow: bool,
    /// Of whatever type: a refusal is one also when its reason cannot be read.
    #[serde(default)]
    reason: Value,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    retry_after_ms: Value,
}

/// None: it does not say whether.
pub(super) fn read(answer: &[u8]) -> Option<Verdict> {
    let said: Said = serde_json::from_slice(answer).ok()?;
    if said.allow {
        return Some(Verdict::Allowed);
    }
    let code = CODES.into_iter().find(|code| is(&said.code, *code)).unwrap_or(Code::Forbidden);
    let reason = said.reason.as_str().map(plain).filter(|reason| !reason.is_empty());
    let failure = Failure::new(code, reason.unwrap_or_else(|| "the application refuses this".to_owned()));
    let after = said.retry_after_ms.as_u64().filter(|_| code.retryable());
    Some(Verdict::Refused(match after {
        Some(after) => failure.retry_after_ms(after.min(RETRY_AFTER_MS_MAX)),
        None => failure,
    }))
}

/// By its number, or by its name.
fn is(said: &Value, code: Code) -> bool {
    said.as_u64() == Some(code.number().into()) || said.as_str() == Some(code.slug())
}

/// One line of text in the order in which it reads: nothing that moves a cursor, hides or turns what stands beside it.
fn plain(text: &str) -> String {
    let shown = text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter });
    let shown: String = shown.filter(|letter| !hides(*letter)).take(REASON_CHARS_MAX).collect();
    shown.trim().to_owned()
}

fn hides(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            // Zero width, and marks, embeddings, overrides and isolates of direction.
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Tags, which nobody sees.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(answer: &str) -> Failure {
        match read(answer.as_bytes()) {
            Some(Verdict::Refused(failure)) => failure,
            other => panic!("{answer}: {other:?}"),
        }
    }

    #[test]
    fn an_answer_says_whether_or_nothing() {
        for allowed in [r#"{"allow":true}"#, r#"{"allow":true,"reason":"x","more":[1]}"#] {
            assert_eq!(read(allowed.as_bytes()), Some(Verdict::Allowed), "{allowed}");
        }
        let deep = format!(r#"{{"allow":true,"reason":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        for nothing in
            ["", "ok", "true", "{}", r#"{"allow":"true"}"#, r#"{"allow":1}"#, r#"{"allow":true"#, &deep]
        {
            assert_eq!(read(nothing.as_bytes()), None, "{nothing:.40}");
        }
    }

    #[test]
    fn a_refusal_has_a_reason_and_one_of_a_few_codes() {
        let said = |failure: Failure| (failure.code, failure.message.into_owned(), failure.retry_after_ms);
        let default = "the application refuses this".to_owned();
        for (answer, expected) in [
            (r#"{"allow":false}"#, (Code::Forbidden, default.clone(), None)),
            (r#"{"allow":false,"reason":7,"code":{}}"#, (Code::Forbidden, default.clone(), None)),
            (r#"{"allow":false,"reason":" \n"}"#, (Code::Forbidden, default.clone(), None)),
            (r#"{"allow":false,"reason":"no"}"#, (Code::Forbidden, "no".to_owned(), None)),
            (r#"{"allow":false,"reason":"no","code":112}"#, (Code::Banned, "no".to_owned(), None)),
            (r#"{"allow":false,"code":"limit_reached"}"#, (Code::LimitReached, default.clone(), None)),
            (
                r#"{"allow":false,"code":"rate_limited","retry_after_ms":1500}"#,
                (Code::RateLimited, default.clone(), Some(1_500)),
            ),
            (
                r#"{"allow":false,"code":108,"retry_after_ms":99999999999}"#,
                (Code::RateLimited, default.clone(), Some(RETRY_AFTER_MS_MAX)),
            ),
            // What this node says of itself is not for others to say.
            (r#"{"allow":false,"code":110,"retry_after_ms":5}"#, (Code::Forbidden, default.clone(), None)),
            (r#"{"allow":false,"code":"internal"}"#, (Code::Forbidden, default, None)),
        ] {
            assert_eq!(said(refused(answer)), expected, "{answer}");
        }
    }

    #[test]
    fn a_reason_is_one_short_plain_line() {
        let reason = |text: &str| {
            let answer = serde_json::json!({ "allow": false, "reason": text }).to_string();
            refused(&answer).message.into_owned()
        };
        assert_eq!(reason("a\r\nb\u{1b}[31mc\u{0}"), "a  b[31mc");
        assert_eq!(reason("\u{202e}evil\u{2066}\u{200f} \u{e0041}text\u{feff}\u{2028}"), "evil text");
        assert_eq!(reason("می\u{200c}خواهم 👩\u{200d}🚀"), "می\u{200c}خواهم 👩\u{200d}🚀");
        assert_eq!(reason(&"ü".repeat(10_000)).chars().count(), REASON_CHARS_MAX);
    }
}
