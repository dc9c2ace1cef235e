//! What the codec costs, roughly: a look while working on it, not a proof. Not run by default, since a time says
//! nothing in the dev profile or on a busy machine:
//!
//! `cargo test --release -p turnpike-engine --test it -- --ignored --nocapture frame_cost`
//!
//! One Xeon core, others busy: reading 128 B takes 23 ns (29 ns with the UTF-8 check, 120 ns when the frame comes in
//! two reads and needs memory of its own), writing it 4 ns; 2 KB are compressed in 9 us and inflated in 1.5 us.

#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::{
    convert::Infallible,
    hint::black_box,
    time::{Duration, Instant},
};

use turnpike_engine::frame::{Limits, Opcode, Reader, Role, deflate, write_frame, write_masked_frame};

const LIMITS: Limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// What one read of a shard takes.
const INPUT_BYTES: usize = 64 * 1024;

/// The best of some runs: the others were interrupted.
fn nanoseconds(name: &str, operations: usize, mut run: impl FnMut()) {
    let best = (0..200)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::MAX);
    println!("{name}: {:.1} ns", best.as_secs_f64() * 1e9 / operations as f64);
}

fn reading(name: &str, opcode: Opcode, payload: &[u8], piece: usize) {
    let mut stream = Vec::new();
    let mut frames = 0;
    while stream.len() < INPUT_BYTES {
        write_masked_frame(&mut stream, opcode, payload, false, KEY);
        frames += 1;
    }
    let mut input = stream.clone();
    let mut reader = Reader::new(Role::Server, false);
    nanoseconds(name, frames, || {
        // Reading unmasks in place, so the input is made anew; that is less than a tenth of the time.
        input.copy_from_slice(&stream);
        let mut count = 0;
        for chunk in input.chunks_mut(piece) {
            let read = reader.read(chunk, &LIMITS, |incoming| {
                black_box(incoming);
                count += 1;
                Ok::<_, Infallible>(())
            });
            read.expect("our own writer made it");
        }
        assert_eq!(count, frames);
    });
}

#[test]
#[ignore = "a measurement"]
fn frame_cost() {
    let payload = vec![b'x'; 128];
    reading("read text, 128 B", Opcode::Text, &payload, usize::MAX);
    reading("read binary, 128 B", Opcode::Binary, &payload, usize::MAX);
    reading("read text, 128 B, one frame a read", Opcode::Text, &payload, 136);
    reading("read text, 128 B, each frame cut in two", Opcode::Text, &payload, 68);
    reading("read text, 16 B", Opcode::Text, &payload[..16], usize::MAX);
    reading("read binary, 4 KB", Opcode::Binary, &[1; 4096], usize::MAX);

    let mut out = Vec::with_capacity(1 << 20);
    for (name, len) in [("write, 128 B", 128), ("write, 16 B", 16), ("write, 4 KB", 4096)] {
        let payload = vec![b'x'; len];
        nanoseconds(name, 128, || {
            out.clear();
            for _ in 0..128 {
                write_frame(&mut out, Opcode::Text, black_box(&payload), false);
            }
            black_box(&out);
        });
    }
    let json = r#"["message",{"room":"chat:lobby","user":"user-17","text":"hello there","at":1753000000}]"#
        .repeat(24);
    nanoseconds("compress 2 KB", 1, || {
        out.clear();
        deflate::compress(json.as_bytes(), &mut out);
    });
    let small = out.clone();
    nanoseconds("inflate 2 KB", 1, || {
        black_box(deflate::inflate(&small, 1 << 20, &mut out).unwrap());
    });
}
