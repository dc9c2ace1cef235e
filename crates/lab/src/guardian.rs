//! What cleans up when nobody is left who could.
//!
//! A test that is killed runs no destructor, and neither does a value in a static. The guardian is a shell in a process
//! group of its own; it reads from a pipe that only this process holds, so the pipe ends with this process however it
//! ends. `PR_SET_PDEATHSIG` would not do: it is sent when the *thread* ends that started the child, and tests run in
//! threads.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// Ends the processes whose ids stand in `*/pid` below the folder and that work in that place (an id may have been given
/// to somebody else meanwhile), then removes the folder.
const SCRIPT: &str = r#"
read -r _
for file in "$0"/*/pid; do
    [ -f "$file" ] || continue
    read -r id < "$file"
    [ "$(readlink "/proc/$id/cwd")" = "$(dirname "$file")" ] && kill -KILL "$id"
done
rm -rf "$0"
"#;

/// Of processes that work each in a folder of its own below one, and whose ids stand there in a file `pid`.
#[derive(Debug)]
pub struct Guardian(Child);

impl Guardian {
    pub fn over(directory: &Path) -> anyhow::Result<Self> {
        let directory = directory.canonicalize()?;
        let child = Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(&directory)
            // Its folder is about to vanish, and whoever started us may wait for our standard streams to close.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("sh does not start")?;
        Ok(Self(child))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
