//! One connection before all others: whether anybody answers there, speaks this language and lets such users in; if not, what
//! to do about it. A run of minutes that can only fail is not begun.

use std::time::Duration;

use tokio::time::Instant;

use super::link::{Broken, Ears, Link};
use crate::{
    dialect::{Packet, Refusal},
    reader::Reader,
    run::Run,
};

/// Whoever has not answered by then will not carry a load.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Fine, or what to tell whoever began the run.
pub async fn knock(run: &Run) -> Result<(), String> {
    let reader = Reader::begin().map_err(|error| error.to_string())?;
    let ears = Ears { reader: &reader, listener: None };
    let knocked = tokio::time::timeout(ANSWER_MAX, async {
        if run.profile.users == 0 {
            Link::reach(&run.places.place(0, 0), &run.tls, ears).await.map_err(|broken| advice(&broken))
        } else {
            enter(run, ears).await
        }
    });
    let fault = match knocked.await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(fault)) => fault,
        Err(_) => format!("no answer within {} s: is this its address and its port?", ANSWER_MAX.as_secs()),
    };
    Err(format!("{}: {fault}", run.places.host()))
}

async fn enter(run: &Run, ears: Ears<'_>) -> Result<(), String> {
    let opened = Link::open(&run.places.place(0, 0), &run.tls, ears, &run.dialect.path()).await;
    let mut link = match opened {
        Ok(link) => link,
        // It is there, and has too much to do just now.
        Err(Broken::Status(429 | 503, _)) => return Ok(()),
        Err(broken) => return Err(advice(&broken)),
    };
    let token = run.tokens.user(&format!("load-{:x}-first", run.id));
    let mut said = run.dialect.enters_at_once().then(|| run.dialect.enter(&token, None, None));
    loop {
        if let Some(text) = said.take() {
            link.send(text).await.map_err(|broken| advice(&broken))?;
        }
        let until = Instant::now() + ANSWER_MAX;
        let Some(text) = link.next(until).await.map_err(|broken| advice(&broken))? else {
            return Err(format!("nothing was said for {} s", ANSWER_MAX.as_secs()));
        };
        match run.dialect.read(&text) {
            Packet::Open => said = Some(run.dialect.enter(&token, None, None)),
            Packet::Refused(refusal) if !refusal.retryable => return Err(not_let_in(&refusal)),
            Packet::Garbage => {
                return Err(
                    "it speaks, and not what a Socket.IO server or /ws of a Turnpike would".to_owned()
                );
            }
            Packet::Ping | Packet::Event(_) => {}
            _ => {
                link.close().await;
                return Ok(());
            }
        }
    }
}

fn not_let_in(refusal: &Refusal) -> String {
    format!("users are not let in: {}; {TOKEN}", refusal.name())
}

const TOKEN: &str =
    "--jwt-secret must be the secret that the server checks tokens with, or --token one that it takes";

fn advice(broken: &Broken) -> String {
    let name = broken.name();
    let what = match broken {
        Broken::OutOfFiles => "raise the limit of this process (`ulimit -n`)",
        Broken::OutOfPorts => {
            "use more source addresses (`--sources`), or widen net.ipv4.ip_local_port_range"
        }
        Broken::Status(301..=308, _) => {
            "it sends its visitors elsewhere, and a load test follows nobody: give that address"
        }
        Broken::Status(401 | 403, _) => TOKEN,
        Broken::Status(..) => {
            "no websocket there: is this the port of the gateway, not the one of the admin interface? Another Socket.IO server \
             needs --server socketio, and perhaps a path in the profile's [app]"
        }
        Broken::Other(why) if why.starts_with("TLS") => {
            "the certificate must be for the name in --host, from an authority that this machine trusts or that --ca names; a \
             server without TLS is http://"
        }
        Broken::Other(why) if why == "connection refused" => {
            "nobody listens there: is the server running, and is this the port of its gateway?"
        }
        // The plain websocket's word for it (RFC 6455 7.4.1: policy).
        Broken::Other(why) if why == "closed with 1008" => TOKEN,
        Broken::Other(_) => "what answers there is no websocket server; one with TLS is https://",
    };
    format!("{name}; {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_wrong_there_is_something_to_do() {
        let table = [
            (Broken::Other("connection refused".to_owned()), "running"),
            (Broken::Other("TLS: invalid peer certificate".to_owned()), "--ca"),
            (Broken::Other("broken frames".to_owned()), "https://"),
            (Broken::Other("closed with 1008".to_owned()), "--jwt-secret"),
            (Broken::Status(404, None), "--server socketio"),
            (Broken::Status(401, None), "--jwt-secret"),
            (Broken::Status(307, None), "elsewhere"),
            (Broken::OutOfPorts, "--sources"),
        ];
        for (broken, part) in table {
            let told = advice(&broken);
            assert!(told.contains(part) && told.contains(&broken.name()), "{part} in {told}");
        }
    }
}
