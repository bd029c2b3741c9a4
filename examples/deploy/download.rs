//! Fetching a release from the registry.

use std::io;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use step_machine::StepContext;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::deployer::Deployer;
use crate::error::{At, DeployError};
use crate::http::{self, Incoming};
use crate::registry::{Entry, INDEX, Index, hex};

/// How long the registry may take to begin an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much is read at once, and told of.
const CHUNK: usize = 32 * 1024;

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
        let mut answer = self.ask(file).await?;
        // Truncates what an attempt before may have left.
        let mut written = tokio::fs::File::create(to).await.at(to)?;
        let (mut sum, mut got, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
        while got < answer.length {
            let count = answer.body.read(&mut chunk).await.map_err(|source| self.silent(source))?;
            if count == 0 {
                return Err(self.silent(io::ErrorKind::UnexpectedEof.into()));
            }
            written.write_all(&chunk[..count]).await.at(to)?;
            sum.update(&chunk[..count]);
            got += count as u64;
            cx.progress(share(got, answer.length));
        }
        written.sync_all().await.at(to)?;
        Ok(hex(&sum.finalize()))
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

#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than it has")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
