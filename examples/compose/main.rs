//! `cargo run --example compose`: deploys the services of a commit in the place of those that run, and tells everybody
//! who asked how far it is.
//!
//! The workflow is [`ComposeStep`](step_machine_examples::steps::ComposeStep); what its steps do stands in `composer.rs`.
//! The world is small but real: `git`, a registry that layers of images are pulled from, processes as services, and a
//! router that leads requests as a file says. Who is told stands in `consume/`.

mod checkout;
mod composer;
mod consume;
mod demo;
mod error;
mod lock;
mod options;
mod place;
mod pull;
mod registry;
mod router;
mod sabotage;
mod service;
mod stack;

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::Parser;
use step_machine::runner::NotSkippable;
use step_machine::{Cause, Failure, JournalError, Report, Runner};
use step_machine_examples::cli::{self, KeepError, Kept, complain, no_run, shown, tell};
use step_machine_examples::file_server::{self, FileServer};
use step_machine_examples::launch;
use step_machine_examples::steps::ComposeStep;

use composer::Composer;
use consume::Facts;
use error::ComposeError;
use lock::Lock;
use options::{Cli, Options, Order, Other, PlaceArgs, Served};
use place::{Place, names};
use registry::Client;
use sabotage::Saboteur;
use service::Services;

type ComposeFailure = Failure<ComposeStep, ComposeError>;
type Done = Result<ExitCode, Box<dyn Error>>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.other {
        None => deploy(&cli.options),
        Some(Other::Stop { place }) => stop(&place),
        Some(Other::Image { image, size, place }) => add_image(&image, size, &place),
        Some(Other::Serve { what: Served::Router, folder }) => end(router::serve(&folder)),
        Some(Other::Serve { what: Served::Service, folder }) => end(service::serve(&folder)),
        Some(Other::Registry { folder }) => end(file_server::serve(&folder)),
    };
    ended.unwrap_or_else(|error| no_run(&*error))
}

fn end(served: std::io::Result<()>) -> Done {
    served.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}

/// Deploys, and tells how that went.
fn deploy(options: &Options) -> Done {
    let place = Place::at(&options.place.dir)?;
    if options.driven.plan.is_some() {
        return plan(options, place);
    }
    let there = place.project()?;
    let project = options.project(there.as_deref());
    if let Some(reason) = not_here(&place, &project)? {
        return Ok(wrong_folder(&place, &reason));
    }
    let kept = options.flow.keep(place.root(), &|arguments| options.place.command_line(arguments))?;
    let order = match kept.input()? {
        Some(order) => order,
        None => {
            supersede(&kept)?;
            place.claim(&project)?;
            demo::prepare(&place, options.repository.is_none())?;
            let deployment = place.next_deployment(&project)?;
            options.order(&place, project, deployment)
        }
    };
    // Ends when this function does.
    let server = FileServer::start("registry", &place.registry())?;
    let bandwidth = options.bandwidth.map(|kilobytes| kilobytes * 1024);
    let composer = Composer::new(place, order, Client::new(server.address), bandwidth);
    run(options, &kept, &composer)
}

fn run(options: &Options, kept: &Kept, composer: &Composer) -> Done {
    if let Some(mut failure) = kept.was_taken_back() {
        options.flow.failed(&mut failure, &composer.place.traces(), kept);
        complain(&what_answers(composer));
        return Ok(ExitCode::from(cli::FAILED));
    }
    let Order { project, deployment, .. } = &composer.order;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let saboteur = Saboteur::new(options.flow.fail_at, composer);
    let sabotaged = saboteur.has_acted();
    let run = skipped(options.driven.runner(&options.flow, kept, ComposeStep::run(composer)), options)?;
    // One deployment of a project at a time. Before the consumers, so that the damage is done when they are told.
    let run = run.exclusive(&**project).input(&composer.order).observe(saboteur).ctrl_c();
    let facts = Facts { project: project.clone(), deployment: deployment.clone(), earlier: kept.earlier().cloned() };
    let (run, consumers) = options.consumers.attach(run, &facts)?;
    let ended = runtime.block_on(cli::with_word_of_ctrl_c(run));
    let code = settle(ended, composer, kept, options);
    consumers.finish();
    if options.flow.fail_at.is_some() && !sabotaged.load(Ordering::Acquire) {
        complain("--fail-at had no effect: the step did not run");
    }
    Ok(code)
}

