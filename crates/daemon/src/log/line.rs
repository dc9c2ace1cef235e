//! One event as one line. Pure: the time is an argument.

use std::fmt::Write as _;
use std::time::Duration;

use tracing::Level;

use super::escape::{push_json, push_text};
use super::time::rfc3339;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text,
}

/// A field's value, as the one who logged it gave it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Signed(i128),
    Unsigned(u128),
    Float(f64),
    Truth(bool),
}

pub(super) struct Line<'a> {
    pub time: Duration,
    pub level: Level,
    pub target: &'a str,
    pub message: &'a str,
    /// Outermost span first, the event's own last.
    pub fields: &'a [(&'static str, Value)],
}

impl Line<'_> {
    pub(super) fn render(&self, form: Form) -> String {
        let mut out = String::with_capacity(160);
        match form {
            Form::Json => self.render_json(&mut out),
            Form::Text => self.render_text(&mut out),
        }
        out.push('\n');
        out
    }

    fn render_json(&self, out: &mut String) {
        let _ = write!(out, "{{\"time\":\"{}\",\"level\":\"{}\",\"target\":", rfc3339(self.time), self.level);
        push_json(out, self.target);
        out.push_str(",\"message\":");
        push_json(out, self.message);
        for (index, (name, value)) in self.fields.iter().enumerate() {
            // The inner span knows better, and a JSON object must not name a thing twice.
            if self.fields[index + 1..].iter().any(|(later, _)| later == name) {
                continue;
            }
            out.push(',');
            if ["time", "level", "target", "message"].contains(name) {
                push_json(out, &format!("{name}_"));
            } else {
                push_json(out, name);
            }
            out.push(':');
            let _ = match value {
                Value::Text(text) => {
                    push_json(out, text);
                    Ok(())
                }
                // JSON has no word for these.
                Value::Float(number) if !number.is_finite() => write!(out, "\"{number}\""),
                Value::Float(number) => write!(out, "{number}"),
                Value::Signed(number) => write!(out, "{number}"),
                Value::Unsigned(number) => write!(out, "{number}"),
                Value::Truth(truth) => write!(out, "{truth}"),
            };
        }
        out.push('}');
    }

    fn render_text(&self, out: &mut String) {
        let time = rfc3339(self.time);
        // Somebody is watching: the date is known to them.
        let clock = time.split_once('T').map_or(time.as_str(), |(_, clock)| clock);
        let _ = write!(out, "{} {:<5} ", clock.trim_end_matches('Z'), self.level);
        push_text(out, self.message);
        for (name, value) in self.fields {
            let _ = write!(out, "  {name}=");
            let _ = match value {
                Value::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                    out.push('"');
                    push_text(out, &text.replace('"', "'"));
                    out.push('"');
                    Ok(())
                }
                Value::Text(text) => {
                    push_text(out, text);
                    Ok(())
                }
                Value::Float(number) => write!(out, "{number}"),
                Value::Signed(number) => write!(out, "{number}"),
                Value::Unsigned(number) => write!(out, "{number}"),
                Value::Truth(truth) => write!(out, "{truth}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(message: &'a str, fields: &'a [(&'static str, Value)]) -> Line<'a> {
        Line {
            time: Duration::from_millis(1_767_225_600_042),
            level: Level::WARN,
            target: "turnpike_gateway::gate",
            message,
            fields,
        }
    }

    #[test]
    fn forms() {
        let fields = [
            ("room", Value::Text("chat:lobby".into())),
            ("count", Value::Unsigned(3)),
            ("ratio", Value::Float(f64::NAN)),
            ("user", Value::Text("mallory\n\u{202e}\u{1b}[2J \"x\"".into())),
            ("level", Value::Text("forged".into())),
            ("room", Value::Text("inner wins".into())),
        ];
        insta::assert_snapshot!(line("join refused", &fields).render(Form::Json), @r#"{"time":"2026-01-01T00:00:00.042Z","level":"WARN","target":"turnpike_gateway::gate","message":"join refused","count":3,"ratio":"NaN","user":"mallory\n\u202e\u001b[2J \"x\"","level_":"forged","room":"inner wins"}"#);
        insta::assert_snapshot!(line("join refused", &fields).render(Form::Text), @r#"00:00:00.042 WARN  join refused  room=chat:lobby  count=3  ratio=NaN  user="mallory\n\u{202e}\u{1b}[2J 'x'"  level=forged  room="inner wins""#);
    }
}
