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

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};
use self::trouble::{Outcome, Trouble};

fn main() -> ExitCode {
    // What clap has to say it says itself, with 2 for a wrong use and 0 for help.
    let args = Args::parse();
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
