//! The router: a process that leads each request to the application that it is for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use step_machine_examples::disk::{read_json, remove, write_json};
use step_machine_examples::http::{self, Answer};
use step_machine_examples::launch;

use crate::place::Place;
use crate::steps::Container;

/// What the requests for an application are led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Target {
    Container { container: Container, port: u16 },
    Files { folder: PathBuf, release: String },
}

/// The route of one application. It knows the one that it replaced until it is sure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) publication: String,
    pub(crate) target: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Box<Route>>,
}

/// The table of the router, by application.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Routes(BTreeMap<String, Route>);

impl Routes {
    pub(crate) fn read(place: &Place) -> io::Result<Self> {
        match read_json(&place.routes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            routes => routes,
        }
    }

    /// A table without routes is none: the router then ends.
    fn write(&self, place: &Place) -> io::Result<()> {
        if self.0.is_empty() {
            return launch::end(&place.router()).and_then(|()| remove(&place.routes()));
        }
        write_json(&place.routes(), self)
    }

    /// All routes, also those that were replaced and not retired.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Route> {
        self.0.values().flat_map(|route| std::iter::successors(Some(route), |route| route.previous.as_deref()))
    }

    fn of(&self, app: &str) -> Option<&Route> {
        self.0.get(app)
    }
}

/// Leads the requests for `app` to `target`, and remembers where they were led before.
pub(crate) async fn switch(place: &Place, app: &str, publication: &str, target: Target) -> io::Result<()> {
    let mut routes = Routes::read(place)?;
    let previous = match routes.0.remove(app) {
        // An attempt whose process died has come so far.
        Some(route) if route.publication == publication => route.previous,
        before => before.map(Box::new),
    };
    routes.0.insert(app.to_owned(), Route { publication: publication.to_owned(), target, previous });
    routes.write(place)?;
    match launch::port(&place.router()) {
        Some(_) => Ok(()),
        None => launch::start("router", place.root(), &place.router(), None).await.map(drop),
    }
}

/// Leads the requests for `app` to where they were led before `publication`, if it was that far.
pub(crate) fn restore(place: &Place, app: &str, publication: &str) -> io::Result<bool> {
    let mut routes = Routes::read(place)?;
    let Some(route) = routes.0.remove(app).filter(|route| route.publication == publication) else { return Ok(false) };
    let is_first = route.previous.is_none();
    routes.0.extend(route.previous.map(|previous| (app.to_owned(), *previous)));
    routes.write(place)?;
    Ok(!is_first)
}

/// What the route of `app` replaced: more than one where one was not retired in its time. Fails where that could not be
/// forgotten, before anything of it is gone.
pub(crate) fn replaced(place: &Place, app: &str) -> io::Result<Vec<Route>> {
    let routes = Routes::read(place)?;
    routes.write(place)?;
    let replaced = routes.of(app).and_then(|route| route.previous.as_deref());
    Ok(std::iter::successors(replaced, |route| route.previous.as_deref()).cloned().collect())
}

/// Forgets what the route of `app` replaced.
pub(crate) fn settle(place: &Place, app: &str) -> io::Result<()> {
    let mut routes = Routes::read(place)?;
    if let Some(route) = routes.0.get_mut(app) {
        route.previous = None;
    }
    routes.write(place)
}

/// Is the router of the platform in `dir`.
pub(crate) fn serve(dir: &Path) -> io::Result<()> {
    let place = Place::at(dir)?;
    launch::serve(&place.router(), &place.routes(), {
        let place = place.clone();
        move |path| answer(&place, path)
    })
}

/// `/app/page` is the page of the application.
fn answer(place: &Place, path: &str) -> Answer {
    let (app, page) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let Ok(routes) = Routes::read(place) else { return Answer::of_status(500) };
    match routes.of(app).map(|route| &route.target) {
        Some(Target::Files { folder, .. }) => Answer::of_file(folder, page),
        Some(Target::Container { port, .. }) => {
            http::get_here(*port, &format!("/{page}")).unwrap_or_else(|_| Answer::of_status(502))
        }
        None => Answer::of_status(404),
    }
}
