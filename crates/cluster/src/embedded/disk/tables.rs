//! What stands where in the file. A change here that an earlier version could not read raises [`FORMAT`].

use redb::{ReadableDatabase, TableDefinition, TableError};

use super::store::Fault;

/// Of the tables below and the records in them.
pub(crate) const FORMAT: u64 = 1;

/// Only ours: by this table a file is known as one of Turnpike's.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("turnpike");
const FORMAT_KEY: &str = "format";

/// Messages and ids have turns: numbers that rise from one write to the next. So what is written together lies together,
/// whichever lanes it is of, and a commit touches few pages.
pub(crate) const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");
pub(crate) const IDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("ids");
/// By lane.
pub(crate) const LANE_RECORDS: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("lanes");
/// Lane and epoch, and its first position.
pub(crate) const EPOCHS: TableDefinition<'_, (u8, u64), u64> = TableDefinition::new("epochs");
/// Rooms that have lost all their messages: number and position of the latest. Of a room that has messages the row, if
/// there is one, is of no account.
pub(crate) const ROOMS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("rooms");
pub(crate) const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
pub(crate) const BASES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bases");
/// Room and user, with a space between: received, read, and when they moved last.
pub(crate) const MARKS: TableDefinition<'_, &str, (u64, u64, u64)> = TableDefinition::new("marks");
/// Room and user, with a space between: by the wall clock, and by the steady one.
pub(crate) const LAST_SEEN: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("last_seen");
/// User and device, with a space between: number, and when it moved last.
pub(crate) const CURSORS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("cursors");

/// Topic and key, with a space between: until when, and the value. Files of earlier versions are without it.
pub(crate) const NOTICES: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("notices");

/// Makes an empty file one of ours.
pub(crate) fn found(transaction: &redb::WriteTransaction) -> Result<(), Fault> {
    transaction.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
    transaction.open_table(MESSAGES)?;
    transaction.open_table(IDS)?;
    transaction.open_table(LANE_RECORDS)?;
    transaction.open_table(EPOCHS)?;
    transaction.open_table(ROOMS)?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(BASES)?;
    transaction.open_table(MARKS)?;
    transaction.open_table(CURSORS)?;
    transaction.open_table(LAST_SEEN)?;
    transaction.open_table(NOTICES)?;
    Ok(())
}

#[cfg(test)]
pub(crate) fn set_format(transaction: &redb::WriteTransaction, format: u64) -> Result<(), Fault> {
    transaction.open_table(ABOUT)?.insert(FORMAT_KEY, format)?;
    Ok(())
}

/// The format of the file. None: it is not one of ours.
pub(crate) fn format(database: &redb::Database) -> Result<Option<u64>, Fault> {
    let transaction = database.begin_read()?;
    let about = match transaction.open_table(ABOUT) {
        Ok(about) => about,
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    Ok(about.get(FORMAT_KEY)?.map(|format| format.value()))
}
