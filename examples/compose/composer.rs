//! What the steps do.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use step_machine::StepContext;
use step_machine::event::Level;
use step_machine::process::Command;
use step_machine_examples::cli::shown;
use step_machine_examples::disk::{part, read, remove, remove_folder, remove_parts, write};
use step_machine_examples::http;
use step_machine_examples::steps::{
    Before, Commit, ComposeService, ComposeStepHandler, Deployed, Running, Stack, Started, Worktree, compose_step,
};
use step_machine_examples::tally::tally;

use crate::checkout;
use crate::error::{At, ComposeError};
use crate::lock::Lock;
use crate::options::Order;
use crate::place::{Place, names};
use crate::pull::{self, Puller};
use crate::registry::Client;
use crate::router;
use crate::service::{DEPLOYMENT, Services};
use crate::stack;

/// Puts one version of a project in the place of another one.
pub(crate) struct Composer {
    pub(crate) place: Place,
    pub(crate) order: Order,
    pub(crate) registry: Client,
    pub(crate) bandwidth: Option<u64>,
    /// Held until this process is done.
    lock: Mutex<Option<Lock>>,
}

impl ComposeStepHandler for Composer {
    type Error = ComposeError;

    async fn initializing(&self, cx: &mut StepContext) -> Result<Before, ComposeError> {
        tally(cx);
        let Order { project, deployment, .. } = &self.order;
        let lock = Lock::take(&self.place.lock(), project, &format!("deploys {deployment} in run {}", cx.run()))?;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        let deployed: Option<Deployed> = read(&self.place.current()).at(self.place.current())?;
        let route = router::file(&self.place, project).at(self.place.route(project))?;
        cx.metadata("project", project);
        cx.metadata("deployment", deployment);
        cx.message(match &deployed {
            Some(before) => format!("{deployment}, in the place of {}", before.deployment),
            None => format!("{deployment}, the first one"),
        });
        Ok(Before { deployed, route })
    }

    async fn fetching(&self, cx: &mut StepContext) -> Result<(), ComposeError> {
        tally(cx);
        cx.metadata("repository", &self.order.repository);
        checkout::fetch(&self.place, &self.order.repository, cx).await?;
        cx.tell(Level::Debug, format!("fetched {}", self.order.repository));
        Ok(())
    }

    async fn resolving(&self, cx: &mut StepContext) -> Result<Commit, ComposeError> {
        tally(cx);
        let Order { repository, reference, .. } = &self.order;
        cx.metadata("ref", reference);
        let commit = checkout::resolve(&self.place, repository, reference, cx).await?;
        cx.metadata("commit", &commit);
        cx.message(format!("{reference} is {commit:.12}"));
        Ok(Commit { commit })
    }

    async fn worktree(&self, cx: &mut StepContext, resolving: &Commit) -> Result<Worktree, ComposeError> {
        tally(cx);
        let folder = self.worktree_of(cx.attempt());
        fs::create_dir_all(self.place.worktrees()).at(self.place.worktrees())?;
        checkout::add_worktree(&self.place, &folder, &resolving.commit, cx).await?;
        cx.message(shown(&folder).to_string());
        Ok(Worktree { folder })
    }

    async fn undo_worktree(&self, cx: &mut StepContext, _: Option<&Worktree>) -> Result<(), ComposeError> {
        // Those of all attempts.
        for name in names(&self.place.worktrees()).at(self.place.worktrees())? {
            if is_of(&name, &self.order.deployment) {
                checkout::remove_worktree(&self.place, &self.place.worktrees().join(name), cx).await?;
            }
        }
        checkout::prune(&self.place, cx).await?;
        cx.message("the worktree is removed");
        Ok(())
    }

