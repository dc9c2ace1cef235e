//! The one thread that writes lines, so that a full pipe stops nobody else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// About a second of the loudest start we know; at 200 bytes a line, 800 KB at most.
const LINES_WAITING_MAX: usize = 4_096;
/// Long enough for any reader that is alive; the end of the process waits for it.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);

/// Hands lines to the thread. When the queue is full the line is dropped and counted.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

impl Writer {
    pub(super) fn to_stderr() -> Self {
        Self::to(io::stderr())
    }

    pub(super) fn to(sink: impl Write + Send + 'static) -> Self {
        let (queue, lines) = sync_channel(LINES_WAITING_MAX);
        let spawned = std::thread::Builder::new().name("log".into()).spawn(move || write_all(&lines, sink));
        // Without the thread the receiver is gone and every line counts as dropped: visible, and no reason to die.
        drop(spawned);
        Self { queue, dropped: Arc::default() }
    }

    pub(super) fn line(&self, line: String) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Message::Line(line))
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were lost because nobody read the others.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines so far are written, though not for ever.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WAIT_MAX);
        }
    }
}

fn write_all(messages: &Receiver<Message>, mut sink: impl Write) {
    for message in messages {
        match message {
            // A closed stderr is no reason to end: the product serves on without logs.
            Message::Line(line) => drop(sink.write_all(line.as_bytes())),
            Message::Flush(done) => {
                let _ = sink.flush();
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[derive(Clone, Default)]
    pub(in super::super) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order_and_a_flush_waits_for_them() {
        let sink = Shared::default();
        let writer = Writer::to(sink.clone());
        let lines: Vec<String> = (0..100).map(|number| format!("{number}\n")).collect();
        for line in &lines {
            writer.line(line.clone());
        }
        writer.flush();
        assert_eq!(sink.text(), lines.concat());
        assert_eq!(writer.dropped(), 0);
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_holds_up_nobody() {
        struct Stalled(Receiver<()>);
        impl Write for Stalled {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stalled) = mpsc::channel();
        let writer = Writer::to(Stalled(stalled));
        let count = LINES_WAITING_MAX as u64 * 2;
        (0..count).for_each(|_| writer.line("x\n".into()));
        // The thread holds at most one line more than the queue.
        assert!((count - LINES_WAITING_MAX as u64 - 1..=count).contains(&writer.dropped()));
        drop(release);
    }
}
