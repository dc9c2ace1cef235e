//! Reading requests: paths, queries and bodies, into types that cannot be wrong.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use axum::http::StatusCode;
use serde::Deserialize;
use turnpike_cluster::{NotPosted, Unavailable};
use turnpike_wire::{Code, Failure};

use super::operation::{Call, Problem};

pub(super) fn bad(message: impl Into<Cow<'static, str>>) -> Problem {
    Failure::new(Code::BadRequest, message).into()
}

/// There is no such thing, whatever was asked for.
pub(super) fn nothing(message: impl Into<Cow<'static, str>>) -> Problem {
    Problem { status: StatusCode::NOT_FOUND, failure: Failure::new(Code::BadRequest, message) }
}

/// It was asked for at a time at which it cannot be.
pub(super) fn conflict(message: impl Into<Cow<'static, str>>) -> Problem {
    Failure::new(Code::LimitReached, message).into()
}

/// What came of telling all nodes.
pub(super) fn posted(outcome: Result<(), NotPosted>) -> Result<(), Problem> {
    outcome.map_err(|error| match error {
        NotPosted::Unavailable(Unavailable { retry_after_ms }) => {
            Failure::from(Code::Unavailable).retry_after_ms(retry_after_ms).into()
        }
        NotPosted::TooLarge => bad(error.to_string()),
    })
}

impl Call {
    /// A part of the path.
    pub(super) fn param<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        let found = self.params.iter().find(|(known, _)| known == name);
        let (_, text) = found.expect("the operation's path has it");
        text.parse().map_err(|error: T::Err| bad(error.to_string()))
    }

    /// The query's values for exactly these names; others are refused.
    pub(super) fn query<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            let Some(index) = names.iter().position(|known| *known == name) else {
                return Err(bad(format!("unknown parameter `{name}` in the query")));
            };
            if values[index].replace(value.into_owned()).is_some() {
                return Err(bad(format!("`{name}` stands twice in the query")));
            }
        }
        Ok(values)
    }

    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        // What serde says of the caller's own data.
        serde_json::from_slice(&self.body).map_err(|error| bad(error.to_string()))
    }
}

/// How many, if it is said.
pub(super) fn limit(text: Option<&str>, default: usize, most: usize) -> Result<usize, Problem> {
    let Some(text) = text else { return Ok(default) };
    let count: usize = text.parse().map_err(|_| bad("`limit` is not a number"))?;
    if (1..=most).contains(&count) { Ok(count) } else { Err(bad(format!("`limit` is from 1 to {most}"))) }
}
