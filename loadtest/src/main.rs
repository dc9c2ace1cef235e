//! The command: what is asked for is looked at, then run, then told. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use turnpike_loadtest::{arguments::Arguments, attack, report, report::Verdict};

/// A run makes and drops millions of small texts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a command line that is wrong ends with.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    if arguments.list {
        say(&report::profiles());
        return ExitCode::SUCCESS;
    }
    let prepared = match attack::prepare(&arguments) {
        Ok(prepared) => prepared,
        Err(error) => {
            say(&format!("turnpike-loadtest: {error:#}\n"));
            return ExitCode::from(USAGE);
        }
    };
    let told = attack::run(&arguments, prepared).and_then(|summary| {
        let Some(summary) = summary else { return Ok(Verdict::Held) };
        if !arguments.quiet || !summary.held() {
            say(&report::table(&summary));
        }
        report::write(&summary, arguments.report_file.as_deref(), arguments.json_file.as_deref())?;
        Ok(summary.verdict())
    });
    match told {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) => {
            say(&format!("turnpike-loadtest: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The table is what the program is asked for; everything else goes to stderr.
fn say(text: &str) {
    use std::io::Write as _;
    // Whoever does not listen any more does not want to hear it.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