    async fn validating(&self, cx: &mut StepContext, worktree: &Worktree) -> Result<Stack, ComposeError> {
        tally(cx);
        let path = worktree.folder.join("compose.json");
        let images = self.registry.index().await?.into_keys().collect();
        let text = fs::read_to_string(&path).map_err(stack::Invalid::Missing);
        let stack = text.and_then(|text| stack::read(&text, &images)).map_err(|source| {
            if let Some((service, key)) = source.place() {
                cx.metadata("service", service);
                cx.metadata("key", key);
            }
            ComposeError::Invalid { path, source }
        })?;
        let names: Vec<&str> = stack.services.iter().map(|service| &*service.name).collect();
        cx.message(names.join(", "));
        Ok(stack)
    }

    async fn pulling(&self, cx: &mut StepContext, validating: &Stack) -> Result<(), ComposeError> {
        tally(cx);
        let puller = Puller { place: &self.place, registry: self.registry, bandwidth: self.bandwidth };
        puller.pull(validating, cx).await
    }

    async fn starting(&self, cx: &mut StepContext, validating: &Stack) -> Result<Started, ComposeError> {
        tally(cx);
        let services = Services::of(&self.place, &self.order.deployment);
        let index = self.registry.index().await?;
        let tasks = validating.services.iter().map(|service| cx.task(service.name.clone(), service.image.clone()));
        let mut running = Vec::new();
        for (service, mut task) in validating.services.iter().zip(tasks.collect::<Vec<_>>()) {
            let layers = pull::files(&self.place, &index, &service.image)?;
            let unpacked = unpack(&services.disk(&service.name), service, &layers, cx).await;
            task.progress(0.5);
            let started = match unpacked {
                Ok(()) => services.start(service).await,
                Err(error) => Err(error),
            };
            match started {
                Ok(started) => {
                    task.message(format!("listens on {}", started.address));
                    running.push(started);
                    task.complete();
                }
                Err(error) => {
                    task.fail(error.to_string());
                    return Err(error);
                }
            }
        }
        cx.message(format!("{} services", running.len()));
        let entry = validating.services.iter().zip(&running).find(|(service, _)| service.is_routed);
        let entry = entry.or(validating.services.iter().zip(&running).next_back()).map(|(_, running)| running.address);
        Ok(Started { entry: entry.unwrap_or((std::net::Ipv4Addr::LOCALHOST, 0).into()), services: running })
    }

    async fn undo_starting(&self, cx: &mut StepContext, _: Option<&Started>) -> Result<(), ComposeError> {
        Services::of(&self.place, &self.order.deployment).remove()?;
        let Some(before) = before(cx)?.deployed else {
            cx.message("the services are stopped");
            return Ok(());
        };
        self.bring_back(&before, cx).await
    }

    async fn health_check(&self, cx: &mut StepContext, starting: &Started) -> Result<(), ComposeError> {
        tally(cx);
        let tasks = starting.services.iter().map(|service| cx.task(service.name.clone(), service.health.clone()));
        let tasks: Vec<_> = tasks.collect();
        let mut unwell = None;
        for (service, mut task) in starting.services.iter().zip(tasks) {
            match check(service).await {
                Ok(answer) => {
                    task.message(answer);
                    task.complete();
                }
                Err(error) => {
                    task.fail(error.to_string());
                    unwell.get_or_insert(error);
                }
            }
        }
        if let Some(error) = unwell {
            return Err(error);
        }
        cx.tell(Level::Success, "all services are well");
        Ok(())
    }

    async fn traefik(&self, cx: &mut StepContext, starting: &Started) -> Result<(), ComposeError> {
        tally(cx);
        let Order { project, deployment, .. } = &self.order;
        let led = router::lead(&self.place, project, deployment, starting.entry.port()).await;
        led.map_err(|source| self.unrouted(source))?;
        cx.progress(0.5);
        let answer = match router::ask(&self.place, DEPLOYMENT).await {
            Ok(answer) => answer.line(),
            Err(error) => error.to_string(),
        };
        if answer != *deployment {
            return Err(ComposeError::NotRouted { deployment: deployment.clone(), answer });
        }
        cx.tell(Level::Success, format!("{deployment} answers"));
        Ok(())
    }

