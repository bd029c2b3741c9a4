//! As much of the language of Dockerfiles as an image without an engine needs.

use std::path::{Component, Path, PathBuf};

use crate::error::PublishError;

/// A Dockerfile.
#[derive(Debug, Default)]
pub(crate) struct Dockerfile {
    pub(crate) from: String,
    pub(crate) workdir: PathBuf,
    pub(crate) command: Vec<String>,
    /// What becomes a layer each.
    pub(crate) copies: Vec<Copy>,
}

/// A `COPY`: paths in the build context and in the image.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
}

impl Dockerfile {
    pub(crate) fn parse(text: &str) -> Result<Self, PublishError> {
        let mut file = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if !(text.is_empty() || text.starts_with('#')) {
                file.take(text).map_err(|text| PublishError::Dockerfile { line, text })?;
            }
        }
        if file.from.is_empty() {
            return Err(PublishError::Dockerfile { line: 1, text: "there is no `FROM`".to_owned() });
        }
        Ok(file)
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        match word {
            "FROM" => rest.clone_into(&mut self.from),
            "WORKDIR" => self.workdir = self.inside(rest)?,
            "EXPOSE" => drop(rest.parse::<u16>().map_err(|_| format!("`{rest}` is no port"))?),
            "CMD" => self.command = serde_json::from_str(rest).map_err(|_| format!("`{rest}` is no list of words"))?,
            "COPY" => {
                let (from, to) = rest.split_once(' ').ok_or("`COPY` takes what and where to")?;
                let copy = Copy { from: plain(from)?, to: self.inside(to.trim())? };
                self.copies.push(copy);
            }
            other => return Err(format!("without an engine there is no `{other}`")),
        }
        Ok(())
    }

    /// A path in the image, without the `/` before it.
    fn inside(&self, path: &str) -> Result<PathBuf, String> {
        match path.strip_prefix('/') {
            Some(path) => plain(path),
            None => Ok(self.workdir.join(plain(path)?)),
        }
    }
}

/// A path that stays where it begins.
fn plain(path: &str) -> Result<PathBuf, String> {
    let parts = Path::new(path).components().filter(|part| *part != Component::CurDir);
    let parts: PathBuf = parts.collect();
    if parts.components().all(|part| matches!(part, Component::Normal(_))) {
        Ok(parts)
    } else {
        Err(format!("`{path}` leads out of its folder"))
    }
}