/// Gives up the runs that did not come to their end. One that a process drives holds the project's lock, which says so.
fn supersede(kept: &Kept) -> Result<(), KeepError> {
    match kept.supersede() {
        Err(KeepError::Journal(JournalError::Owned { .. })) => Ok(()),
        superseded => superseded,
    }
}

fn wrong_folder(place: &Place, reason: &str) -> ExitCode {
    complain(&format!("error: {} {reason}; name another folder with --dir", shown(place.root())));
    ExitCode::from(cli::USAGE)
}

/// Why this folder is not one to deploy `project` to.
fn not_here(place: &Place, project: &str) -> std::io::Result<Option<String>> {
    match place.project()? {
        Some(other) if other != project => Ok(Some(format!("is where `{other}` is deployed"))),
        Some(_) => Ok(None),
        None => Ok((!place.is_ours()?).then(|| "holds something else".to_owned())),
    }
}

fn plan(options: &Options, place: Place) -> Done {
    // Nothing is asked of the registry: where it is does not matter.
    let nowhere = (std::net::Ipv4Addr::UNSPECIFIED, 0).into();
    let order = options.order(&place, options.project(None), String::new());
    let composer = Composer::new(place, order, Client::new(nowhere), None);
    let run = skipped(options.driven.runner(&options.flow, &Kept::nothing(), ComposeStep::run(&composer)), options)?;
    tell(&options.driven.plan.unwrap_or_default().write(&run.plan())?);
    Ok(ExitCode::SUCCESS)
}

/// Leaves out what is to be left out.
fn skipped<'h>(
    run: Runner<'h, ComposeStep, &'h Composer>,
    options: &Options,
) -> Result<Runner<'h, ComposeStep, &'h Composer>, NotSkippable> {
    options.driven.skip.iter().try_fold(run, |run, step| run.try_skip(*step, "--skip was given"))
}

/// Tells how the run went, and what answers now.
fn settle(
    ended: Result<Report<ComposeStep>, ComposeFailure>,
    composer: &Composer,
    kept: &Kept,
    options: &Options,
) -> ExitCode {
    let failure = match ended {
        Ok(report) => {
            let code = options.flow.completed(&report);
            options.flow.say(&what_answers(composer));
            options.flow.say(&format!("end it: {}", options.place.command_line("stop")));
            return code;
        }
        Err(failure) => failure,
    };
    let is_refused = cli::is_refused(&failure);
    let (mut context, cause) = failure.into_parts();
    if is_refused {
        options.flow.refused(&mut context, &composer.place.traces());
        return ExitCode::from(cli::FAILED);
    }
    options.flow.failed(&mut context, &composer.place.traces(), kept);
    complain(&what_answers(composer));
    if !options.driven.rolls_back() {
        complain(&format!("nothing was taken back; end it: {}", options.place.command_line("stop")));
    }
    ExitCode::from(if matches!(cause, Cause::Cancelled) { cli::CANCELLED } else { cli::FAILED })
}

/// What a user sees who asks for the page now.
fn what_answers(composer: &Composer) -> String {
    let Some(url) = router::url(&composer.place) else { return "nothing answers".to_owned() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(router::ask(&composer.place, "/"))) {
        Ok(answer) => format!("{url} answers {}: {}", answer.status, answer.line()),
        Err(_) => format!("nothing answers at {url}"),
    }
}

/// Puts an image into the registry.
fn add_image(image: &str, kilobytes: u16, place: &PlaceArgs) -> Done {
    let place = Place::at(&place.dir)?;
    if !place.is_ours()? {
        return Ok(wrong_folder(&place, "holds something else"));
    }
    demo::prepare(&place, false)?;
    registry::add(&place.registry(), &[(image, kilobytes.into())])?;
    tell(&format!("{}: there is an image {image} now", shown(&place.registry())));
    Ok(ExitCode::SUCCESS)
}

/// Ends all that is deployed.
fn stop(place: &PlaceArgs) -> Done {
    let dir = &place.dir;
    let place = Place::at(dir)?;
    let Some(project) = place.project()? else {
        tell(&format!("{}: nothing is deployed", dir.display()));
        return Ok(ExitCode::SUCCESS);
    };
    // Nobody is to start anything meanwhile.
    let lock = Lock::take(&place.lock(), &project, "stops it")?;
    launch::end(&place.router())?;
    for deployment in names(&place.services())? {
        Services::of(&place, &deployment).stop()?;
    }
    place.clear()?;
    drop(lock);
    tell(&format!("{}: nothing is deployed any more", dir.display()));
    Ok(ExitCode::SUCCESS)
}
