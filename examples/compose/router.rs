//! The router: a process that leads requests as files in a folder say, in the form of traefik's file provider.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use step_machine_examples::disk::{read_json, remove, write};
use step_machine_examples::http::{self, Answer};
use step_machine_examples::launch;
use step_machine_examples::site;

use crate::place::{Place, names};

/// A file of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Route {
    http: Http,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Http {
    routers: BTreeMap<String, Router>,
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Router {
    rule: String,
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LoadBalancer {
    servers: Vec<Server>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Server {
    url: String,
}

impl Route {
    /// All requests for `project` go to `deployment`, which is at `port`.
    fn to(project: &str, deployment: &str, port: u16) -> Self {
        let router = Router { rule: "PathPrefix(`/`)".to_owned(), service: deployment.to_owned() };
        let servers = vec![Server { url: format!("http://127.0.0.1:{port}") }];
        let service = Service { load_balancer: LoadBalancer { servers } };
        let routers = [(project.to_owned(), router)].into();
        Self { http: Http { routers, services: [(deployment.to_owned(), service)].into() } }
    }

    /// The port that a request for `path` goes to, with how much of the path says so.
    fn port(&self, path: &str) -> Option<(usize, u16)> {
        let matching = self.http.routers.values().filter_map(|router| {
            let prefix = router.rule.strip_prefix("PathPrefix(`")?.strip_suffix("`)")?;
            let server = self.http.services.get(&router.service)?.load_balancer.servers.first()?;
            let port = server.url.rsplit(':').next()?.parse().ok()?;
            path.starts_with(prefix).then_some((prefix.len(), port))
        });
        matching.max()
    }
}

/// Leads the requests for `project` to `deployment`, in one move, and sees that there is a router.
pub(crate) async fn lead(place: &Place, project: &str, deployment: &str, port: u16) -> io::Result<()> {
    let (path, route) = (place.route(project), Route::to(project, deployment, port));
    // What is as it should be is not touched.
    if read_json::<Route>(&path).ok().as_ref() != Some(&route) {
        write(&path, &route)?;
    }
    ensure(place).await
}

async fn ensure(place: &Place) -> io::Result<()> {
    match launch::port(&place.router()) {
        Some(_) => Ok(()),
        None => launch::start("router", place.root(), &place.router(), None).await.map(drop),
    }
}

/// Puts the file back that was there before. Without one the router ends.
pub(crate) async fn restore(place: &Place, project: &str, file: Option<&str>) -> io::Result<()> {
    let path = place.route(project);
    let Some(text) = file else { return remove(&path).and_then(|()| launch::end(&place.router())) };
    site::write_whole(&path, text)?;
    ensure(place).await
}

/// The file as it is.
pub(crate) fn file(place: &Place, project: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(place.route(project)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

/// Where the router answers.
pub(crate) fn url(place: &Place) -> Option<String> {
    Some(format!("http://127.0.0.1:{}/", launch::port(&place.router())?))
}

/// Asks the router for `path`.
pub(crate) async fn ask(place: &Place, path: &str) -> io::Result<Answer> {
    let port = launch::port(&place.router()).ok_or(io::ErrorKind::NotConnected)?;
    http::get((Ipv4Addr::LOCALHOST, port).into(), "GET", path).await
}

/// Is the router of the project in `dir`.
pub(crate) fn serve(dir: &Path) -> io::Result<()> {
    let place = Place::at(dir)?;
    launch::serve(&place.router(), &place.routes(), {
        let place = place.clone();
        move |path| answer(&place, path)
    })
}

fn answer(place: &Place, path: &str) -> Answer {
    let Ok(files) = names(&place.routes()) else { return Answer::of_status(500) };
    // One that is being written is no route yet.
    let files = files.iter().filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"));
    let routes = files.filter_map(|name| read_json::<Route>(&place.routes().join(name)).ok());
    match routes.filter_map(|route| route.port(path)).max() {
        Some((_, port)) => http::get_here(port, path).unwrap_or_else(|_| Answer::of_status(502)),
        None => Answer::of_status(404),
    }
}
