//! The file with the keys that sign the log: one a line, the last one signs, those before it sign for it once.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use turnpike_audit::{NotAKey, PublicKey, Signer};

const FOR_ITS_OWNER: u32 = 0o600;
const OTHERS: u32 = 0o077;
const SEED_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error("cannot read the key file {}: `turnpike audit keys new` makes one, TURNPIKE_AUDIT_KEY_FILE says where it is", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the key file {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the key file {} can be read by others than its owner: chmod 600", path.display())]
    Exposed { path: PathBuf },
    #[error("line {line} of the key file {}", path.display())]
    Line { path: PathBuf, line: usize, source: NotAKey },
    #[error("there is no key in {}", path.display())]
    Empty { path: PathBuf },
    #[error("there is a key file {} already; `turnpike audit keys rotate` adds a key to it", path.display())]
    Exists { path: PathBuf },
    #[error("the system gives no random bytes")]
    Random,
}

/// The keys in the order of the file; there is at least one.
pub(crate) fn read(path: &Path) -> Result<Vec<Signer>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.into(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Exposed { path: path.into() });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let signer = |(index, line): (usize, &str)| {
        line.parse().map_err(|source| KeyFileError::Line { path: path.into(), line: index + 1, source })
    };
    let signers: Vec<Signer> = lines.map(signer).collect::<Result<_, _>>()?;
    if signers.is_empty() { Err(KeyFileError::Empty { path: path.into() }) } else { Ok(signers) }
}

/// Makes the file with a first key. It must not exist.
pub(crate) fn make(path: &Path, node: &str) -> Result<PublicKey, KeyFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
        _ => KeyFileError::Write { path: path.into(), source },
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let signer = new_signer(&origin(node))?;
    let mut file =
        File::options().write(true).create_new(true).mode(FOR_ITS_OWNER).open(path).map_err(failed)?;
    writeln!(file, "{}", signer.reveal()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(signer.public().clone())
}

/// Adds a key that signs from the next start on. The log keeps its name.
pub(crate) fn add(path: &Path) -> Result<PublicKey, KeyFileError> {
    let failed = |source| KeyFileError::Write { path: path.into(), source };
    let signers = read(path)?;
    let name = signers.last().map(|signer| signer.public().name().to_owned()).unwrap_or_default();
    let signer = new_signer(&name)?;
    let mut file = File::options().append(true).open(path).map_err(failed)?;
    writeln!(file, "{}", signer.reveal()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(signer.public().clone())
}

/// The name of a node's log, and of its keys.
pub(crate) fn origin(node: &str) -> String {
    format!("turnpike/{node}")
}

fn new_signer(name: &str) -> Result<Signer, KeyFileError> {
    let mut seed = [0; SEED_BYTES];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| KeyFileError::Random)?;
    Signer::from_seed(name, seed).map_err(|_| KeyFileError::Random)
}
