//! Files: which there are, and copying them piece by piece.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use step_machine::StepContext;

/// How much is copied before the progress is told.
const PIECE: usize = 64 * 1024;

/// What git keeps for itself.
const NOT_PUBLISHED: &str = ".git";

/// The files below `folder`, by their paths in it, in order.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            match entry.file_type()? {
                kind if kind.is_dir() && entry.file_name() != NOT_PUBLISHED => folders.push(path),
                kind if kind.is_file() => files.push(path),
                // A link could lead out of the source.
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

/// How many bytes the files below `folder` have.
pub(crate) fn size(folder: &Path) -> io::Result<u64> {
    list(folder)?.iter().map(|file| Ok(fs::metadata(folder.join(file))?.len())).sum()
}

/// Copies what is below `from`, with the progress of the step from `begin` to `end`.
pub(crate) async fn copy(from: &Path, to: &Path, begin: f64, end: f64, cx: &mut StepContext) -> io::Result<()> {
    let mut meter = Meter { done: 0, total: size(from)?, begin, end };
    fs::create_dir_all(to)?;
    for file in list(from)? {
        let copy = to.join(&file);
        fs::create_dir_all(copy.parent().unwrap_or(to))?;
        copy_file(&from.join(&file), &copy, &mut meter, cx).await?;
    }
    cx.progress(end);
    Ok(())
}

/// Copies one file, with the progress of the step from `begin` to `end`.
pub(crate) async fn copy_one(from: &Path, to: &Path, begin: f64, end: f64, cx: &mut StepContext) -> io::Result<()> {
    let mut meter = Meter { done: 0, total: fs::metadata(from)?.len(), begin, end };
    copy_file(from, to, &mut meter, cx).await
}

async fn copy_file(from: &Path, to: &Path, meter: &mut Meter, cx: &mut StepContext) -> io::Result<()> {
    let (mut source, mut target) = (File::open(from)?, File::create(to)?);
    let mut piece = vec![0; PIECE];
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        target.write_all(&piece[..read])?;
        cx.progress(meter.after(read));
        // So that a Ctrl-C gets a word in between the pieces.
        tokio::task::yield_now().await;
    }
}

/// How much is copied of how much, as a part of a step.
struct Meter {
    done: u64,
    total: u64,
    begin: f64,
    end: f64,
}

impl Meter {
    #[expect(clippy::cast_precision_loss, reason = "a share of so much needs no last byte")]
    fn after(&mut self, read: usize) -> f64 {
        self.done += read as u64;
        self.begin + (self.end - self.begin) * self.done as f64 / self.total.max(1) as f64
    }
}
