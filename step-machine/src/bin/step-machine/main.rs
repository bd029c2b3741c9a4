//! `step-machine`: looks into a journal of runs, from outside of the programs that drive them.

mod abandon;
mod args;
mod check;
mod doc;
mod export;
mod graph;
mod prune;
mod runs;
mod show;
mod stats;
mod store;
mod table;
mod tail;
mod text;
mod trouble;
mod worked;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Args, Command};
use self::trouble::{Outcome, Trouble};

fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| refuse(error));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = run(&args, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        // Whoever read has read enough, as `head` does.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(trouble) => {
            let _ = out.flush();
            // Where nobody hears it, the code still tells.
            let _ = writeln!(io::stderr(), "step-machine: {trouble}");
            ExitCode::from(trouble.code())
        }
    }
}

/// What clap has to say it says itself, with 2 for a wrong use and 0 for help.
fn refuse(error: clap::Error) -> ! {
    if error.use_stderr() {
        // What the environment has is given as well, and would seem to be required in the line that says how to call it.
        let bare = Args::command().mut_args(|arg| arg.env(None::<&str>)).try_get_matches();
        bare.err().unwrap_or(error).exit()
    }
    error.exit()
}

fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let at = &args.journal;
    match &args.command {
        Command::Runs(options) => runs::run(at, options, out),
        Command::Show(options) => show::run(at, options, out),
        Command::Tail(options) => tail::run(at, options, out),
        Command::Stats(options) => stats::run(at, options, out),
        Command::Graph(options) => graph::run(at, options, out),
        Command::Export(options) => export::run(at, options, out),
        Command::Abandon(options) => abandon::run(at, options, out),
        Command::Prune(options) => prune::run(at, options, out),
        Command::Check(options) => check::run(at, options, out),
        Command::Completions(options) => doc::completions(options, out),
        Command::Man => doc::man(out),
    }
}