    async fn undo_traefik(&self, cx: &mut StepContext) -> Result<(), ComposeError> {
        let before = before(cx)?;
        let restored = router::restore(&self.place, &self.order.project, before.route.as_deref()).await;
        restored.map_err(|source| self.unrouted(source))?;
        cx.message(if before.route.is_some() { "the old route is back" } else { "the route is removed" });
        Ok(())
    }

    async fn skip_cleanup(&self, cx: &mut StepContext) -> Result<Option<String>, ComposeError> {
        let (services, worktrees) = self.others(cx)?;
        let is_alone = services.is_empty() && worktrees.is_empty();
        Ok(is_alone.then(|| "there is nothing else".to_owned()))
    }

    async fn cleanup(&self, cx: &mut StepContext) -> Result<(), ComposeError> {
        tally(cx);
        let before = before(cx)?.deployed;
        let kept = before.as_ref().map(|before| before.deployment.as_str());
        let (deployments, worktrees) = self.others(cx)?;
        for deployment in &deployments {
            let services = Services::of(&self.place, deployment);
            // The one before can be come back to.
            let is_kept = Some(deployment.as_str()) == kept;
            if is_kept { services.stop().map(drop) } else { services.remove() }?;
            cx.message(format!("{deployment} is {}", if is_kept { "stopped" } else { "removed" }));
        }
        cx.progress(0.5);
        let kept = before.as_ref().and_then(|before| before.worktree.file_name());
        for name in worktrees.iter().filter(|name| Some(name.as_ref()) != kept) {
            checkout::remove_worktree(&self.place, &self.place.worktrees().join(name), cx).await?;
        }
        checkout::prune(&self.place, cx).await?;
        self.remove_unused_images(before.as_ref(), cx).await
    }

    async fn complete(
        &self,
        cx: &mut StepContext,
        resolving: &Commit,
        worktree: &Worktree,
        validating: &Stack,
    ) -> Result<(), ComposeError> {
        tally(cx);
        let Order { project, deployment, reference, .. } = self.order.clone();
        let record = self.place.record(&deployment);
        let deployed = Deployed {
            project,
            deployment,
            run: cx.run().to_string(),
            reference,
            commit: resolving.commit.clone(),
            worktree: worktree.folder.clone(),
            services: validating.services.clone(),
        };
        write(&record, &deployed).at(record)?;
        write(&self.place.current(), &deployed).at(self.place.current())?;
        cx.tell(Level::Success, format!("{} is deployed", deployed.deployment));
        Ok(())
    }

    async fn undo_complete(&self, cx: &mut StepContext) -> Result<(), ComposeError> {
        let current = self.place.current();
        let now: Option<Deployed> = read(&current).at(&current)?;
        if now.is_some_and(|now| now.deployment == self.order.deployment) {
            let before = before(cx)?.deployed;
            before.map_or_else(|| remove(&current), |before| write(&current, &before)).at(&current)?;
        }
        let record = self.place.record(&self.order.deployment);
        remove(&record).at(record)
    }
}

impl Composer {
    pub(crate) fn new(place: Place, order: Order, registry: Client, bandwidth: Option<u64>) -> Self {
        Self { place, order, registry, bandwidth, lock: Mutex::default() }
    }

    /// Where an attempt checks the commit out: a place of its own, as a `git` of an attempt whose process was killed may
    /// still be writing to that one's.
    pub(crate) fn worktree_of(&self, attempt: u32) -> PathBuf {
        let deployment = &self.order.deployment;
        let name = if attempt == 1 { deployment.clone() } else { format!("{deployment}.{attempt}") };
        self.place.worktrees().join(name)
    }

