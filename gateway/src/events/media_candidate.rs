//! `media:candidate`: one more way to reach the client, or that there are no more.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::media::MediaCandidate;
use turnpike_wire::media::Candidate;
use turnpike_wire::media::relay::Ask;

use super::media::{Media, done};
use super::{Caller, data};

pub(super) fn parse(args: &Args) -> Result<MediaCandidate, Failure> {
    data(args)
}

pub(super) async fn apply(caller: &Caller, candidate: MediaCandidate) -> Media {
    let MediaCandidate { session, candidate } = candidate;
    done(caller, session, Ask::Candidate { candidate: Candidate::or_end(candidate) }).await
}
