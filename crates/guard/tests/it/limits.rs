//! What limits cost: memory, and what a check allocates. What it takes is printed by
//! `cargo test --release -p turnpike-guard -- --ignored checks_speed --nocapture`.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use turnpike_guard::limit::{Bucket, Limit, Rate, Rates, Share, Table, Verdict, Whole};

const ENTRIES_MAX: usize = 200_000;
const ADDRESSES: u32 = 1_000_000;

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate::per_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
}

fn address(number: u32) -> IpAddr {
    if number.is_multiple_of(2) {
        Ipv4Addr::from(0x0A00_0000 + number).into()
    } else {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(number) << 64)).into()
    }
}

#[test]
fn a_bucket_is_eight_bytes_and_a_check_allocates_nothing() {
    assert_eq!(size_of::<Bucket>(), 8);
    let (rates, bucket, table) = (Rates::default(), Bucket::default(), Table::<str>::new(1_000));
    let events = rates.of(Limit::Events);
    let whole = Whole { rate: events, nodes: 3 };
    let mut share = Share::<()>::new(whole, 0);
    table.check("alice", events, 0).unwrap();
    let measured = allocation_counter::measure(|| {
        for now_ms in 0..10_000 {
            for _ in 0..3 {
                let _ = black_box(bucket.check(events, now_ms));
                let _ = black_box(bucket.check_n(events, 1_000, now_ms));
                let _ = black_box(table.check("alice", events, now_ms));
            }
        }
        for _ in 0..100 {
            assert_eq!(share.pass(whole, 1, 0, || ()).0, Some(Verdict::Passes));
        }
    });
    assert_eq!((measured.count_total, measured.bytes_total), (0, 0));
}

/// Each of them is used up and so cannot be forgotten yet: the worst that can come.
#[test]
fn a_million_addresses_take_no_more_than_the_bound() {
    let (table, rate) = (Table::<IpAddr>::new(ENTRIES_MAX), rate(1, 2));
    let mut passed = 0u32;
    let measured = allocation_counter::measure(|| {
        for number in 0..ADDRESSES {
            // All within a second.
            let now_ms = u64::from(number / 1_000);
            passed += u32::from(table.check_n(&address(number), &rate, 2, now_ms).is_ok());
        }
    });
    println!(
        "{ADDRESSES} addresses, at most {ENTRIES_MAX}: {} are known, {passed} passed, {} MB at most, {} now",
        table.len(),
        measured.bytes_max / 1_000_000,
        measured.bytes_current / 1_000_000
    );
    assert!(table.len() <= table.entries_max() && table.entries_max() <= ENTRIES_MAX);
    assert!(measured.bytes_max < 40 * ENTRIES_MAX as u64, "{} bytes", measured.bytes_max);
    assert!(
        passed < ENTRIES_MAX as u32 + 1_000,
        "{passed} passed: who is one too many is not let through unlimited"
    );
    let (idle_ms, mut left) = (10_000, 0);
    let after = allocation_counter::measure(|| table.sweep(idle_ms));
    left += table.len();
    assert_eq!(left, 0);
    assert!(measured.bytes_current + after.bytes_current < 500_000, "what is not needed is given back");
}

/// Addresses that come, are quiet and come no more: all pass, and few are remembered.
#[test]
fn addresses_that_are_quiet_again_make_room() {
    let (table, rate) = (Table::<IpAddr>::new(20_000), rate(10, 10));
    let mut refused = 0;
    for number in 0..ADDRESSES / 4 {
        // Ten a millisecond, each idle again after 100 ms.
        refused += u32::from(table.check(&address(number), &rate, u64::from(number / 10)).is_err());
    }
    assert_eq!((refused, table.crowded()), (0, 0));
}

#[test]
fn what_several_threads_let_through_is_what_one_would() {
    let (table, bucket, rate) = (Table::<str>::new(1_000), Bucket::default(), rate(1, 1_000));
    let (of_table, of_bucket) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    of_table.fetch_add(u64::from(table.check("alice", &rate, 0).is_ok()), Ordering::Relaxed);
                    of_bucket.fetch_add(u64::from(bucket.check(&rate, 0).is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((of_table.into_inner(), of_bucket.into_inner()), (1_000, 1_000));
}

/// Of this thread: what others do on this machine meanwhile does not count.
fn on_processor_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "prints figures"]
fn checks_speed() {
    const TIMES: u64 = 20_000_000;
    let (passes, refuses) = (rate(1_000_000_000, 1_000_000_000), rate(1, 1));
    let measure = |what: &str, check: &mut dyn FnMut(u64) -> bool| {
        for _ in 0..3 {
            let begin = on_processor_ns();
            for number in 0..TIMES {
                black_box(check(black_box(number)));
            }
            println!("{what}: {:.1} ns", (on_processor_ns() - begin) as f64 / TIMES as f64);
        }
    };
    let bucket = Bucket::default();
    measure("a bucket, passes", &mut |number| bucket.check(&passes, number).is_ok());
    measure("a bucket, 500 at once", &mut |number| bucket.check_n(&passes, 500, number).is_ok());
    let bucket = Bucket::default();
    measure("a bucket, refuses", &mut |_| bucket.check(&refuses, 5).is_ok());
    let table = Table::<IpAddr>::new(ENTRIES_MAX);
    let keys: Vec<IpAddr> = (0..1_000).map(address).collect();
    measure("a table, one of 1,000 addresses", &mut |number| {
        table.check(&keys[number as usize % 1_000], &passes, number).is_ok()
    });
    let keys: Vec<IpAddr> = (0..100_000).map(address).collect();
    measure("a table, one of 100,000 addresses", &mut |number| {
        table.check(&keys[number as usize * 7_919 % 100_000], &refuses, 5).is_ok()
    });
    let names = Table::<str>::new(ENTRIES_MAX);
    measure("a table, a name", &mut |number| names.check("user-4711", &passes, number).is_ok());
    let whole = Whole { rate: &passes, nodes: 1 };
    let mut share = Share::<()>::new(whole, 0);
    measure("a share that suffices", &mut |_| share.pass(whole, 1, 0, || ()).0.is_some());
}
