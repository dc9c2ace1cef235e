//! One suite for every implementation of the plane: each sentence at the traits in `src` is a test here by name.
//!
//! A case gets a [`Stage`] with nodes on it and says what it expects. `on_every_ground!` runs it against each
//! implementation; those that need several nodes, or one that can come back, run where that can be had. Whatever a case
//! is about, what its nodes were given is checked against the contract of `Deliver` when it ends.

mod ground;
mod recorder;
mod stage;

mod bulletin;
mod continuity;
mod dedupe;
mod delivering;
mod directory;
mod following;
mod marks;
mod membership;
mod occupancy;
mod order;
mod post;
mod presence;
mod quota;
mod reading;
mod rooms;
mod sessions;
mod signals;

use self::stage::{Stage, room, user};

/// One node or several, it makes no difference.
macro_rules! on_every_ground {
    ($($case:ident)*) => {
        cases! { memory: super::super::ground::memory(), $($case)* }
        cases! { disk: super::super::ground::disk(), $($case)* }
        cases! { redis_two: super::super::ground::redis(2), $($case)* }
        cases! { redis_three: super::super::ground::redis(3), $($case)* }
    };
}

/// About what several nodes do.
macro_rules! on_several_nodes {
    ($($case:ident)*) => {
        cases! { between_two: super::super::ground::redis(2), $($case)* }
        cases! { between_three: super::super::ground::redis(3), $($case)* }
    };
}

/// About what outlives a node.
macro_rules! on_what_lasts {
    ($($case:ident)*) => {
        cases! { disk_again: super::super::ground::disk(), $($case)* }
        cases! { redis_again: super::super::ground::redis(2), $($case)* }
    };
}

macro_rules! cases {
    ($ground:ident: $made:expr, $($case:ident)*) => {
        mod $ground {
            $(
                #[test]
                fn $case() {
                    super::super::stage::run($made, super::$case);
                }
            )*
        }
    };
}

use {cases, on_every_ground, on_several_nodes, on_what_lasts};
