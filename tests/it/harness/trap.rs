//! Runs one body against every server, in the light of what each is known to do differently.

use std::future::Future;
use std::time::Duration;

use super::deviations::{Difference, find};
use super::{Kind, Server, ServerOptions};

/// Past it a trap is stuck.
const TRAP_SECONDS_MAX: u64 = 40;

pub fn spring<F>(kind: Kind, name: &str, options: &ServerOptions, body: impl FnOnce(Server) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let deviation = find(kind, name);
    if let Some(deviation) = &deviation
        && deviation.kind == Difference::Skip
    {
        println!("skipped: {}", deviation.reason);
        return;
    }
    let server = Server::start(kind, options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = body(server);
    let outcome = runtime.block_on(async {
        let task = tokio::spawn(tokio::time::timeout(Duration::from_secs(TRAP_SECONDS_MAX), body));
        task.await.map(|ended| ended.expect("the trap is stuck"))
    });
    match (outcome, deviation) {
        (Ok(()), None) => {}
        (Ok(()), Some(deviation)) => assert!(
            deviation.kind == Difference::Varies,
            "{} no longer deviates: take {name} out of deviations.json",
            kind.name()
        ),
        (Err(failure), None) => std::panic::resume_unwind(failure.into_panic()),
        (Err(failure), Some(deviation)) => println!("as recorded: {}: {failure}", deviation.reason),
    }
}

/// `trap! { name(server) { body } }`, with `, options` behind the server where they are not the defaults: one test a
/// server, called `name::engine`, `name::node` and `name::oxide`.
macro_rules! trap {
    ($($(#[$attribute:meta])* $name:ident($server:ident $(, $options:expr)?) $body:block)*) => {
        $(mod $name {
            use super::*;

            #[allow(unused_variables, reason = "most traps need the server for its address alone")]
            async fn body($server: $crate::harness::Server) $body

            fn against(kind: $crate::harness::Kind) {
                #[allow(unused_mut, unused_assignments, reason = "only some traps change the options")]
                let mut options = $crate::harness::ServerOptions::default();
                $(options = $options;)?
                $crate::harness::spring(kind, stringify!($name), &options, body);
            }

            #[test]
            $(#[$attribute])*
            fn engine() {
                against($crate::harness::Kind::Engine);
            }

            #[test]
            $(#[$attribute])*
            fn node() {
                against($crate::harness::Kind::Node);
            }

            #[test]
            $(#[$attribute])*
            fn oxide() {
                against($crate::harness::Kind::Oxide);
            }
        })*
    };
}

pub(crate) use trap;
