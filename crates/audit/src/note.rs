//! Checkpoints: how many records, and the root of their tree, signed (C2SP tlog-checkpoint and signed-note). Pure.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::{DIGEST_BYTES, Digest};
use crate::key::{KeyId, PublicKey, Signer};

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log: the name of its key.
    pub origin: String,
    /// Records that it covers: those with a number below.
    pub size: u64,
    pub root: Digest,
    /// One line of our own. It binds the record that carries the checkpoint, whose other fields no signature would cover
    /// if it were the last of a log. Other tools pass over it.
    pub bound: String,
}

/// A checkpoint with its signatures, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub checkpoint: Checkpoint,
    text: String,
    body_bytes: usize,
    signatures: Vec<(String, KeyId, Vec<u8>)>,
}

/// Text that is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a signed checkpoint")]
pub struct NotANote;

/// More than a checkpoint with two signatures has.
const NOTE_BYTES_MAX: usize = 2_048;
const SIGNATURES_MAX: usize = 8;
const SIGNATURE_BEGINS: &str = "— ";

impl Note {
    /// Signed by each, in that order.
    pub fn sign(checkpoint: Checkpoint, signers: &[&Signer]) -> Self {
        let Checkpoint { origin, size, root, bound } = &checkpoint;
        let body = format!("{origin}\n{size}\n{}\n{bound}\n", STANDARD.encode(root.0));
        let mut text = format!("{body}\n");
        let mut signatures = Vec::new();
        for signer in signers {
            let signature = signer.sign(body.as_bytes());
            let (name, id) = (signer.public().name(), signer.public().id());
            let mut bytes = id.0.to_vec();
            bytes.extend(signature);
            let _ = writeln!(text, "{SIGNATURE_BEGINS}{name} {}", STANDARD.encode(&bytes));
            signatures.push((name.to_owned(), id, signature.to_vec()));
        }
        Self { checkpoint, text, body_bytes: body.len(), signatures }
    }

    pub fn parse(text: &str) -> Result<Self, NotANote> {
        Self::read(text).filter(|note| note.text.len() <= NOTE_BYTES_MAX).ok_or(NotANote)
    }

    fn read(text: &str) -> Option<Self> {
        let (lines, signed) = text.split_once("\n\n")?;
        let mut body = lines.split('\n');
        let (origin, size, root) = (body.next()?, body.next()?, body.next()?);
        let bound = body.next()?;
        if body.next().is_some() || origin.is_empty() || bound.is_empty() {
            return None;
        }
        let number: u64 = size.parse().ok()?;
        let root: [u8; DIGEST_BYTES] = STANDARD.decode(root).ok()?.try_into().ok()?;
        let mut signatures = Vec::new();
        for line in signed.strip_suffix('\n')?.split('\n') {
            let (name, encoded) = line.strip_prefix(SIGNATURE_BEGINS)?.split_once(' ')?;
            let bytes = STANDARD.decode(encoded).ok()?;
            let (id, signature) = bytes.split_first_chunk()?;
            signatures.push((name.to_owned(), KeyId(*id), signature.to_vec()));
        }
        if signatures.len() > SIGNATURES_MAX || number.to_string() != size {
            return None;
        }
        let checkpoint =
            Checkpoint { origin: origin.into(), size: number, root: Digest(root), bound: bound.into() };
        Some(Self { checkpoint, text: text.into(), body_bytes: lines.len() + 1, signatures })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let body = &self.text.as_bytes()[..self.body_bytes];
        let id = key.id();
        self.signatures.iter().any(|(name, signer, signature)| {
            *signer == id && name == key.name() && key.verifies(body, signature)
        })
    }

    /// Who claims to have signed it.
    pub fn signers(&self) -> impl Iterator<Item = (&str, KeyId)> {
        self.signatures.iter().map(|(name, id, _)| (name.as_str(), *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::from_seed("turnpike/a", [seed; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "turnpike/a".into(), size: 7, root: Digest([5; 32]), bound: "x 1".into() }
    }

    #[test]
    fn a_note_reads_back_and_names_its_signers() {
        let note = Note::sign(checkpoint(), &[&signer(1), &signer(2)]);
        assert_eq!(Note::parse(note.text()), Ok(note.clone()));
        assert!(note.is_signed_by(signer(1).public()) && note.is_signed_by(signer(2).public()));
        assert!(!note.is_signed_by(signer(3).public()));
        insta::assert_snapshot!(Note::sign(checkpoint(), &[&signer(1)]).text(), @"
        turnpike/a
        7
        BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=
        x 1

        — turnpike/a Egheth8tQh3G46BU6z9Z8GGIJ2IriEUUzBI11Ql1UGni7LaOLFOetM+klhIPRkewhi6Prtw7JcbHHV3jhkSsYgQR8A4=
        ");
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let note = Note::sign(checkpoint(), &[&signer(1)]);
        for at in 0..note.text().len() {
            let mut bytes = note.text().as_bytes().to_vec();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let holds = Note::parse(&text).is_ok_and(|note| note.is_signed_by(signer(1).public()));
            assert!(!holds, "at {at}");
        }
    }

    #[test]
    fn a_note_of_gos_library_is_verified() {
        // The example of `golang.org/x/mod/sumdb/note` is a note, but no checkpoint.
        assert_eq!(Note::parse("If you think cryptography is the answer.\n\n— a AAAA\n"), Err(NotANote));
        let key: PublicKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let encoded =
            "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let signature = STANDARD.decode(encoded).unwrap();
        assert!(key.verifies(text.as_bytes(), &signature[4..]) && signature[..4] == key.id().0);
    }
}
