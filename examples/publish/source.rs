//! Where a publication comes from, and how it is brought to the platform.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use step_machine::StepContext;
use step_machine::process::Command;
use step_machine_examples::disk::{read_json, remove, write_json};
use step_machine_examples::git::git;
use step_machine_examples::tally::tally;

use crate::error::{Doing, PublishError};
use crate::files;
use crate::job::What;
use crate::place::Place;
use crate::steps::SourceStepHandler;

/// What the program brings along.
const EMBEDDED: [(&str, &str); 5] = [
    ("index.html", include_str!("embedded/index.html")),
    ("style.css", include_str!("embedded/style.css")),
    ("package.json", include_str!("embedded/package.json")),
    ("server.js", include_str!("embedded/server.js")),
    ("Dockerfile", include_str!("embedded/Dockerfile")),
];

/// Where a publication comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Source {
    Git {
        repository: String,
        branch: Option<String>,
    },
    Upload {
        file: PathBuf,
    },
    Bucket {
        bucket: PathBuf,
        key: String,
    },
    Embedded {
        name: String,
    },
    /// A folder of the platform, for what is made of another source.
    Folder {
        folder: PathBuf,
    },
}

/// Brings a source to the platform.
pub(crate) struct Puller {
    source: Source,
    /// What is made of it.
    build_type: String,
    order: PathBuf,
    /// The folder that the source is in when it is here.
    pub(crate) target: PathBuf,
}

impl Puller {
    pub(crate) fn new(place: &Place, publication: &str, what: &What) -> Self {
        let target = place.source(publication);
        let (source, build_type) = (what.source.clone(), what.build_type.clone());
        Self { source, build_type, order: target.with_extension("json"), target }
    }

    /// Forgets the source: what was published does not need it any more.
    pub(crate) fn forget(&self) -> io::Result<()> {
        remove(&self.order)?;
        self.clear()
    }

    /// Removes what was brought here, also by attempts whose process died.
    fn clear(&self) -> io::Result<()> {
        let (name, folder) = (self.target.file_name().unwrap_or_default(), self.target.parent());
        let prefix = format!("{}.", name.display());
        for entry in folder.filter(|folder| folder.exists()).map(fs::read_dir).transpose()?.into_iter().flatten() {
            let entry = entry?;
            let found = entry.file_name().display().to_string();
            if found.starts_with(&prefix) && entry.path().extension().is_some_and(|extension| extension == "part") {
                remove(&entry.path())?;
            }
        }
        remove(&self.target)
    }

    /// Where an attempt brings the source first: a place of its own, as a command of an attempt whose process was killed
    /// may still be writing to that one's.
    fn room(&self, attempt: u32) -> PathBuf {
        self.target.with_extension(format!("{attempt}.part"))
    }

    async fn bring(&self, source: &Source, cx: &mut StepContext) -> Result<(), PublishError> {
        let (room, writing) = (self.room(cx.attempt()), "write the source");
        // Only where there is room for it; an attempt whose process died may have been about to take it.
        if !cx.interrupted() {
            fs::read_dir(&self.target).doing(writing)?;
        }
        fs::create_dir(&room).doing(writing)?;
        source.transfer(&room, cx).await?;
        remove(&self.target).and_then(|()| fs::rename(&room, &self.target)).doing(writing)
    }

    /// Writes down what is to be brought here, where that was not done.
    fn prepare(&self) -> io::Result<()> {
        if self.order.exists() {
            return Ok(());
        }
        self.order.parent().map_or(Ok(()), fs::create_dir_all)?;
        write_json(&self.order, &self.source)
    }

    fn source(&self) -> Result<Source, PublishError> {
        read_json(&self.order).doing("read what is to be published")
    }
}

impl SourceStepHandler for Puller {
    type Error = PublishError;

    async fn find(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        cx.metadata("buildType", &self.build_type);
        self.prepare().doing("write what is to be published")?;
        let source = self.source()?;
        tell(&source, "pulling", cx);
        let found = source.find(cx).await?;
        cx.message(found);
        Ok(())
    }

    async fn make_room(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        if cx.interrupted() && self.target.is_dir() {
            return Ok(());
        }
        fs::create_dir(&self.target).doing("make a folder for the source")
    }

    async fn undo_make_room(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        self.clear().doing("remove the source")?;
        cx.message("the source is removed");
        Ok(())
    }

    async fn transfer(&self, cx: &mut StepContext) -> Result<(), PublishError> {
        tally(cx);
        let source = self.source()?;
        tell(&source, "transferring", cx);
        self.bring(&source, cx).await?;
        let files = files::list(&self.target).doing("read the source")?.len();
        cx.message(if files == 1 { "1 file".to_owned() } else { format!("{files} files") });
        tell(&source, "ready", cx);
        Ok(())
    }
}

fn tell(source: &Source, status: &str, cx: &mut StepContext) {
    // What is made of another source is not where it all comes from.
    if matches!(source, Source::Folder { .. }) {
        return;
    }
    cx.metadata("source", source);
    cx.metadata("source_status", status);
}

