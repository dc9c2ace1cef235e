//! How somebody looks to others: on one device, and on all of theirs together.

use serde::{Deserialize, Serialize};
use turnpike_cluster::{Row, RowKey};
use turnpike_wire::UserId;
use turnpike_wire::presence::{Activity, Shown, Status};

use super::Who;

/// How a connection wants to be shown, for as long as its session lasts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Showing {
    #[serde(default)]
    pub(crate) look: Look,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<Box<str>>,
}

impl Showing {
    /// A connection that names no device is one of its own.
    pub(crate) fn key(&self, who: &Who) -> RowKey {
        let device = self.device.clone().unwrap_or_else(|| who.socket.id().to_string().into());
        RowKey { user: who.user.clone(), device }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) activity: Option<Activity>,
}

impl Default for Look {
    fn default() -> Self {
        Self { status: Status::Online, activity: None }
    }
}

impl Look {
    pub(crate) fn is_visible(&self) -> bool {
        self.status != Status::Invisible
    }

    pub(crate) fn of(row: &Row) -> Self {
        // A node of another version may allow more.
        let activity = row.activity.as_deref().and_then(|activity| Activity::try_from(activity).ok());
        Self { status: row.status, activity }
    }

    pub(crate) fn to_row(&self) -> Row {
        Row { status: self.status, activity: self.activity.as_ref().map(Activity::to_raw) }
    }

    pub(crate) fn shown(&self, user: &UserId) -> Shown {
        Shown { user: user.clone(), status: self.status, activity: self.activity.clone() }
    }
}
