//! Downloads: an answer that is written to a file piece by piece.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::file_server::hex;
use crate::http::Incoming;

/// How much is read at once, and told of.
const PIECE: usize = 32 * 1024;

/// An answer on its way to a file.
pub struct Download {
    answer: Incoming,
    path: PathBuf,
    file: File,
    sum: Sha256,
    got: u64,
    piece: Vec<u8>,
}

/// Why an answer did not come to its file.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Who answers fell silent.
    #[error(transparent)]
    Network(io::Error),
    /// It cannot be written.
    #[error("{}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl Download {
    /// Begins to write `answer` to the file `path`, from its beginning.
    pub async fn begin(answer: Incoming, path: &Path) -> Result<Self, DownloadError> {
        // Truncates what an attempt before may have left.
        let file = File::create(path).await.map_err(|source| at(path, source))?;
        Ok(Self { answer, path: path.to_owned(), file, sum: Sha256::new(), got: 0, piece: vec![0; PIECE] })
    }

    /// Takes one piece more; how many bytes there are then, and `None` where nothing was left to take.
    pub async fn piece(&mut self) -> Result<Option<u64>, DownloadError> {
        if self.got >= self.answer.length {
            return Ok(None);
        }
        let count = self.answer.body.read(&mut self.piece).await.map_err(DownloadError::Network)?;
        if count == 0 {
            return Err(DownloadError::Network(io::ErrorKind::UnexpectedEof.into()));
        }
        let piece = &self.piece[..count];
        self.file.write_all(piece).await.map_err(|source| at(&self.path, source))?;
        self.sum.update(piece);
        self.got += count as u64;
        Ok(Some(self.got))
    }

    /// How many bytes there will be.
    pub fn length(&self) -> u64 {
        self.answer.length
    }

    /// Ends it when everything is there; the checksum, SHA-256.
    pub async fn finish(self) -> Result<String, DownloadError> {
        self.file.sync_all().await.map_err(|source| at(&self.path, source))?;
        Ok(hex(&self.sum.finalize()))
    }
}

fn at(path: &Path, source: io::Error) -> DownloadError {
    DownloadError::File { path: path.to_owned(), source }
}

/// How much of something is done, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than it has")]
pub fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
