//! `cargo run --example provision`: brings up an instance on this machine, step by step, and takes a half-created one
//! back where a step fails.
//!
//! The workflow is [`ProvisionStep`](step_machine_examples::steps::ProvisionStep), what its steps do stands in
//! `command.rs`. Two drives walk the same steps: the typed machine in `machine.rs`, the runner in `handler.rs`. They tell
//! the same and end alike, but for a Ctrl-C. The machine's ends the running step at once and removes all that was made.
//! The runner's first one lets the running step finish and then undoes what was done; a second one ends the step at once.
//!
//! This file is the program around them: its options and its exit codes.

mod command;
mod drive;
mod error;
mod handler;
mod machine;
mod sabotage;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use step_machine::Workflow;
use step_machine::event::{FailureRecord, StepRecord, StepStatus};
use step_machine_examples::cli::{self, FlowArgs, Kept, SiteArgs, complain, give_up, no_run, shown, tell};
use step_machine_examples::environment::{Environment, Provisioning};
use step_machine_examples::site::Site;
use step_machine_examples::steps::ProvisionStep;
use step_machine_examples::{instance, tofu};

use command::{Order, ProvisionCommand};
use drive::{Drive, Outcome};

/// Bring up an instance on this machine: a folder and a server on a loopback port.
///
/// Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 completed with warnings under --strict, 130 cancelled by Ctrl-C.
/// An instance that is there already is replaced, and what a failed or cancelled run has created is removed. A run whose
/// process died goes on with --resume.
/// `configure` sets the instance up, `provision destroy` ends it; it also ends when its folder is removed, or when
/// nobody asked it anything for 15 minutes.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    flow: FlowArgs<ProvisionStep>,
}

#[derive(clap::Args)]
struct Options {
    #[command(flatten)]
    place: SiteArgs,
    /// Who walks the steps
    #[arg(long, value_enum, default_value_t)]
    drive: Drive,
    /// Leave what a failed or cancelled run has created, to look into it
    #[arg(long)]
    no_rollback: bool,
    /// Do not wait for the first boot of the instance
    #[arg(long)]
    no_cloud_init: bool,
    /// How long the first boot takes, to have time for a Ctrl-C; the wait for it ends after 10 seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    boot_seconds: u64,
    /// Use the `tofu` on the PATH (OpenTofu 1.6 or later), and not the built-in stand-in
    #[arg(long)]
    tofu: bool,
}

