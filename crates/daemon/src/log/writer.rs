//! The one thread that writes lines, so that a full pipe stops nobody else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

use super::file::LogFile;

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
    Reopen(SyncSender<io::Result<()>>),
}

impl Writer {
    pub(super) fn to_stderr() -> Self {
        Self::to(io::stderr())
    }

    pub(super) fn to_file(file: LogFile) -> Self {
        Self::into(File { file, fails: false })
    }

    pub(super) fn to(sink: impl Write + Send + 'static) -> Self {
        Self::into(Stream(sink))
    }

    fn into(sink: impl Sink) -> Self {
        let (queue, lines) = sync_channel(LINES_WAITING_MAX);
        let dropped = Arc::<AtomicU64>::default();
        let lost = Arc::clone(&dropped);
        let spawned =
            std::thread::Builder::new().name("log".into()).spawn(move || write_all(&lines, sink, &lost));
        // Without the thread the receiver is gone and every line counts as dropped: visible, and no reason to die.
        drop(spawned);
        Self { queue, dropped }
    }

    pub(super) fn line(&self, line: String) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Message::Line(line))
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were lost because nobody read the others, or the disk took no more.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Opens the file anew, for whoever has moved it away. Nothing to be done for stderr.
    pub fn reopen(&self) -> io::Result<()> {
        let (done, wait) = sync_channel(1);
        let busy = || io::Error::from(io::ErrorKind::TimedOut);
        self.queue.try_send(Message::Reopen(done)).map_err(|_| busy())?;
        wait.recv_timeout(FLUSH_WAIT_MAX).map_err(|_| busy())?
    }

    /// Waits until all lines so far are written, though not for ever.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WAIT_MAX);
        }
    }
}

fn write_all(messages: &Receiver<Message>, mut sink: impl Sink, lost: &AtomicU64) {
    for message in messages {
        match message {
            Message::Line(line) => {
                if !sink.line(line.as_bytes()) {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                sink.flush();
                let _ = done.send(());
            }
            Message::Reopen(done) => {
                let _ = done.send(sink.reopen());
            }
        }
    }
}

/// Where lines go.
trait Sink: Send + 'static {
    /// Whether the line is there.
    fn line(&mut self, line: &[u8]) -> bool;
    fn flush(&mut self);
    fn reopen(&mut self) -> io::Result<()>;
}

struct Stream<W>(W);

impl<W: Write + Send + 'static> Sink for Stream<W> {
    fn line(&mut self, line: &[u8]) -> bool {
        // A closed stderr is no reason to end: the product serves on without logs.
        self.0.write_all(line).is_ok()
    }

    fn flush(&mut self) {
        let _ = self.0.flush();
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct File {
    file: LogFile,
    /// The last line could not be written.
    fails: bool,
}

impl Sink for File {
    fn line(&mut self, line: &[u8]) -> bool {
        let written = self.file.line(line, SystemTime::now());
        // Once each time it begins or ends: whoever looks for the log must find out why there is none.
        if written.is_err() != self.fails {
            self.fails = written.is_err();
            let path = self.file.path().display();
            let _ = match &written {
                Err(error) => writeln!(io::stderr(), "turnpike: log lines are lost: {path}: {error}"),
                Ok(()) => writeln!(io::stderr(), "turnpike: {path} takes log lines again"),
            };
        }
        written.is_ok()
    }

    // Each line is the kernel's as soon as it is written.
    fn flush(&mut self) {}

    fn reopen(&mut self) -> io::Result<()> {
        self.file.reopen(SystemTime::now())
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
