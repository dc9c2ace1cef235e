//! `media:stop`: the session is over.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::media::MediaNamed;
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::Ask;

use super::media::{Media, done};
use super::{Caller, data};

pub(super) fn parse(args: &Args) -> Result<MediaSession, Failure> {
    data(args).map(|MediaNamed { session }| session)
}

pub(super) async fn apply(caller: &Caller, session: MediaSession) -> Media {
    done(caller, session, Ask::Stop).await
}
