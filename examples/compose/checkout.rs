//! `git`: the mirror of a repository, and worktrees of it.

use std::fs;
use std::path::Path;

use step_machine::StepContext;
use step_machine::process::{Command, CommandError};
use step_machine_examples::disk::remove_folder;
use step_machine_examples::git::git;

use crate::error::{At, ComposeError};
use crate::place::Place;

/// Brings all branches and tags of the repository into the mirror.
pub(crate) async fn fetch(place: &Place, repository: &str, cx: &mut StepContext) -> Result<(), ComposeError> {
    let failed = |source| ComposeError::Fetch { repository: repository.to_owned(), source };
    let mut init = git();
    init.args(["init", "--quiet", "--bare"]).arg(place.mirror());
    run(init, cx, failed).await?;
    cx.progress(0.3);
    let mut fetch = in_mirror(place);
    // Nothing is to go on in the background when it has ended.
    fetch.args(["fetch", "--prune", "--force", "--no-auto-maintenance", "--", repository]);
    fetch.args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
    run(fetch, cx, failed).await.map(drop)
}

/// The id of the commit that `reference` names.
pub(crate) async fn resolve(
    place: &Place,
    repository: &str,
    reference: &str,
    cx: &mut StepContext,
) -> Result<String, ComposeError> {
    let mut parse = in_mirror(place);
    parse.args(["rev-parse", "--verify", "--end-of-options"]).arg(format!("{reference}^{{commit}}"));
    let failed =
        |source| ComposeError::NoCommit { reference: reference.to_owned(), repository: repository.to_owned(), source };
    run(parse, cx, failed).await
}

/// Checks a commit out to `folder`.
pub(crate) async fn add_worktree(
    place: &Place,
    folder: &Path,
    commit: &str,
    cx: &mut StepContext,
) -> Result<(), ComposeError> {
    let mut add = in_mirror(place);
    add.args(["worktree", "add", "--detach"]).arg(folder).arg(commit);
    let failed = |source| ComposeError::Checkout { folder: folder.to_owned(), source };
    run(add, cx, failed).await.map(drop)
}

/// Removes a worktree, or what an attempt at one has left.
pub(crate) async fn remove_worktree(place: &Place, folder: &Path, cx: &mut StepContext) -> Result<(), ComposeError> {
    if folder.join(".git").exists() {
        let mut remove = in_mirror(place);
        // Twice: also one that is locked, as by an attempt that was killed while it made it.
        remove.args(["worktree", "remove", "--force", "--force"]).arg(folder);
        let failed = |source| ComposeError::RemoveWorktree { folder: folder.to_owned(), source };
        run(remove, cx, failed).await?;
    }
    let removed = if folder.is_dir() { remove_folder(folder) } else { step_machine_examples::disk::remove(folder) };
    removed.at(folder)
}

/// Has `git` forget the worktrees that are gone.
pub(crate) async fn prune(place: &Place, cx: &mut StepContext) -> Result<(), ComposeError> {
    if !fs::exists(place.mirror()).at(place.mirror())? {
        return Ok(());
    }
    let mut prune = in_mirror(place);
    prune.args(["worktree", "prune"]);
    let failed = |source| ComposeError::RemoveWorktree { folder: place.worktrees(), source };
    run(prune, cx, failed).await.map(drop)
}

fn in_mirror(place: &Place) -> Command {
    let mut git = git();
    git.arg("--git-dir").arg(place.mirror());
    git
}

async fn run(
    command: Command,
    cx: &mut StepContext,
    failed: impl FnOnce(CommandError) -> ComposeError,
) -> Result<String, ComposeError> {
    let output = cx.command(command).await.map_err(|error| ComposeError::of_command("git", error, failed))?;
    Ok(output.stdout().end().trim().to_owned())
}
