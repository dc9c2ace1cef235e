//! The keys of the audit log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use turnpike_daemon::config::ByteSize;
use turnpike_daemon::{choice, section};

section! {
    /// The audit log.
    pub(crate) struct Audit in "audit" {
        /// Whether it is written.
        enabled: bool = "true", "TURNPIKE_AUDIT";
        /// Directory of the log's files. Not set: `audit` in `DATA_DIR`.
        dir: Option<PathBuf> = "", "AUDIT_DIR";
        /// File with the keys that sign the log, readable by this process alone and best on another disk. Not set: `audit-key` in `DATA_DIR`.
        key_file: Option<PathBuf> = "", "TURNPIKE_AUDIT_KEY_FILE";
        /// What becomes of logins and administration while the log cannot be written: `deny` refuses them, `degrade` goes on and says so.
        on_failure: OnFailure = "deny", "TURNPIKE_AUDIT_ON_FAILURE";
        /// How long a login waits for its record before that counts as a failure.
        wait_max: Duration = "1s", "TURNPIKE_AUDIT_WAIT_MAX", "10ms" to "30s";
        /// Records that may wait to be written. When three quarters are taken only what decides over access is still taken in.
        queue_records_max: usize = "32768", "TURNPIKE_AUDIT_QUEUE_RECORDS_MAX", "1024" to "1000000";
        /// A file of this size is followed by another, as it is at the full hour.
        file_bytes_max: ByteSize = "64MiB", "TURNPIKE_AUDIT_FILE_BYTES_MAX", "1MiB" to "4GiB";
        /// Room on the disk that is kept for when it is full.
        reserve_bytes: ByteSize = "16MiB", "TURNPIKE_AUDIT_RESERVE_BYTES", "64KiB" to "4GiB";
        /// How long records are kept.
        retention: Duration = "400d", "TURNPIKE_AUDIT_RETENTION", "1d" to "10000d";
        /// How long records of the classes `connection`, `media`, `limit` and `turn` are kept.
        retention_short: Duration = "90d", "TURNPIKE_AUDIT_RETENTION_SHORT", "1d" to "10000d";
        /// File to which signed checkpoints are written as well, best on another disk or machine. Not set: none.
        anchor_file: Option<PathBuf> = "", "TURNPIKE_AUDIT_ANCHOR_FILE";
    }
}

choice! {
    pub(crate) enum OnFailure {
        Deny = "deny",
        Degrade = "degrade",
    }
    expects "`deny` or `degrade`"
}

impl Audit {
    pub(crate) fn directory(&self, data_dir: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| data_dir.join("audit"))
    }

    pub(crate) fn keys(&self, data_dir: &Path) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| data_dir.join("audit-key"))
    }
}
