//! Session keys from master keys: the AES-CM pseudo-random function (RFC 3711 4.3, RFC 7714 11), with a key
//! derivation rate of zero as everywhere in WebRTC.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;

use super::profile::Keys;

/// What a session key is for (RFC 3711 4.3.2).
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Label {
    RtpKey = 0,
    RtpAuth = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuth = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the session key for `label`.
pub(super) fn derive(keys: &Keys<'_>, label: Label, out: &mut [u8]) -> Result<(), Unspecified> {
    let algorithm = if keys.key.len() == 32 { &AES_256 } else { &AES_128 };
    let cipher = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, keys.key)?)?;
    // The counter starts at (salt xor label at byte 7) times 2^16; a salt of 96 bits is taken times 2^16 first.
    let mut block = [0; 16];
    block[..keys.salt.len()].copy_from_slice(keys.salt);
    block[7] ^= label as u8;
    out.fill(0);
    cipher.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(block)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Profile;

    /// RFC 3711 B.3.
    #[test]
    fn key_derivation_of_rfc_3711() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let keys = Keys::new(Profile::Aes128CmSha1_80, &key, &salt).unwrap();
        let expect = |label, text: &str| {
            let mut out = vec![0; text.len() / 2];
            derive(&keys, label, &mut out).unwrap();
            assert_eq!(out, hex(text), "{label:?}");
        };
        expect(Label::RtpKey, "C61E7A93744F39EE10734AFE3FF7A087");
        expect(Label::RtpSalt, "30CBBC08863D8C85D49DB34A9AE1");
        expect(Label::RtpAuth, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }
}
