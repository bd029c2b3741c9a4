//! `cargo run --example configure`: sets up the instance that `provision` brought up.
//!
//! The workflow is [`ConfigureStep`](step_machine_examples::steps::ConfigureStep), the command that runs it stands in
//! `command.rs`. Nothing here needs an async runtime.

mod command;
mod error;
mod sabotage;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use step_machine_examples::cli::{self, FlowArgs, SiteArgs, no_run};
use step_machine_examples::environment::Environment;
use step_machine_examples::steps::ConfigureStep;

use command::ConfigureCommand;
use sabotage::Saboteur;

/// Set up the instance that `provision` brought up.
///
/// Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 completed with warnings under --strict.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    place: SiteArgs,
    #[command(flatten)]
    flow: FlowArgs<ConfigureStep>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    configure(&cli.place, &cli.flow).unwrap_or_else(|error| no_run(&*error))
}

/// Sets the instance up, and tells how that went.
fn configure(place: &SiteArgs, flow: &FlowArgs<ConfigureStep>) -> Result<ExitCode, Box<dyn Error>> {
    let site = place.site()?;
    let environment = Environment::load(&site)?;
    let kept = flow.keep(site.root(), &|arguments| place.command_line("configure", arguments))?;
    kept.supersede()?;
    let machine = flow.machine(&kept, ConfigureStep::machine()).exclusive(environment.name());
    let mut machine = machine.input(environment.instance());
    if let Some(step) = flow.fail_at {
        machine = machine.observe(Saboteur::new(step, &site));
    }
    let command = ConfigureCommand::new(&environment, &site)?;
    match command.execute(machine) {
        Ok(report) => {
            let code = flow.completed(&report);
            flow.say(&format!("{} is set up", environment.name()));
            Ok(code)
        }
        Err(failure) => {
            flow.failed(&mut failure.into_context(), &site.traces(), &kept);
            Ok(ExitCode::from(cli::FAILED))
        }
    }
}
