//! What makes a start without any configuration possible, and must never reach production: a secret made on first use.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use turnpike_daemon::config::Secret;

/// How such a secret can be told from a real one, also when somebody copies it into a configuration.
pub(crate) const SECRET_PREFIX: &str = "development-only-";
const FILE_NAME: &str = "development-secret";
const RANDOM_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("cannot make the development secret {}: set DATA_DIR to a directory that can be written, or JWT_SECRET", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read the development secret {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the development secret {} is not one of ours; remove the file and start again", path.display())]
    Foreign { path: PathBuf },
    #[error("there is nothing to derive the secrets of this system from: set TURNPIKE_CLUSTER_SECRET")]
    NoRoot,
}

pub(crate) fn secret_path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// The secret that all development processes with this data directory share. The first to come makes it.
pub(crate) fn secret(data_dir: &Path) -> Result<Secret, SecretError> {
    let path = secret_path(data_dir);
    match fs::read_to_string(&path) {
        Ok(text) => known(&text, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(data_dir, &path).map_err(|source| SecretError::Write { path: path.clone(), source })?;
            // Not what was made just now: another process may have been faster.
            let text = fs::read_to_string(&path)
                .map_err(|source| SecretError::Read { path: path.clone(), source })?;
            known(&text, path)
        }
        Err(source) => Err(SecretError::Read { path, source }),
    }
}

fn known(text: &str, path: PathBuf) -> Result<Secret, SecretError> {
    let text = text.trim_end();
    let random = text.strip_prefix(SECRET_PREFIX).unwrap_or_default();
    if random.len() == 2 * RANDOM_BYTES { Ok(Secret::new(text)) } else { Err(SecretError::Foreign { path }) }
}

/// The file appears whole or not at all: written under another name first, then linked, which fails if it exists.
fn make(data_dir: &Path, path: &Path) -> io::Result<()> {
    let mut random = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let mut text = SECRET_PREFIX.to_owned();
    for byte in random {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');

    fs::create_dir_all(data_dir)?;
    let draft = data_dir.join(format!(".{FILE_NAME}.{}", std::process::id()));
    let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
