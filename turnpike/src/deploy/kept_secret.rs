//! Files that are a secret each, in a folder that is called so.

use super::file::{File, Found};
use super::{Kind, Surroundings};

pub(super) const KIND: Kind = Kind { name: "secret", is, check };

/// Those of a form of their own are looked at by it.
fn is(file: &File) -> bool {
    let folder = file.path.parent().and_then(|folder| folder.file_name());
    folder.is_some_and(|folder| folder == "secrets") && file.path.extension().is_none()
}

fn check(file: &File, _: &Surroundings<'_>) -> Vec<Found> {
    file.secret(file.name(), 1, file.text.trim_end())
}