impl Source {
    /// What it is, for people.
    fn what(&self) -> String {
        match self {
            Self::Git { repository, branch: Some(branch) } => format!("branch {branch} of {repository}"),
            Self::Git { repository, branch: None } => repository.clone(),
            Self::Upload { file } => file.display().to_string(),
            Self::Bucket { bucket, key } => format!("{key} of bucket {}", bucket.display()),
            Self::Embedded { name } => format!("the embedded {name}"),
            Self::Folder { folder } => folder.display().to_string(),
        }
    }

    fn missing(&self) -> impl FnOnce(io::Error) -> PublishError {
        let what = self.what();
        |source| PublishError::NoSource { what, source }
    }

    /// Sees that it is there, and says what was found.
    async fn find(&self, cx: &mut StepContext) -> Result<String, PublishError> {
        match self {
            Self::Git { repository, branch } => {
                let mut command = git();
                command.args(["ls-remote", "--exit-code", "--", repository]);
                command.arg(branch.as_ref().map_or_else(|| "HEAD".to_owned(), |branch| format!("refs/heads/{branch}")));
                let output = self.git(command, cx).await?;
                let commit = output.split_whitespace().next().unwrap_or_default().to_owned();
                cx.metadata("commit", &commit);
                Ok(format!("commit {commit:.12}"))
            }
            Self::Upload { file } => {
                let bytes = fs::File::open(file).and_then(|file| file.metadata()).map_err(self.missing())?.len();
                Ok(format!("{bytes} bytes"))
            }
            Self::Bucket { .. } | Self::Folder { .. } => {
                let bytes = self.folder().and_then(|folder| files::size(&folder)).map_err(self.missing())?;
                Ok(format!("{bytes} bytes"))
            }
            Self::Embedded { name } if name == "shop" => Ok(format!("{} files", EMBEDDED.len())),
            Self::Embedded { .. } => Err(self.missing()(io::ErrorKind::NotFound.into())),
        }
    }

    /// The folder that it is in before.
    fn folder(&self) -> io::Result<PathBuf> {
        match self {
            // A key is a name and no way out of the bucket.
            Self::Bucket { key, .. } if Path::new(key).components().any(|part| !is_name(part)) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{key}` is no key")))
            }
            Self::Bucket { bucket, key } => Ok(bucket.join(key)),
            Self::Folder { folder } => Ok(folder.clone()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Brings it to the folder `to`.
    async fn transfer(&self, to: &Path, cx: &mut StepContext) -> Result<(), PublishError> {
        match self {
            Self::Git { repository, branch } => self.clone_to(repository, branch.as_deref(), to, cx).await,
            Self::Upload { file } => unpack(file, to, cx).await,
            Self::Bucket { .. } | Self::Folder { .. } => {
                let folder = self.folder().map_err(self.missing())?;
                files::copy(&folder, to, 0.0, 1.0, cx).await.doing("transfer the source")
            }
            Self::Embedded { .. } => write_embedded(to, cx).doing("write the source"),
        }
    }

    async fn clone_to(
        &self,
        repository: &str,
        branch: Option<&str>,
        to: &Path,
        cx: &mut StepContext,
    ) -> Result<(), PublishError> {
        let mut clone = git();
        clone.args(["clone", "--progress", "--no-checkout"]);
        clone.args(branch.into_iter().flat_map(|branch| ["--branch", branch])).arg("--").arg(repository).arg(to);
        self.git(clone, cx).await?;
        cx.progress(0.7);
        let mut checkout = git();
        checkout.arg("-C").arg(to).args(["checkout", "--progress"]);
        self.git(checkout, cx).await.map(drop)
    }

    async fn git(&self, command: Command, cx: &mut StepContext) -> Result<String, PublishError> {
        let failed = |source| PublishError::Git { what: self.what(), source };
        let output = cx.command(command).await.map_err(|error| PublishError::of_command("git", error, failed))?;
        Ok(output.stdout().end().to_owned())
    }
}

fn is_name(part: std::path::Component<'_>) -> bool {
    matches!(part, std::path::Component::Normal(_))
}

/// Takes the archive over, and unpacks it.
async fn unpack(file: &Path, to: &Path, cx: &mut StepContext) -> Result<(), PublishError> {
    let archive = to.join(".upload.tar.gz");
    files::copy_one(file, &archive, 0.0, 0.7, cx).await.doing("take the upload over")?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(to);
    let failed = |source| PublishError::Unpack { file: file.to_owned(), source };
    cx.command(tar).await.map_err(|error| PublishError::of_command("tar", error, failed))?;
    remove(&archive).doing("remove the upload")
}

fn write_embedded(to: &Path, cx: &mut StepContext) -> io::Result<()> {
    for (nth, (name, text)) in (1_u32..).zip(EMBEDDED) {
        fs::write(to.join(name), text)?;
        cx.progress(f64::from(nth) / 5.0);
    }
    Ok(())
}
