//! What the relay of this process says of a stream, if there is one. The gateway knows no relay: whoever puts both into one process
//! hands it somebody to ask.

use std::pin::Pin;

use turnpike_wire::RoomId;
use turnpike_wire::media::StreamLook;

pub trait Looks: Send + Sync {
    /// None: the relay has nothing to do with it.
    fn look<'a>(
        &'a self,
        stream: &'a RoomId,
    ) -> Pin<Box<dyn Future<Output = Option<StreamLook>> + Send + 'a>>;
}
