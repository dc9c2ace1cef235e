//! What a terminal is shown: colours where they are wanted, and that something long goes on. On standard error, and only if that is
//! a terminal: in a pipe and in a log there is nothing of it.

use std::borrow::Cow;
use std::future::Future;
use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is done within it needs no sign of life.
const QUIET: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(120);

/// <https://no-color.org>: set to anything, it means none.
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !no_color && !dumb
}

/// Of something whose length is not known. Whoever has it clears it.
pub(crate) fn spinner(what: impl Into<Cow<'static, str>>) -> ProgressBar {
    let form = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    let style = form.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_message(what);
    bar.enable_steady_tick(TICK);
    bar
}

/// Of so many bytes.
pub(crate) fn bytes(total: u64) -> ProgressBar {
    let form = "{bar:40} {percent:>3}% {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}";
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

/// Says what is waited for, once it takes long.
pub(crate) async fn waiting<T>(what: impl Into<Cow<'static, str>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(QUIET, &mut work).await {
        return done;
    }
    let bar = spinner(what);
    let done = work.await;
    bar.finish_and_clear();
    done
}
