//! `media:answer`: the answer to the relay's offer, which came with `media:subscribe` or as `media:offer`.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::media::MediaDescription;
use turnpike_wire::media::relay::Ask;
use turnpike_wire::media::{MediaSession, Sdp};

use super::media::{Media, done, sdp};
use super::{Caller, data};

pub(super) struct Answer {
    session: MediaSession,
    sdp: Sdp,
}

pub(super) fn parse(args: &Args) -> Result<Answer, Failure> {
    let answer: MediaDescription<'_> = data(args)?;
    Ok(Answer { session: answer.session, sdp: sdp(&answer.sdp)? })
}

pub(super) async fn apply(caller: &Caller, answer: Answer) -> Media {
    done(caller, answer.session, Ask::Answer { sdp: answer.sdp }).await
}
