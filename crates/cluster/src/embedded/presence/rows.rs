//! The rows of one room, by user and device. Most rooms are personal ones and hold a single row, for which a tree would set
//! eleven places aside; in large rooms a row is found at once.

use std::collections::BTreeMap;
use std::ops::Bound;

use turnpike_wire::UserId;

use crate::{Row, RowKey};

/// Up to so many are moved aside for one that comes between them.
const FEW_MAX: usize = 8;

pub(super) enum Rows {
    /// In the order of their keys.
    Few(Vec<(RowKey, Row)>),
    Many(
        #[expect(clippy::box_collection, reason = "seldom, and it would make the others larger")]
        Box<BTreeMap<RowKey, Row>>,
    ),
}

impl Rows {
    pub(super) fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(rows) => rows.is_empty(),
            Self::Many(rows) => rows.is_empty(),
        }
    }

    /// Gives what the row was before.
    pub(super) fn insert(&mut self, key: RowKey, row: Row) -> Option<Row> {
        let rows = match self {
            Self::Few(rows) => rows,
            Self::Many(rows) => return rows.insert(key, row),
        };
        match rows.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(at) => return Some(std::mem::replace(&mut rows[at].1, row)),
            Err(at) if rows.len() < FEW_MAX => {
                if rows.len() == rows.capacity() {
                    rows.reserve_exact(rows.len().max(1));
                }
                rows.insert(at, (key, row));
            }
            Err(_) => {
                let mut many: BTreeMap<_, _> = rows.drain(..).collect();
                many.insert(key, row);
                *self = Self::Many(Box::new(many));
            }
        }
        None
    }

    pub(super) fn remove(&mut self, key: &RowKey) -> Option<Row> {
        match self {
            Self::Few(rows) => {
                let at = rows.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
                Some(rows.remove(at).1)
            }
            Self::Many(rows) => rows.remove(key),
        }
    }

    /// In the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RowKey, &Row)> {
        let (few, many) = match self {
            Self::Few(rows) => (Some(rows), None),
            Self::Many(rows) => (None, Some(&**rows)),
        };
        let few = few.into_iter().flatten().map(|(key, row)| (key, row));
        few.chain(many.into_iter().flatten())
    }

    /// Whether this holds for any of the user's rows.
    pub(super) fn any_of(&self, user: &UserId, holds: impl Fn(&Row) -> bool) -> bool {
        match self {
            Self::Few(rows) => rows.iter().any(|(key, row)| key.user == *user && holds(row)),
            Self::Many(rows) => {
                let first = RowKey { user: user.clone(), device: Box::default() };
                rows.range((Bound::Included(first), Bound::Unbounded))
                    .take_while(|(key, _)| key.user == *user)
                    .any(|(_, row)| holds(row))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    fn key(user: usize, device: usize) -> RowKey {
        RowKey { user: UserId::parse(&format!("u{user}")).unwrap(), device: format!("d{device}").into() }
    }

    #[test]
    fn few_or_many_are_what_a_tree_is() {
        for users in [1, 3, 40] {
            let (mut rows, mut tree) = (Rows::new(), BTreeMap::new());
            for number in 0..users * 3 {
                // Back and forth, so that some come between others.
                let key = key(number * 7 % users, number / users);
                let status = if number % 2 == 0 { Status::Online } else { Status::Invisible };
                let row = Row { status, activity: None };
                assert_eq!(rows.insert(key.clone(), row.clone()), tree.insert(key, row));
                assert!(rows.iter().eq(tree.iter()));
            }
            let again = Row { status: Status::Away, activity: None };
            assert_eq!(rows.insert(key(0, 0), again.clone()), tree.insert(key(0, 0), again));
            for user in 0..=users {
                let user = key(user, 0).user;
                for status in [Status::Online, Status::Away, Status::Busy] {
                    let expected = tree.iter().any(|(key, row)| key.user == user && row.status == status);
                    assert_eq!(rows.any_of(&user, |row| row.status == status), expected);
                }
            }
            assert_eq!(rows.remove(&key(users, 0)), None);
            for number in 0..users * 3 {
                assert!(!rows.is_empty());
                let key = key(number % users, number / users);
                assert_eq!(rows.remove(&key), tree.remove(&key));
                assert!(rows.iter().eq(tree.iter()));
            }
            assert!(rows.is_empty());
        }
    }

    /// Hundreds of thousands of users have a room of their own, and one row in it.
    #[test]
    fn one_row_takes_no_more_than_itself() {
        let mut rows = Rows::new();
        rows.insert(key(0, 0), Row { status: Status::Online, activity: None });
        assert!(matches!(&rows, Rows::Few(rows) if rows.capacity() == 1));
    }
}
