//! `compose.json`: what a project consists of. JSON is what a compose file may be too.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use step_machine_examples::steps::{ComposeService, Stack};

/// What is wrong with a compose file. Where it is a service, its name and the key stand first.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("there is no compose.json in the commit")]
    Missing(#[source] std::io::Error),
    #[error("it is no compose file")]
    NoCompose(#[source] serde_json::Error),
    #[error("it has no services")]
    Empty,
    #[error("service `{service}`, key `{key}`")]
    Key { service: String, key: String, source: serde_json::Error },
    #[error("service `{service}`, key `image`: there is no image {image} in the registry; there is {known}")]
    UnknownImage { service: String, image: String, known: String },
    #[error("service `{service}`, key `command`: an image of this example knows `serve FILE` and nothing else")]
    UnknownCommand { service: String },
    #[error("service `{service}`, key `port`: {port} is the port of `{other}` already")]
    SamePort { service: String, port: u16, other: String },
    #[error("service `{service}`, key `depends_on`: there is no service `{dependency}`")]
    UnknownService { service: String, dependency: String },
    #[error("service `{service}`, key `depends_on`: it depends on itself, by {circle}")]
    Circle { service: String, circle: String },
    #[error("service `{service}`, key `labels`: `{other}` has `traefik.enable` already, and one service has it")]
    TwoRouted { service: String, other: String },
    #[error("no service has the label `traefik.enable`: requests from outside would be led nowhere")]
    NoneRouted,
}

impl Invalid {
    /// The service and the key that are wrong, where it is one of them.
    pub(crate) fn place(&self) -> Option<(&str, &str)> {
        match self {
            Self::Key { service, key, .. } => Some((service, key)),
            Self::UnknownImage { service, .. } => Some((service, "image")),
            Self::UnknownCommand { service } => Some((service, "command")),
            Self::SamePort { service, .. } => Some((service, "port")),
            Self::UnknownService { service, .. } | Self::Circle { service, .. } => Some((service, "depends_on")),
            Self::TwoRouted { service, .. } => Some((service, "labels")),
            Self::Missing(_) | Self::NoCompose(_) | Self::Empty | Self::NoneRouted => None,
        }
    }
}

#[derive(Deserialize)]
struct File {
    services: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    image: String,
    command: Vec<String>,
    port: u16,
    #[serde(default)]
    depends_on: Vec<String>,
    #[serde(default)]
    healthcheck: Health,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// How long the service takes to get well, in seconds.
    #[serde(default, rename = "x-warm-up")]
    warm_up: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Health {
    path: String,
}

impl Default for Health {
    fn default() -> Self {
        Self { path: "/health".to_owned() }
    }
}

/// Reads a compose file, whose images have to be among `images`.
pub(crate) fn read(text: &str, images: &BTreeSet<String>) -> Result<Stack, Invalid> {
    let file: File = serde_json::from_str(text).map_err(Invalid::NoCompose)?;
    let services = file.services.into_iter().map(service).collect::<Result<Vec<_>, _>>()?;
    if services.is_empty() {
        return Err(Invalid::Empty);
    }
    services.iter().try_for_each(|service| check(service, images))?;
    check_ports(&services)?;
    check_routes(&services)?;
    Ok(Stack { services: in_order(services)? })
}

fn service((name, value): (String, Value)) -> Result<ComposeService, Invalid> {
    let entry: Result<Entry, _> = serde_path_to_error::deserialize(value);
    let Entry { image, command, port, depends_on, healthcheck, labels, warm_up } = entry.map_err(|error| {
        let key = error.path().to_string();
        Invalid::Key { service: name.clone(), key: key_of(&key, error.inner()), source: error.into_inner() }
    })?;
    let is_routed = labels.get("traefik.enable").is_some_and(|value| value == "true");
    let warm_up_ms = u64::from(warm_up) * 1000;
    Ok(ComposeService { name, image, command, port, depends_on, health: healthcheck.path, warm_up_ms, is_routed })
}

/// The key that an error is about: one that is missing is named by the message alone.
fn key_of(path: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let named = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match named {
        Some(key) if path == "." => key.to_owned(),
        Some(key) => format!("{path}.{key}"),
        None => path.to_owned(),
    }
}

fn check(service: &ComposeService, images: &BTreeSet<String>) -> Result<(), Invalid> {
    let name = service.name.clone();
    if !images.contains(&service.image) {
        let known = images.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        return Err(Invalid::UnknownImage { service: name, image: service.image.clone(), known });
    }
    match service.command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", _] => Ok(()),
        _ => Err(Invalid::UnknownCommand { service: name }),
    }
}

/// All services are in one network.
fn check_ports(services: &[ComposeService]) -> Result<(), Invalid> {
    let mut taken = BTreeMap::new();
    for ComposeService { name, port, .. } in services {
        if let Some(other) = taken.insert(*port, name) {
            return Err(Invalid::SamePort { service: name.clone(), port: *port, other: other.clone() });
        }
    }
    Ok(())
}

fn check_routes(services: &[ComposeService]) -> Result<(), Invalid> {
    let mut routed = services.iter().filter(|service| service.is_routed).map(|service| &service.name);
    match (routed.next(), routed.next()) {
        (Some(other), Some(service)) => Err(Invalid::TwoRouted { service: service.clone(), other: other.clone() }),
        (None, _) => Err(Invalid::NoneRouted),
        (Some(_), None) => Ok(()),
    }
}

/// Each service after those that it depends on.
fn in_order(services: Vec<ComposeService>) -> Result<Vec<ComposeService>, Invalid> {
    let by_name: BTreeMap<&str, &ComposeService> =
        services.iter().map(|service| (service.name.as_str(), service)).collect();
    let mut order = Vec::new();
    for service in &services {
        place(service, &by_name, &mut Vec::new(), &mut order)?;
    }
    Ok(order.into_iter().cloned().collect())
}

/// Places a service after those that it depends on; `way` are those that wait for it.
fn place<'a>(
    service: &'a ComposeService,
    all: &BTreeMap<&str, &'a ComposeService>,
    way: &mut Vec<&'a str>,
    order: &mut Vec<&'a ComposeService>,
) -> Result<(), Invalid> {
    if order.iter().any(|placed| placed.name == service.name) {
        return Ok(());
    }
    if let Some(begin) = way.iter().position(|name| *name == service.name) {
        let circle = way[begin..].iter().chain([&service.name.as_str()]).copied().collect::<Vec<_>>().join(" -> ");
        return Err(Invalid::Circle { service: service.name.clone(), circle });
    }
    way.push(&service.name);
    for dependency in &service.depends_on {
        let found = all
            .get(dependency.as_str())
            .ok_or_else(|| Invalid::UnknownService { service: service.name.clone(), dependency: dependency.clone() })?;
        place(found, all, way, order)?;
    }
    way.pop();
    order.push(service);
    Ok(())
}
