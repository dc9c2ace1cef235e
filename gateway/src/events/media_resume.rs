//! `media:resume`: the client has come back over another connection, and its session goes on. How it is with it follows as
//! `media:state`.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::media::{MediaNamed, MediaResumed};
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::Ask;

use super::media::Media;
use super::{Caller, Reply, data};

pub(super) fn parse(args: &Args) -> Result<MediaSession, Failure> {
    data(args).map(|MediaNamed { session }| session)
}

pub(super) async fn apply(caller: &Caller, session: MediaSession) -> Media {
    let answered = caller.app.signaling.ask(&caller.media_client()?, session, Ask::Resume).await?;
    let resumed = MediaResumed { session, stream: &answered.stream, role: answered.role };
    Ok((Reply::new(resumed), Some(session)))
}