    /// The deployments that have services, and the worktrees, that this deployment does not need.
    fn others(&self, cx: &StepContext) -> Result<(Vec<String>, Vec<String>), ComposeError> {
        let mut deployments = names(&self.place.services()).at(self.place.services())?;
        deployments.retain(|name| *name != self.order.deployment);
        let own = cx.output(compose_step::Worktree)?;
        let own = own.as_ref().and_then(|worktree| worktree.folder.file_name());
        let mut worktrees = names(&self.place.worktrees()).at(self.place.worktrees())?;
        worktrees.retain(|name| Some(name.as_ref()) != own);
        Ok((deployments, worktrees))
    }

    /// Starts the services of the deployment before that do not run any more, and leads the requests to them.
    async fn bring_back(&self, before: &Deployed, cx: &mut StepContext) -> Result<(), ComposeError> {
        let services = Services::of(&self.place, &before.deployment);
        let (mut entry, mut restarted) = (None, 0);
        for service in &before.services {
            let port = match services.port(&service.name) {
                Some(port) => port,
                None => {
                    restarted += 1;
                    services.start(service).await?.address.port()
                }
            };
            entry = entry.or(service.is_routed.then_some(port));
        }
        if let Some(port) = entry {
            let led = router::lead(&self.place, &before.project, &before.deployment, port).await;
            led.map_err(|source| self.unrouted(source))?;
        }
        let how = if restarted > 0 { "answers again" } else { "goes on" };
        cx.message(format!("{} {how}", before.deployment));
        Ok(())
    }

    async fn remove_unused_images(&self, before: Option<&Deployed>, cx: &mut StepContext) -> Result<(), ComposeError> {
        let index = self.registry.index().await?;
        let stack = cx.output(compose_step::Validating)?;
        let services = stack.iter().flat_map(|stack| &stack.services);
        let services = services.chain(before.iter().flat_map(|before| &before.services));
        let images: BTreeSet<&str> = services.map(|service| &*service.image).collect();
        let removed = pull::remove_unused(&self.place, &index, &images).at(self.place.images())?;
        cx.tell(Level::Debug, format!("{removed} layers are removed"));
        Ok(())
    }

    fn unrouted(&self, source: io::Error) -> ComposeError {
        ComposeError::Route { deployment: self.order.deployment.clone(), source }
    }
}

/// What there was before this deployment.
fn before(cx: &StepContext) -> Result<Before, ComposeError> {
    Ok(cx.output(compose_step::Initializing)?.unwrap_or_default())
}

/// Whether a name is that of a deployment, or of a later attempt at it.
fn is_of(name: &str, deployment: &str) -> bool {
    name.strip_prefix(deployment).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Fills the disk of a service with the layers of its image.
async fn unpack(
    disk: &Path,
    service: &ComposeService,
    layers: &[PathBuf],
    cx: &mut StepContext,
) -> Result<(), ComposeError> {
    // One that is there is whole: it was made ready beside.
    if disk.exists() {
        return Ok(());
    }
    let part = part(disk, cx.attempt());
    remove_folder(&part).and_then(|()| fs::create_dir_all(&part)).at(&part)?;
    for layer in layers {
        let failed = |source| ComposeError::Unpack { image: service.image.clone(), source };
        let mut tar = Command::new("tar");
        tar.arg("-xf").arg(layer).arg("-C").arg(&part);
        cx.command(tar).await.map_err(|error| ComposeError::of_command("tar", error, failed))?;
    }
    fs::rename(&part, disk).at(disk)?;
    remove_parts(disk).at(disk)
}

/// Asks a service whether it is well.
async fn check(service: &Running) -> Result<String, ComposeError> {
    let Running { name, address, health } = service;
    let url = format!("http://{address}{health}");
    match http::get(*address, "GET", health).await {
        Ok(answer) if answer.status == 200 => Ok(answer.line()),
        Ok(answer) => {
            Err(ComposeError::Unwell { service: name.clone(), url, status: answer.status, text: answer.line() })
        }
        Err(source) => Err(ComposeError::Silent { service: name.clone(), url, source }),
    }
}
