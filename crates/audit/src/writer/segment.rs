//! The file that is being written, and when another begins.

use std::io;

use super::Writer;
use crate::chain::Stamp;
use crate::disk::Medium;
use crate::segment::SegmentName;

pub(super) struct Open {
    pub medium: Box<dyn Medium>,
    pub name: SegmentName,
    /// That are on disk.
    pub bytes: u64,
    /// When it was made; its first record has the same stamp, and its name.
    pub begun: Stamp,
}

impl Writer {
    pub(super) fn open_segment(&mut self, stamp: Stamp) -> io::Result<()> {
        if self.state.open.is_some() {
            return Ok(());
        }
        let name = SegmentName::new(self.chain.seq, stamp.time);
        let medium = match self.disk.create(&name.plain()) {
            // Left by an attempt that got no further.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&name.plain())?;
                self.disk.create(&name.plain())?
            }
            made => made?,
        };
        self.state.open = Some(Open { medium, name, bytes: 0, begun: stamp });
        Ok(())
    }

    /// By size, and by the hour.
    pub(super) fn rotate_if_due(&mut self) {
        let hour = self.stamp().time.hour();
        let due = |open: &Open| {
            open.bytes > 0 && (open.bytes >= self.limits.segment_bytes_max || open.begun.time.hour() != hour)
        };
        if self.state.open.as_ref().is_some_and(due) {
            self.rotate();
        }
    }

    /// Signs what is there and leaves the file. If that cannot be written, the file is left as it is: the next checkpoint covers it.
    pub(super) fn rotate(&mut self) {
        if self.chain.seq > self.state.signed {
            let _ = self.attempt(&[], true).map_err(|error| self.recover(&error));
        }
        if let Some(open) = self.state.open.take_if(|open| open.bytes > 0) {
            self.previous = Some(open.name.to_string());
        }
    }
}
