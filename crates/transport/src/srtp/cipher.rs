//! One key with its salt: AES-GCM (RFC 7714 8, 9) or AES-CM with HMAC-SHA1-80 (RFC 3711 4.1.1, 4.2.1).

use aws_lc_rs::aead::{self, AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};

use super::derive::{Label, derive};
use super::profile::{Keys, Profile};

/// Key, salt and what they are used with. RTP and RTCP have one each a direction.
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    // Boxed: few peers need it, and it is four times the size.
    Cm(Box<Cm>),
}

pub(super) struct Cm {
    key: EncryptingKey,
    salt: [u8; 14],
    auth: hmac::Key,
}

/// What a cipher is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Rtp,
    Rtcp,
}

impl Cipher {
    pub(super) fn new(keys: &Keys<'_>, of: Of) -> Result<Self, Unspecified> {
        let (key_label, salt_label, auth_label) = match of {
            Of::Rtp => (Label::RtpKey, Label::RtpSalt, Label::RtpAuth),
            Of::Rtcp => (Label::RtcpKey, Label::RtcpSalt, Label::RtcpAuth),
        };
        let mut key = [0; 32];
        let key = &mut key[..keys.profile.key_len()];
        derive(keys, key_label, key)?;
        let gcm = |algorithm: &'static aead::Algorithm, key: &[u8]| {
            let mut salt = [0; 12];
            derive(keys, salt_label, &mut salt)?;
            Ok(Self::Gcm { key: LessSafeKey::new(UnboundKey::new(algorithm, key)?), salt })
        };
        match keys.profile {
            Profile::AeadAes128Gcm => gcm(&AES_128_GCM, key),
            Profile::AeadAes256Gcm => gcm(&AES_256_GCM, key),
            Profile::Aes128CmSha1_80 => {
                let mut salt = [0; 14];
                derive(keys, salt_label, &mut salt)?;
                let mut auth = [0; 20];
                derive(keys, auth_label, &mut auth)?;
                Ok(Self::Cm(Box::new(Cm {
                    key: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key)?)?,
                    salt,
                    auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth),
                })))
            }
        }
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => Profile::AeadAes128Gcm.tag_len(),
            Self::Cm(_) => Profile::Aes128CmSha1_80.tag_len(),
        }
    }
}

/// The initialization vector of a packet; with its key it must be used for one content only.
pub(super) fn nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    nonce[2..6].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(to, from)| *to ^= from);
    nonce[6..].iter_mut().zip(&index.to_be_bytes()[2..]).for_each(|(to, from)| *to ^= from);
    Nonce::assume_unique_for_key(nonce)
}

/// Seals `text` with GCM and gives its tag.
pub(super) fn gcm_seal(
    key: &LessSafeKey,
    nonce: Nonce,
    aad: &[u8],
    text: &mut [u8],
) -> Result<aead::Tag, Unspecified> {
    key.seal_in_place_separate_tag(nonce, Aad::from(aad), text)
}

impl Cm {
    /// Encrypts or decrypts: the same in counter mode.
    pub(super) fn crypt(&self, ssrc: u32, index: u64, text: &mut [u8]) -> Result<(), Unspecified> {
        let mut counter = [0; 16];
        counter[..14].copy_from_slice(&self.salt);
        counter[4..8].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(to, from)| *to ^= from);
        counter[8..14].iter_mut().zip(&index.to_be_bytes()[2..]).for_each(|(to, from)| *to ^= from);
        self.key.less_safe_encrypt(text, EncryptionContext::Iv128(FixedLength::from(counter)))?;
        Ok(())
    }

    /// The first 80 bits of the HMAC over the packet and, for RTP, its roll-over counter.
    pub(super) fn tag(&self, packet: &[u8], roll_over: Option<u32>) -> [u8; 10] {
        let mut mac = hmac::Context::with_key(&self.auth);
        mac.update(packet);
        if let Some(roll_over) = roll_over {
            mac.update(&roll_over.to_be_bytes());
        }
        let mut tag = [0; 10];
        tag.copy_from_slice(&mac.sign().as_ref()[..10]);
        tag
    }

    pub(super) fn verify(
        &self,
        packet: &[u8],
        roll_over: Option<u32>,
        tag: &[u8],
    ) -> Result<(), Unspecified> {
        constant_time::verify_slices_are_equal(&self.tag(packet, roll_over), tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key stream of RFC 3711 B.2, with SSRC and index zero.
    #[test]
    fn aes_cm_of_rfc_3711() {
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3cu128.to_be_bytes();
        let salt = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_0000u128.to_be_bytes();
        let cm = Cm {
            key: EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &key).unwrap()).unwrap(),
            salt: salt[..14].try_into().unwrap(),
            auth: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[0; 20]),
        };
        let mut stream = vec![0; 0xff02 * 16];
        cm.crypt(0, 0, &mut stream).unwrap();
        for (block, expected) in [
            (0, 0xe03e_ad09_35c9_5e80_e166_b16d_d92b_4eb4u128),
            (1, 0xd235_1316_2b02_d0f7_2a43_a2fe_4a5f_97ab),
            (2, 0x41e9_5b3b_b0a2_e8dd_4779_01e4_fca8_94c0),
            (0xfeff, 0xec8c_df73_9860_7cb0_f2d2_1675_ea9e_a1e4),
            (0xff00, 0x362b_7c3c_6773_5163_18a0_77d7_fc50_73ae),
            (0xff01, 0x6a2c_c378_7889_374f_beb4_c81b_17ba_6c44),
        ] {
            assert_eq!(stream[block * 16..][..16], expected.to_be_bytes(), "block {block:x}");
        }
    }
}
