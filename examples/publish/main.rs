//! `cargo run --example publish`: publishes an application on this machine, by a runner that takes each workflow from
//! its first step to its end, or back.
//!
//! The workflows stand in `steps.rs`; what their steps do is in `source.rs`, `docker.rs`, `nodejs.rs` and `site.rs`. The
//! world is small but real: a router process leads requests to files or to containers, and a container is a process
//! with a folder, or with `--docker` a container.

mod cli;
mod docker;
mod dockerfile;
mod drive;
mod engine;
mod error;
mod files;
mod health;
mod image;
mod job;
mod nodejs;
mod place;
mod routes;
mod sabotage;
mod site;
mod source;
mod steps;

use std::process::ExitCode;

use clap::Parser;
use step_machine_examples::cli::{Kept, USAGE, give_up, no_run, tell};
use step_machine_examples::launch;

use cli::{Cli, Command, Kind, Order, PlaceArgs, Served};
use docker::DockerPublisher;
use drive::{Done, carry_out};
use job::{Job, Usage};
use nodejs::NodejsPublisher;
use place::Place;
use routes::{Routes, Target};
use site::StaticPublisher;
use steps::{DockerStep, PublishNodejsStep, PublishStaticStep};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Static(order) => publish_static(&order, false),
        Command::Source(order) => publish_static(&order, true),
        Command::Docker(order) => publish_docker(&order),
        Command::Nodejs(order) => publish_nodejs(&order),
        Command::Stop { place } => stop(&place),
        Command::Serve { what: Served::Router, folder } => end(routes::serve(&folder)),
        Command::Serve { what: Served::Container, folder } => end(image::serve(&folder)),
    };
    done.unwrap_or_else(|error| if error.is::<Usage>() { give_up(&*error, USAGE) } else { no_run(&*error) })
}

fn end(served: std::io::Result<()>) -> Done {
    served.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}

fn publish_static<K: Kind>(order: &Order<K>, only_source: bool) -> Done {
    let job = Job::new(order)?;
    let publisher = StaticPublisher::new(&job.place, &job.what);
    let run = PublishStaticStep::run(&publisher);
    let run = if only_source { run.only_until(PublishStaticStep::PullSource) } else { run };
    carry_out(&order.flow, &job, &[&publisher.source], run)
}

fn publish_docker(order: &Order<DockerStep>) -> Done {
    let job = Job::new(order)?;
    let publisher = DockerPublisher::new(&job.place, &job.what);
    carry_out(&order.flow, &job, &[&publisher.context], DockerStep::run(&publisher))
}

fn publish_nodejs(order: &Order<PublishNodejsStep>) -> Done {
    let job = Job::new(order)?;
    let publisher = NodejsPublisher::new(&job.place, &job.what);
    let pullers = [&publisher.source, &publisher.container.context];
    carry_out(&order.flow, &job, &pullers, PublishNodejsStep::run(&publisher))
}

/// Ends all that is published.
fn stop(place: &PlaceArgs) -> Done {
    let dir = &place.dir;
    let place = Place::at(dir)?;
    Kept::check_undriven(place.root())?;
    for route in Routes::read(&place)?.all() {
        if let Target::Container { container, .. } = &route.target {
            container.end(&place)?;
        }
    }
    launch::end(&place.router())?;
    let text = if place.clear()? { "nothing is published any more" } else { "nothing is published" };
    tell(&format!("{}: {text}", dir.display()));
    Ok(ExitCode::SUCCESS)
}
