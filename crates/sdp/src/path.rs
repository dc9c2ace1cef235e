//! The one transport of a session: what an offer or answer says of it, and what we say.

use crate::agreement::{Local, Peer};
use crate::dtls::{DtlsRole, Setup};
use crate::error::SdpError;
use crate::ice::IceOptions;
use crate::media::Media;
use crate::{Description, Mid};

/// Of a section that is to be used.
pub(crate) fn check(description: &Description, index: usize) -> Result<&Mid, SdpError> {
    let media = &description.media[index];
    let mid = media.mid.as_ref().ok_or(SdpError::NoMid { section: index })?;
    // Alone it needs no company.
    let is_alone = description.bundle.is_empty() && description.media.len() == 1;
    if !is_alone && !description.bundle.contains(mid) {
        return Err(SdpError::NotBundled { mid: media.shown() });
    }
    if !media.rtcp_mux && !media.rtcp_mux_only {
        return Err(SdpError::NoRtcpMux { mid: media.shown() });
    }
    Ok(mid)
}

/// The section whose words about the transport hold for all: the first of the group (RFC 9143 7.2), or the next that
/// says anything.
fn tagged(description: &Description) -> Option<&Media> {
    let first = description.bundle.first();
    let tagged = description.media.iter().find(|media| first.is_some() && media.mid.as_ref() == first);
    tagged.into_iter().chain(&description.media).find(|media| media.credentials.is_some())
}

/// Of an offer.
pub(crate) fn offerer(description: &Description) -> Result<Peer, SdpError> {
    let tagged = tagged(description).ok_or(SdpError::NoCredentials)?;
    let role = match tagged.setup.ok_or(SdpError::NoSetup)? {
        Setup::ActPass | Setup::Active => DtlsRole::Server,
        Setup::Passive => DtlsRole::Client,
    };
    peer(description, tagged, role)
}

/// Of an answer to us.
pub(crate) fn answerer(description: &Description) -> Result<Peer, SdpError> {
    let tagged = tagged(description).ok_or(SdpError::NoCredentials)?;
    let role = match tagged.setup.ok_or(SdpError::NoSetup)? {
        Setup::Active => DtlsRole::Server,
        Setup::Passive => DtlsRole::Client,
        Setup::ActPass => return Err(SdpError::Setup(Setup::ActPass.name())),
    };
    peer(description, tagged, role)
}

fn peer(description: &Description, tagged: &Media, role: DtlsRole) -> Result<Peer, SdpError> {
    if tagged.fingerprints.is_empty() {
        return Err(SdpError::NoFingerprint);
    }
    // Some write them in each section, some only in another one.
    let with_candidates =
        std::iter::once(tagged).chain(&description.media).find(|media| !media.candidates.is_empty());
    Ok(Peer {
        credentials: tagged.credentials.clone().ok_or(SdpError::NoCredentials)?,
        fingerprints: tagged.fingerprints.clone(),
        role,
        candidates: with_candidates.map(|media| media.candidates.clone()).unwrap_or_default(),
        end_of_candidates: with_candidates.unwrap_or(tagged).end_of_candidates,
        ice_lite: description.ice_lite,
        trickle: description.ice_options.trickle,
        extmap_allow_mixed: description.extmap_allow_mixed,
    })
}

/// Our words about the transport into a section of ours. Candidates stand in the first alone.
pub(crate) fn dress(media: &mut Media, local: &Local, setup: Setup, is_first: bool) {
    media.rtcp_mux = true;
    // RFC 9725 4.4.1 wants it in every section; nobody minds it.
    media.rtcp_mux_only = true;
    media.rtcp_rsize = true;
    media.credentials = Some(local.credentials.clone());
    media.fingerprints = vec![local.fingerprint.clone()];
    media.setup = Some(setup);
    if is_first {
        media.candidates.clone_from(&local.candidates);
        media.end_of_candidates = true;
    }
}

/// A description of ours around its sections.
pub(crate) fn description(local: &Local, version: u64, allow_mixed: bool, media: Vec<Media>) -> Description {
    Description {
        session_id: local.session_id >> 1,
        version,
        bundle: media
            .iter()
            .filter(|media| !media.is_rejected())
            .filter_map(|media| media.mid.clone())
            .collect(),
        ice_lite: local.ice_lite,
        ice_options: IceOptions { trickle: true, ice2: true, renomination: false },
        extmap_allow_mixed: allow_mixed,
        media,
    }
}

/// A section that we do not take, as it has to stand in an answer.
pub(crate) fn refused(offered: &Media) -> Media {
    let mut media = Media::new(offered.kind);
    media.port = 0;
    media.protocol = offered.protocol;
    media.mid.clone_from(&offered.mid);
    media.direction = crate::Direction::Inactive;
    media.formats = offered
        .formats
        .iter()
        .take(1)
        .map(|format| crate::format::Format::unnamed(format.payload_type))
        .collect();
    media
}
