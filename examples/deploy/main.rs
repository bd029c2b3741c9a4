//! `cargo run --example deploy`: puts a version of a service in the place of the one that runs, and the old one back
//! where the new one is not well.
//!
//! The workflow is [`DeployStep`](step_machine_examples::steps::DeployStep). The library drives it: what the steps do
//! stands in `deployer.rs`, and this file is the program around them.

mod deployer;
mod download;
mod error;
mod options;
mod place;
mod registry;
mod sabotage;
mod service;

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::Parser;
use step_machine::runner::NotSkippable;
use step_machine::{Cause, Failure, Report, Runner};
use step_machine_examples::cli::{self, Kept, complain, no_run, shown, tell};
use step_machine_examples::file_server::{self, FileServer};
use step_machine_examples::http;
use step_machine_examples::steps::DeployStep;

use deployer::Deployer;
use error::DeployError;
use options::{Cli, Options, Other, PlaceArgs};
use place::{Identity, Place};
use sabotage::Saboteur;

type DeployFailure = Failure<DeployStep, DeployError>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.other {
        None => deploy(&cli.options),
        Some(Other::Release { app, version, nature, place }) => release(&app, &version, nature, &place),
        Some(Other::Stop { place }) => stop(&place),
        Some(Other::Serve { dir, start }) => {
            service::serve(&dir, &start).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Some(Other::Registry { folder }) => file_server::serve(&folder).map(|()| ExitCode::SUCCESS).map_err(Into::into),
    };
    ended.unwrap_or_else(|error| no_run(&*error))
}

/// Deploys, and tells how that went.
fn deploy(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let place = Place::at(&options.place.dir)?;
    if options.driven.plan.is_some() {
        return plan(options, place);
    }
    if !place.is_ours()? {
        return Ok(wrong_folder(&place, "holds something else"));
    }
    let kept = options.flow.keep(place.root(), &|arguments| options.place.command_line(arguments))?;
    let order = kept.input()?.unwrap_or_else(|| options.order(&place));
    if let Some(reason) = not_here(&place, &order.app)? {
        return Ok(wrong_folder(&place, &reason));
    }
    kept.supersede()?;
    if !registry::has(&place, &order.app, &order.version)? {
        registry::release(&place, &order.app, &order.version, registry::Nature::default())?;
        options.flow.say(&format!("released {} {} to the registry", order.app, order.version));
    }
    // Ends when this function does.
    let server = FileServer::start("registry", &place.registry())?;
    let deployer = order.deployer(place.identify(&order.app)?, place, server.address);
    if let Some(mut failure) = kept.was_taken_back() {
        options.flow.failed(&mut failure, &deployer.place.traces(), &kept);
        complain(&what_answers(&deployer));
        return Ok(ExitCode::from(cli::FAILED));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let saboteur = Saboteur::new(options.flow.fail_at, &deployer);
    let sabotaged = saboteur.has_acted();
    let run = skipped(options.driven.runner(&options.flow, &kept, DeployStep::run(&deployer)), options)?;
    // One deployment of an application at a time.
    let run = run.exclusive(&*order.app).input(&order).observe(saboteur).ctrl_c();
    let ended = runtime.block_on(cli::with_word_of_ctrl_c(run));
    let code = settle(ended, &deployer, &kept, options);
    if options.flow.fail_at.is_some() && !sabotaged.load(Ordering::Acquire) {
        complain("--fail-at had no effect: the step did not run");
    }
    Ok(code)
}

fn wrong_folder(place: &Place, reason: &str) -> ExitCode {
    complain(&format!("error: {} {reason}; name another folder with --deploy-path", shown(place.root())));
    ExitCode::from(cli::USAGE)
}

/// Why this folder is not one to deploy `app` to.
fn not_here(place: &Place, app: &str) -> std::io::Result<Option<String>> {
    let other = place.identity()?.map(|identity| identity.app).filter(|other| other != app);
    let foreign = || Ok((!place.is_ours()?).then(|| "holds something else".to_owned()));
    other.map_or_else(foreign, |other| Ok(Some(format!("is where `{other}` is deployed"))))
}

fn plan(options: &Options, place: Place) -> Result<ExitCode, Box<dyn Error>> {
    // Nothing is asked of the registry and the service: where they are does not matter.
    let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let identity = Identity { app: options.app.clone(), address: nowhere, token: String::new() };
    let deployer = options.order(&place).deployer(identity, place, nowhere);
    let run = options.driven.runner(&options.flow, &Kept::nothing(), DeployStep::run(&deployer));
    let run = skipped(run, options)?;
    tell(&options.driven.plan.unwrap_or_default().write(&run.plan())?);
    Ok(ExitCode::SUCCESS)
}

/// Leaves out what is to be left out.
fn skipped<'h>(
    run: Runner<'h, DeployStep, &'h Deployer>,
    options: &Options,
) -> Result<Runner<'h, DeployStep, &'h Deployer>, NotSkippable> {
    options.driven.skip.iter().try_fold(run, |run, step| run.try_skip(*step, "--skip was given"))
}

/// Tells how the run went, and what answers now.
fn settle(
    ended: Result<Report<DeployStep>, DeployFailure>,
    deployer: &Deployer,
    kept: &Kept,
    options: &Options,
) -> ExitCode {
    let failure = match ended {
        Ok(report) => {
            let code = options.flow.completed(&report);
            options.flow.say(&what_answers(deployer));
            options.flow.say(&format!("end it: {}", options.place.command_line("stop")));
            return code;
        }
        Err(failure) => failure,
    };
    let is_refused = cli::is_refused(&failure);
    let (mut context, cause) = failure.into_parts();
    if is_refused {
        options.flow.refused(&mut context, &deployer.place.traces());
        return ExitCode::from(cli::FAILED);
    }
    options.flow.failed(&mut context, &deployer.place.traces(), kept);
    complain(&what_answers(deployer));
    if !options.driven.rolls_back() {
        complain(&format!("nothing was taken back; end it: {}", options.place.command_line("stop")));
    }
    ExitCode::from(if matches!(cause, Cause::Cancelled) { cli::CANCELLED } else { cli::FAILED })
}

/// What a user sees who asks for the page now.
fn what_answers(deployer: &Deployer) -> String {
    let address = deployer.identity.address;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(http::get(address, "GET", "/"))) {
        Ok(answer) => format!("http://{address}/ answers {}: {}", answer.status, answer.line()),
        Err(_) => format!("nothing answers at http://{address}/"),
    }
}

/// Puts a release into the registry.
fn release(app: &str, version: &str, nature: registry::Nature, place: &PlaceArgs) -> Result<ExitCode, Box<dyn Error>> {
    let place = Place::at(&place.dir)?;
    if let Some(reason) = not_here(&place, app)? {
        return Ok(wrong_folder(&place, &reason));
    }
    registry::release(&place, app, version, nature)?;
    tell(&format!("released {app} {version} to {}", shown(&place.registry())));
    Ok(ExitCode::SUCCESS)
}

/// Ends the service. What is deployed stays deployed.
fn stop(place: &PlaceArgs) -> Result<ExitCode, Box<dyn Error>> {
    let place = Place::at(&place.dir)?;
    Kept::check_undriven(place.root())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let was_up = match place.identity()? {
        Some(identity) => runtime.block_on(service::stop(&place, &identity))?,
        None => false,
    };
    let text = if was_up { "the service is gone" } else { "there is no service" };
    tell(&format!("{}: {text}", shown(place.root())));
    Ok(ExitCode::SUCCESS)
}
