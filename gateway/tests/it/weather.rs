//! A broker on a bad day: it answers late, or says that it cannot. What lies behind it is the real one.

use std::sync::Arc;

use tokio::sync::watch;
use turnpike_cluster::{
    Broker, Deliver, Page, Paged, Publication, PublishError, Read, Receipt, Signal, Soon, Standing,
    Unavailable,
};
use turnpike_wire::RoomId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fine,
    /// Messages get their place, and nobody is told before it is fine again.
    Slow,
    Away,
}

pub(crate) const AWAY: Unavailable = Unavailable { retry_after_ms: 2_500 };

pub(crate) struct Exposed {
    broker: Arc<dyn Broker>,
    weather: watch::Receiver<Weather>,
    /// Publications that were asked for.
    published: watch::Sender<usize>,
}

impl Exposed {
    pub(crate) fn expose(
        broker: Arc<dyn Broker>,
        weather: watch::Receiver<Weather>,
        published: watch::Sender<usize>,
    ) -> Arc<dyn Broker> {
        Arc::new(Self { broker, weather, published })
    }

    fn is_away(&self) -> bool {
        *self.weather.borrow() == Weather::Away
    }
}

impl Broker for Exposed {
    fn start(&self, deliver: Arc<dyn Deliver>) -> Soon<Result<(), Unavailable>> {
        self.broker.start(deliver)
    }

    fn publish(&self, publication: Publication) -> Soon<Result<Receipt, PublishError>> {
        self.published.send_modify(|count| *count += 1);
        if self.is_away() {
            return Soon::Now(Err(AWAY.into()));
        }
        let answer = self.broker.publish(publication);
        if *self.weather.borrow() == Weather::Fine {
            return answer;
        }
        let mut weather = self.weather.clone();
        Soon::later(async move {
            drop(weather.wait_for(|weather| *weather != Weather::Slow).await);
            answer.wait().await
        })
    }

    fn open(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        if self.is_away() { Soon::Now(Err(AWAY)) } else { self.broker.open(room) }
    }

    fn close(&self, room: &RoomId) {
        self.broker.close(room);
    }

    fn level(&self, room: &RoomId) -> Soon<Result<(), Unavailable>> {
        self.broker.level(room)
    }

    fn read(&self, read: &Read) -> Soon<Result<Page, Unavailable>> {
        if self.is_away() { Soon::Now(Err(AWAY)) } else { self.broker.read(read) }
    }

    fn signal(&self, room: &RoomId, signal: Signal) {
        self.broker.signal(room, signal);
    }

    fn rooms(&self, cursor: &str, max: usize) -> Soon<Result<Paged<(RoomId, Standing)>, Unavailable>> {
        if self.is_away() { Soon::Now(Err(AWAY)) } else { self.broker.rooms(cursor, max) }
    }
}