#[derive(Subcommand)]
enum Other {
    /// End the instance and remove its environment
    Destroy {
        #[command(flatten)]
        site: SiteArgs,
    },
    /// What OpenTofu runs to create and destroy an instance
    #[command(hide = true)]
    Instance { verb: Verb, user_data: PathBuf },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Verb {
    Start,
    Serve,
    Stop,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().map(PathBuf::from).unwrap_or_default();
    // A site calls this program by the name `tofu` where it has no other one.
    if name.file_stem().is_some_and(|name| name == "tofu") {
        return end(tofu::main(arguments));
    }
    let cli = Cli::parse();
    match cli.other {
        None => provision(&cli.flow, &cli.options).unwrap_or_else(|error| no_run(&*error)),
        Some(Other::Destroy { site }) => destroy(&site).unwrap_or_else(|error| no_run(&*error)),
        Some(Other::Instance { verb: Verb::Start, user_data }) => end(instance::start(&user_data)),
        Some(Other::Instance { verb: Verb::Serve, user_data }) => end(instance::serve(&user_data)),
        Some(Other::Instance { verb: Verb::Stop, user_data }) => end(instance::stop(&user_data)),
    }
}

/// Brings the instance up, and tells how that went.
fn provision(flow: &FlowArgs<ProvisionStep>, options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let site = options.place.site()?;
    if !site.is_ours()? {
        complain(&format!("error: {} holds something else; name a new folder with --dir", shown(site.root())));
        return Ok(ExitCode::from(cli::USAGE));
    }
    let program = std::env::current_exe()?;
    let tofu = if options.tofu { find_tofu() } else { Some(program.clone()) };
    let Some(tofu) = tofu else {
        complain("error: there is no `tofu` on the PATH; without --tofu a built-in stand-in is used");
        return Ok(ExitCode::from(cli::USAGE));
    };
    let kept = flow.keep(site.root(), &|arguments| options.again(arguments))?;
    if flow.is_past(&kept) {
        // What the later run has left is as it is.
        let was_taken_back = kept.was_taken_back::<ProvisionStep>().is_some();
        return Ok(ExitCode::from(if was_taken_back { cli::FAILED } else { 0 }));
    }
    let (environment, order) = begin(&site, &kept, &tofu, options)?;
    let saving = kept.earlier().map(|_| environment.goes_on(&site));
    let command = ProvisionCommand::new(environment.name(), site, program, order)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(options.drive.run(&command, flow, &kept, saving, !options.no_rollback));
    settle(outcome?, environment, &command.site, flow, &kept, options)
}

/// The environment, in a folder that is ready for a new run, or as the run that goes on has left it.
fn begin(
    site: &Site,
    kept: &Kept,
    tofu: &Path,
    options: &Options,
) -> Result<(Environment<Provisioning>, Order), Box<dyn Error>> {
    let given = Order { cloud_init: !options.no_cloud_init, boot_seconds: options.boot_seconds };
    if let Some(order) = kept.input()? {
        return Ok((Environment::resumed(site)?, order));
    }
    // Before anything of the run before is removed: it may be under way.
    kept.supersede()?;
    let environment = Environment::new("web-1", site)?;
    site.prepare(tofu)?;
    Ok((environment, given))
}

impl Options {
    /// What a person types to run the same with other arguments.
    fn again(&self, arguments: &str) -> String {
        let drive = if self.drive == Drive::Runner { "--drive runner " } else { "" };
        self.place.command_line("provision", &format!("{drive}{arguments}"))
    }
}

/// Saves the environment in its new state and tells how the run went.
fn settle(
    outcome: Outcome,
    environment: Environment<Provisioning>,
    site: &Site,
    flow: &FlowArgs<ProvisionStep>,
    kept: &Kept,
    options: &Options,
) -> Result<ExitCode, Box<dyn Error>> {
    let is_left =
        |how: &str| complain(&format!("{how}; end it: {}", options.place.command_line("provision", "destroy")));
    let (mut failure, code, is_removed) = match outcome {
        Outcome::Up(report, instance) => {
            let environment = environment.provisioned(instance, site)?;
            let code = flow.completed(&report);
            flow.say(&format!("{} answers at {}", environment.name(), environment.instance().address()));
            flow.say(&format!("environment: {}", shown(&site.environment())));
            flow.say(&format!("set it up:   {}", options.place.command_line("configure", "")));
            flow.say(&format!("end it:      {}", options.place.command_line("provision", "destroy")));
            return Ok(code);
        }
        Outcome::Unrecorded(run) => {
            let fault = kept.fault();
            let why = fault.as_ref().map(|fault| format!(": {}", fault.why)).unwrap_or_default();
            complain(&format!("error: the journal does not have that the run was cancelled{why}"));
            if fault.is_some_and(|fault| fault.is_of_another) {
                return Ok(ExitCode::from(cli::CANCELLED));
            }
            kept.tell_how_to_go_on(&run);
            is_left("nothing was taken back");
            return Ok(ExitCode::from(cli::CANCELLED));
        }
        Outcome::Refused(mut failure) => {
            flow.refused(&mut failure, &site.traces());
            return Ok(ExitCode::from(cli::FAILED));
        }
        Outcome::Failed(failure) => (failure, cli::FAILED, false),
        Outcome::Cancelled(failure) => (failure, cli::CANCELLED, false),
        Outcome::Removed(failure) => (failure, cli::CANCELLED, true),
    };
    flow.failed(&mut failure, &site.traces(), kept);
    let environment = environment.failed(failure, site)?;
    complain(&format!("environment: {}", shown(&site.environment())));
    if options.no_rollback {
        is_left("nothing was taken back");
    } else if !is_removed && has_left(environment.failure().record()) {
        is_left("not everything was taken back");
    } else if code == cli::CANCELLED {
        complain("cancelled: what it had created is gone");
    }
    Ok(ExitCode::from(code))
}

/// Whether a step has begun that is to be undone, and is not: a run whose journal failed has no rollback at all.
fn has_left(failure: &FailureRecord) -> bool {
    let is_left = |step: &&StepRecord| step.attempts > 0 && step.status != StepStatus::Undone;
    let left = failure.steps.iter().filter(is_left).filter_map(|step| ProvisionStep::plan().position(step.id.id()));
    left.into_iter().any(|step| ProvisionStep::plan().steps[step].undo)
}

fn destroy(place: &SiteArgs) -> Result<ExitCode, Box<dyn Error>> {
    let site = place.site()?;
    Kept::check_undriven(site.root())?;
    let was_there = site.destroy()?;
    let text = if was_there { "the instance is gone" } else { "there is no environment" };
    tell(&format!("{}: {text}", place.dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// The `tofu` on the PATH.
fn find_tofu() -> Option<PathBuf> {
    let name = format!("tofu{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|program| program.is_file())
}

fn end<E: Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => give_up(&error, cli::FAILED),
    }
}
