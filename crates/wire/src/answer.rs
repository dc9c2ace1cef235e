//! The form of every answer: `{"ok":true,...}` or `{"ok":false,"error":{...}}`.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::Code;

/// Why something was refused, in the words of the protocol. The message never carries internal detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub message: Cow<'static, str>,
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    pub fn retry_after_ms(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// The `data` of a refused connect: what a program needs to decide whether to try again.
    pub fn connect_error_data(&self) -> String {
        format!(
            "{{\"code\":{},\"reason\":\"{}\",\"retryable\":{}{}}}",
            self.code.number(),
            self.code.slug(),
            self.code.retryable(),
            self.retry_after_ms.map(|after| format!(",\"retry_after_ms\":{after}")).unwrap_or_default(),
        )
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code, code.message())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Failure", 5)?;
        fields.serialize_field("code", &self.code.number())?;
        fields.serialize_field("reason", self.code.slug())?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("retryable", &self.code.retryable())?;
        match self.retry_after_ms {
            Some(after) => fields.serialize_field("retry_after_ms", &after)?,
            None => fields.skip_field("retry_after_ms")?,
        }
        fields.end()
    }
}

/// What an ack callback is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    Done(T),
    Failed(Failure),
}

impl<T> From<Result<T, Failure>> for Answer<T> {
    fn from(result: Result<T, Failure>) -> Self {
        match result {
            Ok(done) => Self::Done(done),
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl<T: Serialize> Answer<T> {
    /// Appends the answer's JSON. The same text as by `Serialize`, at a third of the cost: the fields are written once,
    /// where serde's flattening takes them apart and puts them together again.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let Self::Done(fields) = self else { return serde_json::to_writer(out, self) };
        out.extend_from_slice(b"{\"ok\":true");
        let brace = out.len();
        serde_json::to_writer(&mut *out, fields)?;
        if out.len() == brace + 2 {
            out.remove(brace);
        } else {
            out[brace] = b',';
        }
        Ok(())
    }
}

impl<T: Serialize> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Done<'a, T> {
            ok: bool,
            #[serde(flatten)]
            fields: &'a T,
        }

        match self {
            Self::Done(fields) => Done { ok: true, fields }.serialize(serializer),
            Self::Failed(failure) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("ok", &false)?;
                map.serialize_entry("error", failure)?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Empty;

    #[test]
    fn answers_on_the_wire() {
        let done: Answer<Empty> = Answer::Done(Empty {});
        insta::assert_snapshot!(serde_json::to_string(&done).unwrap(), @r#"{"ok":true}"#);
        let failed: Answer<Empty> = Answer::Failed(Code::NotInRoom.into());
        insta::assert_snapshot!(serde_json::to_string(&failed).unwrap(), @r#"{"ok":false,"error":{"code":107,"reason":"not_in_room","message":"join the room first","retryable":false}}"#);
        let failed: Answer<Empty> =
            Err(Failure::new(Code::RateLimited, "10 messages a second").retry_after_ms(250)).into();
        insta::assert_snapshot!(serde_json::to_string(&failed).unwrap(), @r#"{"ok":false,"error":{"code":108,"reason":"rate_limited","message":"10 messages a second","retryable":true,"retry_after_ms":250}}"#);
    }

    #[test]
    fn written_as_it_is_serialised() {
        #[derive(serde::Serialize)]
        struct Two {
            first: u8,
            second: &'static str,
        }
        fn both(answer: &Answer<impl Serialize>) {
            let mut out = b"[".to_vec();
            answer.write(&mut out).unwrap();
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("[{}", serde_json::to_string(answer).unwrap())
            );
        }
        both(&Answer::Done(Empty {}));
        both(&Answer::Done(Two { first: 1, second: "}" }));
        both(&Answer::<Empty>::Failed(Code::NotInRoom.into()));
    }

    #[test]
    fn connect_error_data_on_the_wire() {
        insta::assert_snapshot!(Failure::from(Code::TokenExpired).connect_error_data(), @r#"{"code":105,"reason":"token_expired","retryable":false}"#);
        insta::assert_snapshot!(Failure::from(Code::Unavailable).retry_after_ms(900).connect_error_data(), @r#"{"code":110,"reason":"unavailable","retryable":true,"retry_after_ms":900}"#);
    }
}
