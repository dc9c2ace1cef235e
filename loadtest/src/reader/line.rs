//! One connection as its reader sees it: what came is sorted into frames. A text that the listener takes is done with; everything
//! else waits, in order, for whoever reads the stream. No system call in here.

use std::{
    collections::VecDeque,
    io::{self, Read as _},
    sync::Arc,
    task::Waker,
};

use super::{
    Listener,
    frames::{self, Found},
};

#[derive(Default)]
pub(super) struct Line {
    listener: Option<Arc<dyn Listener>>,
    mode: Mode,
    /// The beginning of what is not whole yet.
    rest: Vec<u8>,
    /// Whole frames, for whoever reads the stream. If that user takes nothing for so long that it is full, the connection ends.
    waiting: VecDeque<u8>,
    /// No more comes: the stream has ended, or is broken.
    end: Option<Result<(), io::ErrorKind>>,
    /// Whoever reads the stream has had everything, and waits for more.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    /// The answer to the handshake comes before the first frame.
    #[default]
    Head,
    Frames,
    /// Nothing is looked for any more.
    Raw,
}

const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Longer ones are for the library to refuse.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
const WAITING_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

impl Line {
    /// Where nobody listens, nothing is looked for.
    pub(super) fn new(listener: Option<Arc<dyn Listener>>) -> Self {
        let mode = if listener.is_some() { Mode::Head } else { Mode::Raw };
        Self { listener, mode, ..Self::default() }
    }

    /// This came.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.rest.is_empty() {
            let sorted = self.sort(bytes);
            self.rest.extend_from_slice(&bytes[sorted..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let sorted = self.sort(&all);
            all.drain(..sorted);
            self.rest = all;
        }
        if self.waiting.len() > WAITING_BYTES_MAX {
            self.end = Some(Err(io::ErrorKind::QuotaExceeded));
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, end: Result<(), io::ErrorKind>) {
        // What has no end is told as it is.
        self.waiting.extend(std::mem::take(&mut self.rest));
        self.end = Some(end);
    }

    /// Whoever is to be woken by what came.
    pub(super) fn reader_to_wake(&mut self) -> Option<Waker> {
        if self.waiting.is_empty() && self.end.is_none() { None } else { self.reader.take() }
    }

    pub(super) fn writer_to_wake(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    pub(super) fn wait_to_write(&mut self, writer: Waker) {
        self.writer = Some(writer);
    }

    /// What is there for the stream; nothing if more must be waited for.
    pub(super) fn read(&mut self, into: &mut [u8], reader: &Waker) -> Option<io::Result<usize>> {
        if !self.waiting.is_empty() {
            return Some(self.waiting.read(into));
        }
        if let Some(end) = self.end {
            return Some(end.map(|()| 0).map_err(Into::into));
        }
        if !self.reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
            self.reader = Some(reader.clone());
        }
        None
    }

    /// How much of it is done with.
    fn sort(&mut self, bytes: &[u8]) -> usize {
        let mut sorted = 0;
        loop {
            let left = &bytes[sorted..];
            match self.mode {
                Mode::Raw => {
                    self.waiting.extend(left);
                    return bytes.len();
                }
                Mode::Head => match left.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
                    Some(at) => {
                        let head = at + HEAD_END.len();
                        self.waiting.extend(&left[..head]);
                        self.mode = Mode::Frames;
                        sorted += head;
                    }
                    None if left.len() > HEAD_BYTES_MAX => self.mode = Mode::Raw,
                    None => return sorted,
                },
                Mode::Frames => match frames::first(left, FRAME_BYTES_MAX) {
                    Found::Part => return sorted,
                    Found::TooLong => self.mode = Mode::Raw,
                    Found::Whole { bytes, text } => {
                        if !text.is_some_and(|text| self.is_heard(&left[text])) {
                            self.waiting.extend(&left[..bytes]);
                        }
                        sorted += bytes;
                    }
                },
            }
        }
    }

