//! `media:layer`: which picture a viewer wants, and how large it is shown.

use turnpike_engine::packet::Args;
use turnpike_wire::Failure;
use turnpike_wire::event::media::MediaLayer;
use turnpike_wire::media::relay::Ask;

use super::media::{Media, done};
use super::{Caller, data};

pub(super) fn parse(args: &Args) -> Result<MediaLayer, Failure> {
    data(args)
}

pub(super) async fn apply(caller: &Caller, layer: MediaLayer) -> Media {
    done(caller, layer.session, Ask::Layer(layer.wish)).await
}
