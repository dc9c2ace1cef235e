//! The keys of the audit log.

use std::path::{Path, PathBuf};

use turnpike_daemon::section;

section! {
    /// The audit log.
    pub(crate) struct Audit in "audit" {
        /// Directory of the log's files. Not set: `audit` in `DATA_DIR`.
        dir: Option<PathBuf> = "", "AUDIT_DIR";
        /// File with the keys that sign the log, readable by this process alone and best on another disk. Not set: `audit-key` in `DATA_DIR`.
        key_file: Option<PathBuf> = "", "TURNPIKE_AUDIT_KEY_FILE";
    }
}

impl Audit {
    pub(crate) fn directory(&self, data_dir: &Path) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| data_dir.join("audit"))
    }

    pub(crate) fn keys(&self, data_dir: &Path) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| data_dir.join("audit-key"))
    }
}
