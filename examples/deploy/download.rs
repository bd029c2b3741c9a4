//! Fetching a release from the registry.

use std::io;
use std::path::Path;
use std::time::Duration;

use step_machine::StepContext;
use step_machine_examples::download::{Download, DownloadError, share};
use step_machine_examples::http::{self, Incoming};
use tokio::io::AsyncReadExt;

use crate::deployer::Deployer;
use crate::error::DeployError;
use crate::registry::{Entry, INDEX, Index};

/// How long the registry may take to begin an answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Deployer {
    /// The release in the index of the registry.
    pub(crate) async fn entry(&self) -> Result<Entry, DeployError> {
        let mut answer = self.ask(INDEX).await?;
        let mut text = Vec::new();
        let read = (&mut answer.body).take(answer.length).read_to_end(&mut text).await;
        let index = read.and_then(|_| Ok(serde_json::from_slice::<Index>(&text)?));
        let mut versions = index.map_err(|source| self.silent(source))?.remove(&self.identity.app).unwrap_or_default();
        versions.remove(&self.version).ok_or_else(|| {
            let others: Vec<String> = versions.into_keys().collect();
            let known = if others.is_empty() { "no other version".to_owned() } else { others.join(", ") };
            DeployError::NotReleased { app: self.identity.app.clone(), version: self.version.clone(), known }
        })
    }

    /// Fetches a file, and tells how far it is; its checksum.
    pub(crate) async fn fetch(&self, file: &str, to: &Path, cx: &mut StepContext) -> Result<String, DeployError> {
        let answer = self.ask(file).await?;
        let broken = |error| match error {
            DownloadError::Network(source) => self.silent(source),
            DownloadError::File { path, source } => DeployError::File { path, source },
        };
        let mut download = Download::begin(answer, to).await.map_err(broken)?;
        while let Some(got) = download.piece().await.map_err(broken)? {
            cx.progress(share(got, download.length()));
        }
        download.finish().await.map_err(broken)
    }

    async fn ask(&self, file: &str) -> Result<Incoming, DeployError> {
        let answer = tokio::time::timeout(PATIENCE, http::ask(self.registry, "GET", &format!("/{file}"))).await;
        let answer = answer.map_err(io::Error::from).and_then(|answer| answer);
        let mut answer = answer.map_err(|source| self.silent(source))?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let mut text = String::new();
        let read = (&mut answer.body).take(answer.length).read_to_string(&mut text).await;
        read.map_err(|source| self.silent(source))?;
        Err(DeployError::Refused { file: file.to_owned(), status: answer.status, text })
    }

    fn silent(&self, source: io::Error) -> DeployError {
        DeployError::Registry { address: self.registry, source }
    }
}
