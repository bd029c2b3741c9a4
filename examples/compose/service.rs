//! Services: processes that outlive the one that starts them, each with what its image has as its disk.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use step_machine_examples::disk::{read_json, remove_folder, write};
use step_machine_examples::http::{self, Answer};
use step_machine_examples::launch;
use step_machine_examples::steps::{ComposeService, Running};

use crate::error::ComposeError;
use crate::place::{Place, names};

/// The path by which a service says which deployment it belongs to.
pub(crate) const DEPLOYMENT: &str = "/deployment";

/// The order that a service runs by, and ends with.
#[derive(Serialize, Deserialize)]
struct Order {
    deployment: String,
    service: ComposeService,
}

/// The services of one deployment.
pub(crate) struct Services<'a> {
    place: &'a Place,
    deployment: &'a str,
}

impl<'a> Services<'a> {
    pub(crate) fn of(place: &'a Place, deployment: &'a str) -> Self {
        Self { place, deployment }
    }

    /// The folder of all of them.
    pub(crate) fn folder(&self) -> PathBuf {
        self.place.services().join(self.deployment)
    }

    fn of_service(&self, service: &str) -> PathBuf {
        self.folder().join(service)
    }

    /// The disk of a service.
    pub(crate) fn disk(&self, service: &str) -> PathBuf {
        self.of_service(service).join("root")
    }

    fn listening(&self, service: &str) -> PathBuf {
        self.of_service(service).join("listening.json")
    }

    /// Starts a service whose disk is ready; where it answers.
    pub(crate) async fn start(&self, service: &ComposeService) -> Result<Running, ComposeError> {
        let folder = self.of_service(&service.name);
        let started = async {
            let order = Order { deployment: self.deployment.to_owned(), service: service.clone() };
            write(&order_of(&folder), &order)?;
            launch::start("service", &folder, &self.listening(&service.name), Some(&folder.join("service.log"))).await
        };
        let port = started.await.map_err(|source| ComposeError::Start { service: service.name.clone(), source })?;
        Ok(running(service, port))
    }

    /// The port of a service that answers.
    pub(crate) fn port(&self, service: &str) -> Option<u16> {
        launch::port(&self.listening(service))
    }

    /// Ends all of them; how many there were.
    pub(crate) fn stop(&self) -> Result<usize, ComposeError> {
        let stop = |service: &String| {
            let ended = launch::end(&self.listening(service));
            ended.map_err(|source| ComposeError::Stop { service: service.clone(), source })
        };
        let services = self.names()?;
        services.iter().try_for_each(stop)?;
        Ok(services.len())
    }

    /// Ends all of them and removes their folders.
    pub(crate) fn remove(&self) -> Result<(), ComposeError> {
        self.stop()?;
        remove_folder(&self.folder()).map_err(|source| ComposeError::File { path: self.folder(), source })
    }

    fn names(&self) -> Result<Vec<String>, ComposeError> {
        names(&self.folder()).map_err(|source| ComposeError::File { path: self.folder(), source })
    }
}

fn order_of(folder: &Path) -> PathBuf {
    folder.join("service.json")
}

fn running(service: &ComposeService, port: u16) -> Running {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    Running { name: service.name.clone(), address, health: service.health.clone() }
}

/// Is the service in `folder`.
pub(crate) fn serve(folder: &Path) -> io::Result<()> {
    let Order { deployment, service } = read_json(&order_of(folder))?;
    let page = folder.join("root").join(service.command.last().map(String::as_str).unwrap_or_default());
    fs::metadata(&page).map_err(|error| missing(&service, error))?;
    let (begun, warm_up) = (Instant::now(), Duration::from_millis(service.warm_up_ms));
    let others = folder.parent().unwrap_or(folder).to_owned();
    launch::serve(&folder.join("listening.json"), &order_of(folder), move |path| {
        let ask = |path: &str| ask_all(&others, &service.depends_on, path);
        match path {
            DEPLOYMENT => Answer::new(200, deployment.clone()),
            _ if begun.elapsed() < warm_up => Answer::new(503, "warming up"),
            "/" => show(&page, ask("/")),
            path if path == service.health => check(&service, &page, ask("/health")),
            _ => Answer::new(404, format!("there is no {path}")),
        }
    })
}

fn missing(service: &ComposeService, error: io::Error) -> io::Error {
    let file = service.command.last().map(String::as_str).unwrap_or_default();
    io::Error::new(error.kind(), format!("image {} has no {file}", service.image))
}

/// What the services say that this one depends on.
fn ask_all(others: &Path, services: &[String], path: &str) -> io::Result<Vec<Answer>> {
    let ask = |service: &String| {
        let silent = || io::Error::new(io::ErrorKind::NotConnected, format!("{service} does not answer"));
        let folder = others.join(service);
        let order: Order = read_json(&order_of(&folder)).map_err(|_| silent())?;
        let port = launch::port(&folder.join("listening.json")).ok_or_else(silent)?;
        http::get_here(port, if path == "/" { path } else { &order.service.health })
    };
    services.iter().map(ask).collect()
}

/// The page, with those of the services that it is made of.
fn show(page: &Path, others: io::Result<Vec<Answer>>) -> Answer {
    let whole = fs::read_to_string(page).and_then(|page| {
        let others = others?;
        let parts = std::iter::once(page.trim().to_owned()).chain(others.iter().map(Answer::line));
        Ok(parts.collect::<Vec<_>>().join(", "))
    });
    whole.map_or_else(|error| Answer::new(500, error.to_string()), |text| Answer::new(200, text + "\n"))
}

fn check(service: &ComposeService, page: &Path, others: io::Result<Vec<Answer>>) -> Answer {
    if let Err(error) = fs::read_to_string(page) {
        return Answer::new(500, missing(service, error).to_string());
    }
    match others {
        Ok(answers) => answers.into_iter().find(|answer| answer.status != 200).map_or_else(
            || Answer::new(200, format!("{} is well", service.name)),
            |answer| Answer::new(503, format!("waits for others: {}", answer.line())),
        ),
        Err(error) => Answer::new(503, error.to_string()),
    }
}
