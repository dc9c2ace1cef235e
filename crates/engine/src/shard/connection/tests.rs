//! What a connection takes that has nothing to do.

use std::rc::Rc;
use std::sync::Arc;

use super::{Conn, State};
use crate::application::{
    Admission, Application, ConnectRequest, DisconnectReason, Event, Refusal, Step, Traffic,
};
use crate::ids::SocketRef;

struct Nobody;

impl Application for Nobody {
    type Socket = Arc<()>;

    fn connect(&self, _: ConnectRequest) -> Step<Result<Admission<Arc<()>>, Refusal>> {
        unreachable!("nobody comes")
    }

    fn event(&self, _: &Arc<()>, _: Event) -> Step<()> {
        unreachable!("nobody comes")
    }

    fn disconnect(&self, _: &Arc<()>, _: &SocketRef, _: &DisconnectReason, _: Traffic) {}

    fn refill(&self, _: &Arc<()>, _: &SocketRef, _: Option<&str>) {}
}

/// Allocators round up: the next size is 640, for each of a hundred thousand connections. What is seldom there is boxed.
#[test]
fn a_connection_is_one_block_of_512_bytes() {
    let counts = size_of::<[usize; 2]>();
    let (conn, state) = (size_of::<Conn<Nobody>>(), size_of::<State<Nobody>>());
    assert!(counts + conn <= 512, "{conn} bytes, {state} of them its state");
    assert_eq!(size_of::<Rc<Conn<Nobody>>>(), 8);
}