    /// Only of somebody who has had everything that came before.
    fn is_heard(&self, text: &[u8]) -> bool {
        let Some(listener) = self.listener.as_ref().filter(|_| self.reader.is_some()) else { return false };
        self.waiting.is_empty() && std::str::from_utf8(text).is_ok_and(|text| listener.hear(text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Hears what begins with `!`.
    #[derive(Default)]
    struct Ear(Mutex<Vec<String>>);

    impl Listener for Ear {
        fn hear(&self, text: &str) -> bool {
            let is_heard = text.starts_with('!');
            if is_heard {
                self.0.lock().unwrap().push(text.to_owned());
            }
            is_heard
        }
    }

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81, text.len() as u8];
        frame.extend(text.bytes());
        frame
    }

    fn read(line: &mut Line) -> Option<Vec<u8>> {
        let mut buffer = [0; 512];
        line.read(&mut buffer, Waker::noop()).map(|count| buffer[..count.unwrap()].to_vec())
    }

    fn listening() -> (Arc<Ear>, Line) {
        let ear = Arc::new(Ear::default());
        let mut line = Line::new(Some(Arc::<Ear>::clone(&ear)));
        line.take(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        assert!(read(&mut line).unwrap().ends_with(HEAD_END));
        assert_eq!(read(&mut line), None, "now it waits");
        (ear, line)
    }

    #[test]
    fn what_is_heard_does_not_wake_anybody() {
        let (ear, mut line) = listening();
        line.take(&[frame("!a"), frame("!b")].concat());
        assert!(line.reader_to_wake().is_none());
        assert_eq!(*ear.0.lock().unwrap(), ["!a", "!b"]);
        assert_eq!(read(&mut line), None);
    }

    #[test]
    fn nothing_overtakes_what_is_not_heard() {
        let (ear, mut line) = listening();
        line.take(&[frame("!a"), frame("b"), frame("!c")].concat());
        assert!(line.reader_to_wake().is_some());
        line.take(&frame("!d"));
        assert_eq!(*ear.0.lock().unwrap(), ["!a"]);
        assert_eq!(read(&mut line).unwrap(), [frame("b"), frame("!c"), frame("!d")].concat());
        line.take(&frame("!e"));
        assert_eq!(read(&mut line).unwrap(), frame("!e"), "nobody said that the others were dealt with");
        assert_eq!(read(&mut line), None);
        line.take(&frame("!f"));
        assert_eq!(*ear.0.lock().unwrap(), ["!a", "!f"]);
    }

    #[test]
    fn every_cut_gives_the_same() {
        let said = [frame("!a"), frame("b"), vec![0x89, 0], frame("!c")].concat();
        let all = [&b"HTTP/1.1 101 x\r\nA: b\r\n\r\n"[..], &said].concat();
        for cut in 1..all.len() {
            let mut line = Line::new(Some(Arc::new(Ear::default())));
            let mut had = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                line.take(part);
                had.extend(read(&mut line).into_iter().flatten());
            }
            assert_eq!(had, all, "nobody had waited at {cut}");
        }
    }

    #[test]
    fn an_end_is_told_after_everything_else() {
        let (_, mut line) = listening();
        line.take(&[0x81, 5, b'x']);
        line.end(Err(io::ErrorKind::ConnectionReset));
        assert!(line.reader_to_wake().is_some());
        assert_eq!(read(&mut line).unwrap(), [0x81, 5, b'x']);
        let error = line.read(&mut [0; 8], Waker::noop()).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn who_takes_nothing_is_ended() {
        let (_, mut line) = listening();
        let long = frame(&"x".repeat(120));
        for _ in 0..=WAITING_BYTES_MAX / long.len() {
            line.take(&long);
        }
        assert!(matches!(line.end, Some(Err(io::ErrorKind::QuotaExceeded))));
    }
}
