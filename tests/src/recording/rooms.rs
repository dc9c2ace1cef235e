//! A recording on disk. A million messages make millions of events; no law looks at two rooms at once, so each room has a
//! file, and only one of them is in memory when they are judged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Error, Write as _};
use std::path::{Path, PathBuf};

use turnpike_history::{Event, Violation, check, read, write};

#[derive(Debug)]
pub(super) struct Rooms {
    folder: PathBuf,
    files: BTreeMap<String, (PathBuf, BufWriter<File>)>,
    /// What is about no room: connections, faults. It belongs to each.
    around: Vec<Event>,
    events: usize,
    /// Of the first write that failed.
    fault: Option<Error>,
}

impl Rooms {
    pub(super) fn new(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
            around: Vec::new(),
            events: 0,
            fault: None,
        })
    }

    pub(super) fn around(&self) -> &[Event] {
        &self.around
    }

    pub(super) fn write(&mut self, event: &Event) {
        self.events += 1;
        let written = match event.what.room() {
            None => {
                self.around.push(event.clone());
                return;
            }
            Some(room) => self.append(&room, event),
        };
        if let Err(error) = written {
            self.fault.get_or_insert(error);
        }
    }

    fn append(&mut self, room: &str, event: &Event) -> std::io::Result<()> {
        if !self.files.contains_key(room) {
            let path = self.folder.join(format!("{}.jsonl", room.replace(':', "-")));
            let file = BufWriter::new(File::create(&path)?);
            self.files.insert(room.to_owned(), (path, file));
        }
        let (_, file) = self.files.get_mut(room).expect("it was put there just now");
        serde_json::to_writer(&mut *file, event)?;
        file.write_all(b"\n")
    }

    /// The violations of all rooms, and how many events there are. A room that breaks a law keeps its whole history in its
    /// file.
    pub(super) fn check(&mut self) -> std::io::Result<(Vec<Violation>, usize)> {
        if let Some(error) = self.fault.take() {
            return Err(error);
        }
        let mut violations = Vec::new();
        for (path, file) in self.files.values_mut() {
            file.flush()?;
            let mut events = read(BufReader::new(File::open(&*path)?)).map_err(Error::other)?;
            // In front: what happens at the same time to a connection happened before what it was given.
            events.splice(0..0, self.around.iter().cloned());
            let found = check(&events);
            if !found.is_empty() {
                write(&events, BufWriter::new(File::create(&*path)?)).map_err(Error::other)?;
            }
            violations.extend(found);
        }
        Ok((violations, self.events))
    }
}
