//! One Engine.IO session as a state machine: transports, upgrade, heartbeat. Pure: packets and the time go in, what
//! is to be done comes out. It knows no socket, no queue and no namespace.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::packet::EnginePacket;

/// By which way a packet came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Via {
    Polling,
    Websocket,
    /// A websocket that wants to take over a polling session.
    Probe,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Polling,
    Websocket,
}

/// What a packet asks for.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Act<'a> {
    Nothing,
    Text(&'a str),
    Binary(&'a [u8]),
    /// Answer the probe, and let a parked poll go, so that the client can stop polling.
    AnswerProbe,
    /// The websocket carries the session from here on.
    Switch,
    /// The client ended the session.
    End,
    /// The packet has no place here. On a probe it costs the probe only.
    Fault(&'static str),
}

/// What a GET gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Get {
    Answer,
    /// Nothing to say, but the client must not wait.
    AnswerNoop,
    Park,
    /// The session lives on its websocket.
    WrongTransport,
    /// There is a parked GET already: two readers cannot share one order.
    Conflict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beat {
    Ping,
    /// The pong did not come.
    Dead,
    Nothing,
}

#[derive(Clone, Copy)]
pub(crate) struct Heartbeat {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Upgrade {
    None,
    /// A probe was answered; the client is about to stop polling.
    Probed,
}

#[derive(Debug)]
pub(crate) struct Session {
    transport: Transport,
    upgrade: Upgrade,
    parked: bool,
    ping_due_ms: u64,
    /// Present while a ping is unanswered.
    pong_due_ms: Option<NonZeroU64>,
}

impl Session {
    /// `first_ping_ms` is spread over the interval by the caller, so that a crowd that came at once does not ping at once.
    pub(crate) fn new(transport: Transport, first_ping_ms: u64) -> Self {
        Self {
            transport,
            upgrade: Upgrade::None,
            parked: false,
            ping_due_ms: first_ping_ms,
            pong_due_ms: None,
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn packet<'a>(&mut self, via: Via, packet: &'a EnginePacket<'a>) -> Act<'a> {
        match (via, packet) {
            // One at a time: a second probe would take the first one's `5` for its own end.
            (Via::Probe, EnginePacket::PingProbe)
                if self.transport == Transport::Polling && self.upgrade == Upgrade::None =>
            {
                self.upgrade = Upgrade::Probed;
                Act::AnswerProbe
            }
            (Via::Probe, EnginePacket::Upgrade)
                if self.transport == Transport::Polling && self.upgrade == Upgrade::Probed =>
            {
                self.transport = Transport::Websocket;
                self.upgrade = Upgrade::None;
                Act::Switch
            }
            (Via::Probe, _) => Act::Fault("a probe is `2probe`, then `5`"),
            (Via::Polling, _) if self.transport == Transport::Websocket => {
                Act::Fault("the session lives on its websocket")
            }
            (_, EnginePacket::Message(text)) => Act::Text(text),
            (_, EnginePacket::Binary(bytes)) => Act::Binary(bytes),
            (_, EnginePacket::Pong) => {
                self.pong_due_ms = None;
                Act::Nothing
            }
            (_, EnginePacket::Noop) => Act::Nothing,
            (_, EnginePacket::Close) => Act::End,
            (_, EnginePacket::Ping) => Act::Fault("pings go from the server to the client"),
            (_, EnginePacket::PingProbe | EnginePacket::PongProbe | EnginePacket::Upgrade) => {
                Act::Fault("upgrade packet on an established transport")
            }
        }
    }

    /// When the pong that is waited for is overdue.
    pub(crate) fn pong_due_ms(&self) -> Option<u64> {
        self.pong_due_ms.map(NonZeroU64::get)
    }

    /// A websocket's own pong counts where the client speaks no Engine.IO.
    pub(crate) fn pong(&mut self) {
        self.pong_due_ms = None;
    }

    /// The probe failed; the session stays on polling.
    pub(crate) fn probe_ended(&mut self) {
        self.upgrade = Upgrade::None;
    }

    pub(crate) fn get(&mut self, has_output: bool) -> Get {
        match self.transport {
            Transport::Websocket => Get::WrongTransport,
            Transport::Polling if self.parked => Get::Conflict,
            Transport::Polling if has_output => Get::Answer,
            Transport::Polling if self.upgrade == Upgrade::Probed => Get::AnswerNoop,
            Transport::Polling => {
                self.parked = true;
                Get::Park
            }
        }
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parked
    }

    /// The parked GET was answered, or its client gave it up.
    pub(crate) fn unpark(&mut self) {
        self.parked = false;
    }

    /// What is due now, and when to ask again.
    pub(crate) fn beat(&mut self, now_ms: u64, heartbeat: Heartbeat) -> (Beat, u64) {
        if let Some(due) = self.pong_due_ms {
            return (if now_ms >= due.get() { Beat::Dead } else { Beat::Nothing }, due.get());
        }
        if now_ms < self.ping_due_ms {
            return (Beat::Nothing, self.ping_due_ms);
        }
        self.ping_due_ms = now_ms + heartbeat.interval.as_millis() as u64;
        let pong_due_ms = now_ms + heartbeat.timeout.as_millis() as u64;
        self.pong_due_ms = NonZeroU64::new(pong_due_ms);
        (Beat::Ping, pong_due_ms.min(self.ping_due_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Heartbeat =
        Heartbeat { interval: Duration::from_secs(25), timeout: Duration::from_secs(20) };

    #[test]
    fn a_pong_postpones_the_end_and_the_next_ping_keeps_its_interval() {
        let mut session = Session::new(Transport::Websocket, 3_000);
        assert_eq!(session.beat(2_999, HEARTBEAT), (Beat::Nothing, 3_000));
        assert_eq!(session.beat(3_050, HEARTBEAT), (Beat::Ping, 23_050));
        assert_eq!(session.beat(23_049, HEARTBEAT), (Beat::Nothing, 23_050));
        assert_eq!(session.packet(Via::Websocket, &EnginePacket::Pong), Act::Nothing);
        assert_eq!(session.beat(23_050, HEARTBEAT), (Beat::Nothing, 28_050));
        assert_eq!(session.beat(28_050, HEARTBEAT), (Beat::Ping, 48_050));
        assert_eq!(session.beat(48_050, HEARTBEAT).0, Beat::Dead);
    }

    #[test]
    fn an_interval_shorter_than_the_timeout_is_kept() {
        let heartbeat = Heartbeat { interval: Duration::from_secs(10), timeout: Duration::from_secs(20) };
        let mut session = Session::new(Transport::Websocket, 0);
        assert_eq!(session.beat(0, heartbeat), (Beat::Ping, 10_000));
        session.pong();
        assert_eq!(session.beat(10_000, heartbeat), (Beat::Ping, 20_000));
        // Unanswered: no second ping, and no end before the deadline.
        assert_eq!(session.beat(20_000, heartbeat), (Beat::Nothing, 30_000));
        assert_eq!(session.beat(30_000, heartbeat).0, Beat::Dead);
    }

    #[test]
    fn messages_are_no_pongs_and_unasked_pongs_are_harmless() {
        let mut session = Session::new(Transport::Websocket, 0);
        assert_eq!(session.packet(Via::Websocket, &EnginePacket::Pong), Act::Nothing);
        assert_eq!(session.beat(0, HEARTBEAT).0, Beat::Ping);
        assert_eq!(session.packet(Via::Websocket, &EnginePacket::Message("2[]")), Act::Text("2[]"));
        assert_eq!(session.beat(20_000, HEARTBEAT).0, Beat::Dead);
    }

    #[test]
    fn an_upgrade_is_probe_then_upgrade_and_nothing_else() {
        let mut session = Session::new(Transport::Polling, 0);
        assert!(matches!(session.packet(Via::Probe, &EnginePacket::Upgrade), Act::Fault(_)), "not probed");
        assert_eq!(session.packet(Via::Probe, &EnginePacket::PingProbe), Act::AnswerProbe);
        assert!(
            matches!(session.packet(Via::Probe, &EnginePacket::PingProbe), Act::Fault(_)),
            "one at a time"
        );
        assert!(matches!(session.packet(Via::Probe, &EnginePacket::Message("x")), Act::Fault(_)));
        assert_eq!(session.transport(), Transport::Polling, "a bad probe leaves the session where it was");
        assert_eq!(session.packet(Via::Polling, &EnginePacket::Message("y")), Act::Text("y"));
        assert_eq!(session.packet(Via::Probe, &EnginePacket::Upgrade), Act::Switch);
        assert_eq!(session.transport(), Transport::Websocket);
        assert!(
            matches!(session.packet(Via::Probe, &EnginePacket::PingProbe), Act::Fault(_)),
            "upgraded already"
        );
        assert!(matches!(session.packet(Via::Polling, &EnginePacket::Message("z")), Act::Fault(_)));
        assert_eq!(session.get(true), Get::WrongTransport);
    }

    #[test]
    fn a_probe_that_ended_must_begin_again() {
        let mut session = Session::new(Transport::Polling, 0);
        assert_eq!(session.packet(Via::Probe, &EnginePacket::PingProbe), Act::AnswerProbe);
        session.probe_ended();
        assert!(matches!(session.packet(Via::Probe, &EnginePacket::Upgrade), Act::Fault(_)));
    }

    #[test]
    fn one_get_parks_and_a_second_is_a_conflict() {
        let mut session = Session::new(Transport::Polling, 0);
        assert_eq!(session.get(true), Get::Answer);
        assert_eq!(session.get(false), Get::Park);
        assert_eq!(session.get(false), Get::Conflict);
        session.unpark();
        assert_eq!(session.packet(Via::Probe, &EnginePacket::PingProbe), Act::AnswerProbe);
        assert_eq!(session.get(false), Get::AnswerNoop, "a client that upgrades must not be kept waiting");
    }

    #[test]
    fn what_only_the_server_says_is_a_fault() {
        for packet in
            [EnginePacket::Ping, EnginePacket::PingProbe, EnginePacket::PongProbe, EnginePacket::Upgrade]
        {
            let mut session = Session::new(Transport::Websocket, 0);
            assert!(matches!(session.packet(Via::Websocket, &packet), Act::Fault(_)), "{packet:?}");
        }
    }
}
