//! Packets of all pipes of a link, out and in: a datagram each, or where one does not fit, a stream of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt as _;
use quinn::{Connection, SendDatagramError};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use turnpike_wire::RoomId;

use super::counters::{Counters, Dropped};
use super::ends::Ends;
use super::sink::Outgoing;
use super::transport::LARGE_MAX;
use crate::carry::{Delivered, Down, PipeId, packet_bytes, read_packet, write_packet};

/// Packets that wait for a link: 150 ms of 250 Mbit/s, a keyframe of many streams.
pub(super) const OUTGOING_MAX: usize = 4_096;
/// Pipes that begin and end, and large packets, that wait for whoever reads.
pub(super) const CHANGES_MAX: usize = 1_024;
/// Handed to QUIC, or taken from it, before others have their turn.
const BATCH: usize = 64;
/// Whoever watches has a little patience; on a path that carries less than it should, everything would come too late
/// instead of a part of it not at all.
const WAIT_MAX: Duration = Duration::from_millis(150);
/// No network gives us more.
const LARGE_BYTES_MAX: usize = 68 * 1024;
/// Later, media is of no use.
const LARGE_DEADLINE: Duration = Duration::from_secs(1);
/// Of a pipe's number, seven bits a byte.
const NUMBER_BYTES_MAX: usize = 5;
const ARENA_BYTES: usize = 64 * 1024;

/// What whoever reads packets is told.
pub(super) enum Change {
    Begin { number: u64, stream: RoomId, pipe: PipeId },
    End { number: u64 },
    Large(Bytes),
}

pub(super) async fn send(
    connection: Connection,
    mut packets: mpsc::Receiver<Outgoing>,
    counters: Arc<Counters>,
) {
    let (mut batch, mut arena) = (Vec::with_capacity(BATCH), BytesMut::with_capacity(ARENA_BYTES));
    let large = Arc::new(Semaphore::new(LARGE_MAX as usize));
    while packets.recv_many(&mut batch, BATCH).await > 0 {
        let bytes_max = connection.max_datagram_size().unwrap_or_default();
        for Outgoing { number, packet, since } in batch.drain(..) {
            if since.elapsed() > WAIT_MAX {
                counters.drop_one(Dropped::Congested);
                continue;
            }
            arena.reserve(NUMBER_BYTES_MAX + packet_bytes(&packet));
            write_number(number, &mut arena);
            write_packet(&packet, &mut arena);
            let datagram = arena.split().freeze();
            let bytes = datagram.len();
            if bytes > bytes_max {
                send_large(&connection, datagram, &large, &counters);
                continue;
            }
            match connection.send_datagram_wait(datagram).await {
                Ok(()) => {
                    counters.packets_out.add(1);
                    counters.bytes_out.add(bytes as u64);
                }
                // The path has become narrower just now.
                Err(SendDatagramError::TooLarge) => counters.drop_one(Dropped::Large),
                Err(_) => return,
            }
        }
        // What was handed over is sent by a task of this thread.
        tokio::task::yield_now().await;
    }
}

fn send_large(connection: &Connection, packet: Bytes, running: &Arc<Semaphore>, counters: &Arc<Counters>) {
    let Ok(permit) = Arc::clone(running).try_acquire_owned() else {
        counters.drop_one(Dropped::Large);
        return;
    };
    let (connection, counters) = (connection.clone(), Arc::clone(counters));
    tokio::spawn(async move {
        let _permit = permit;
        let bytes = packet.len() as u64;
        let sent = timeout(LARGE_DEADLINE, async {
            let mut stream = connection.open_uni().await.ok()?;
            stream.write_chunk(packet).await.ok()?;
            stream.finish().ok()
        });
        if sent.await.is_ok_and(|sent| sent.is_some()) {
            counters.packets_out.add(1);
            counters.bytes_out.add(bytes);
            counters.large.add(1);
        } else {
            counters.drop_one(Dropped::Large);
        }
    });
}

/// Reads what is for pipes whose lower end is here.
pub(super) async fn receive(
    connection: Connection,
    mut changes: mpsc::Receiver<Change>,
    ends: Arc<dyn Ends>,
    counters: Arc<Counters>,
) {
    let mut pipes: HashMap<u64, (RoomId, PipeId)> = HashMap::new();
    loop {
        tokio::select! {
            // A pipe begins before its packets come.
            biased;
            change = changes.recv() => match change {
                Some(Change::Begin { number, stream, pipe }) => {
                    pipes.insert(number, (stream, pipe));
                }
                Some(Change::End { number }) => {
                    pipes.remove(&number);
                }
                Some(Change::Large(packet)) => take(&pipes, packet, &*ends, &counters),
                None => return,
            },
            datagram = connection.read_datagram() => {
                let Ok(datagram) = datagram else { return };
                take(&pipes, datagram, &*ends, &counters);
                for _ in 1..BATCH {
                    let Some(Ok(datagram)) = connection.read_datagram().now_or_never() else { break };
                    take(&pipes, datagram, &*ends, &counters);
                }
            }
        }
    }
}

/// Reads packets that have streams of their own. QUIC lets no more than [`LARGE_MAX`] of them be open.
pub(super) async fn receive_large(
    connection: Connection,
    changes: mpsc::Sender<Change>,
    counters: Arc<Counters>,
) {
    while let Ok(mut stream) = connection.accept_uni().await {
        let (changes, counters) = (changes.clone(), Arc::clone(&counters));
        tokio::spawn(async move {
            match timeout(LARGE_DEADLINE, stream.read_to_end(LARGE_BYTES_MAX)).await {
                Ok(Ok(packet)) => {
                    counters.large.add(1);
                    if changes.try_send(Change::Large(packet.into())).is_err() {
                        counters.drop_one(Dropped::Queue);
                    }
                }
                Ok(Err(_)) | Err(_) => counters.drop_one(Dropped::Large),
            }
        });
    }
}

fn take(pipes: &HashMap<u64, (RoomId, PipeId)>, mut datagram: Bytes, ends: &dyn Ends, counters: &Counters) {
    counters.packets_in.add(1);
    counters.bytes_in.add(datagram.len() as u64);
    let Some(number) = read_number(&mut datagram) else { return counters.drop_one(Dropped::Unreadable) };
    let Some((stream, pipe)) = pipes.get(&number) else { return counters.drop_one(Dropped::NoPipe) };
    let Ok(packet) = read_packet(datagram) else { return counters.drop_one(Dropped::Unreadable) };
    if packet.is_again {
        counters.repaired.add(1);
    }
    // A shard that is behind counts what it drops; of one that is gone the pipe's own task hears.
    let _ = ends.deliver(stream, *pipe, Delivered::Down(Down::Packet(packet)));
}

fn write_number(mut number: u64, out: &mut BytesMut) {
    while number > 0x7f {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn read_number(from: &mut Bytes) -> Option<u64> {
    let mut number = 0;
    for place in 0..NUMBER_BYTES_MAX {
        let byte = from.try_get_u8().ok()?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX)] {
            let mut out = BytesMut::new();
            write_number(number, &mut out);
            assert!(out.len() <= NUMBER_BYTES_MAX);
            out.put_u8(9);
            let mut bytes = out.freeze();
            assert_eq!(read_number(&mut bytes), Some(number));
            assert_eq!(&bytes[..], [9]);
        }
        assert_eq!(read_number(&mut Bytes::from_static(&[0xff; 9])), None);
        assert_eq!(read_number(&mut Bytes::from_static(&[0x80])), None);
    }
}
