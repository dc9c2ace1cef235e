//! Rows of presence as they stand in hashes: `user device` -> a letter for the status, and the activity.

use serde_json::value::RawValue;
use turnpike_wire::UserId;

use crate::{Row, RowKey, Status};

/// No user id has a space; a device may have any character.
pub(crate) fn field(key: &RowKey) -> String {
    format!("{} {}", key.user, key.device)
}

pub(crate) fn key(field: &str) -> Option<RowKey> {
    let (user, device) = field.split_once(' ')?;
    Some(RowKey { user: UserId::parse(user).ok()?, device: device.into() })
}

/// Never empty: that would mean a row that is gone.
pub(crate) fn value(row: &Row) -> String {
    let letter = match row.status {
        Status::Online => 'o',
        Status::Busy => 'b',
        Status::Away => 'a',
        // The function library knows this one.
        Status::Invisible => 'i',
    };
    format!("{letter}{}", row.activity.as_ref().map_or("", |activity| activity.get()))
}

pub(crate) fn row(value: &str) -> Option<Row> {
    let status = match value.as_bytes().first()? {
        b'o' => Status::Online,
        b'b' => Status::Busy,
        b'a' => Status::Away,
        b'i' => Status::Invisible,
        _ => return None,
    };
    let activity = value.get(1..)?;
    let activity =
        (!activity.is_empty()).then(|| RawValue::from_string(activity.to_owned())).transpose().ok()?;
    Some(Row { status, activity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let with_space = RowKey { user: UserId::parse("a@b").unwrap(), device: "my phone".into() };
        let none = RowKey { user: UserId::parse("a").unwrap(), device: "".into() };
        for one in [with_space, none] {
            assert_eq!(key(&field(&one)), Some(one));
        }
        for status in [Status::Online, Status::Busy, Status::Away, Status::Invisible] {
            for activity in [None, Some(r#"{"game":"go ü"}"#)] {
                let activity = activity.map(|json| RawValue::from_string(json.to_owned()).unwrap());
                let one = Row { status, activity };
                assert_eq!(row(&value(&one)), Some(one));
            }
        }
    }

    #[test]
    fn what_another_release_has_written_may_be_unknown() {
        for text in ["", "x", "o{", "ü"] {
            assert_eq!(row(text), None, "{text}");
        }
        assert_eq!(key("alice"), None);
    }
}
