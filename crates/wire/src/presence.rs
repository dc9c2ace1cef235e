//! How a user is shown to others.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::UserId;
use crate::limits::ACTIVITY_BYTES_MAX;

/// In the order in which the best of a user's devices is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Online,
    Busy,
    Away,
    /// There, and nobody else is to know.
    Invisible,
}

/// What somebody is doing: the text of a JSON object, passed on as it came. Cloning it copies a pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct Activity(Arc<str>);

#[derive(Debug, thiserror::Error)]
pub enum ActivityError {
    #[error("an activity has at most {ACTIVITY_BYTES_MAX} bytes")]
    TooLong,
    #[error("an activity is an object")]
    NoObject,
}

impl Activity {
    pub fn parse(text: &str) -> Result<Self, ActivityError> {
        if text.len() > ACTIVITY_BYTES_MAX {
            return Err(ActivityError::TooLong);
        }
        let value: &RawValue = serde_json::from_str(text).map_err(|_| ActivityError::NoObject)?;
        Self::try_from(value)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn to_raw(&self) -> Box<RawValue> {
        RawValue::from_string(self.0.to_string()).expect("it was read as JSON")
    }
}

impl TryFrom<&RawValue> for Activity {
    type Error = ActivityError;

    fn try_from(value: &RawValue) -> Result<Self, ActivityError> {
        let text = value.get();
        match text.as_bytes() {
            text if text.len() > ACTIVITY_BYTES_MAX => Err(ActivityError::TooLong),
            [b'{', ..] => Ok(Self(text.into())),
            _ => Err(ActivityError::NoObject),
        }
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Activity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Only a raw value is passed on as it is.
        let value: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Activity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        Self::try_from(value).map_err(D::Error::custom)
    }
}

/// A user as all their devices together are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub user: UserId,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
}

/// A user in a list of those who are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    #[serde(flatten)]
    pub shown: Shown,
    /// A connection that names no device is one of its own, under the connection's id.
    pub devices: Vec<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_is_an_object_of_limited_size() {
        let longest = format!(r#"{{"a":"{}"}}"#, "x".repeat(ACTIVITY_BYTES_MAX - 8));
        assert_eq!(Activity::parse(&longest).unwrap().as_str(), longest);
        let too_long = longest.replace("x\"", "xx\"");
        assert!(matches!(Activity::parse(&too_long), Err(ActivityError::TooLong)));
        assert!(serde_json::from_str::<Activity>(&too_long).is_err());
        for bad in ["", "1", "[]", "null", "{", "{}{}", r#""{}""#] {
            assert!(matches!(Activity::parse(bad), Err(ActivityError::NoObject)), "{bad}");
        }
    }

    #[test]
    fn a_member_on_the_wire() {
        let shown = Shown {
            user: UserId::parse("alice").unwrap(),
            status: Status::Away,
            activity: Some(Activity::parse(r#"{"n" : 1}"#).unwrap()),
        };
        let member = Member { shown, devices: vec!["phone".into()] };
        insta::assert_snapshot!(serde_json::to_string(&member).unwrap(), @r#"{"user":"alice","status":"away","activity":{"n" : 1},"devices":["phone"]}"#);
    }
}
