//! A stand-in for OpenTofu, where there is none: the part of it that one configuration needs.
//!
//! It reads the same `main.tf.json`, knows the built-in resource `terraform_data` and its `local-exec` provisioners, and
//! keeps a lock file, a plan file and a state file. One thing it does that OpenTofu does not: a resource that was only
//! half created is destroyed by its destroy-time provisioners too.

mod config;
mod state;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::site;
use config::{Config, LocalExec, Resource, When};
use state::{State, StateLock, StoredResource};

const LOCK_FILE: &str = ".terraform.lock.hcl";

/// Why the stand-in ended without doing what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TofuError {
    /// It was asked for something that it does not know.
    #[error("usage: tofu init|validate|plan|apply|output|destroy")]
    Usage,
    /// A file cannot be read or written, or does not hold what it should.
    #[error("{name}")]
    File {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// An output refers to something that there is not.
    #[error("output `{output}`: there is no {reference}")]
    Reference {
        /// The output.
        output: String,
        /// What it refers to.
        reference: String,
    },
    /// `init` was forgotten.
    #[error("this folder is not initialized: run `tofu init` first")]
    NotInitialized,
    /// Another process works on the state.
    #[error("the state is locked by another process ({})", .lock.display())]
    Locked {
        /// The lock.
        lock: PathBuf,
    },
    /// A provisioner did not do what it is for.
    #[error("local-exec provisioner of terraform_data.{resource}: {fault}")]
    Provisioner {
        /// The resource that it belongs to.
        resource: String,
        /// What went wrong.
        fault: String,
    },
}

/// What is to be done, as `plan` leaves it for `apply`.
#[derive(Serialize, Deserialize)]
struct PlanFile {
    create: Vec<String>,
    config: Config,
}

/// Does what the arguments say, in the current folder.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Result<(), TofuError> {
    let arguments: Vec<String> = arguments.into_iter().map(|argument| argument.display().to_string()).collect();
    let (verb, rest) = arguments.split_first().ok_or(TofuError::Usage)?;
    let folder = Folder(PathBuf::from("."));
    match verb.as_str() {
        "init" => folder.init(),
        "validate" => folder.validate(),
        "plan" => folder.plan(rest.iter().find_map(|option| option.strip_prefix("-out=")).ok_or(TofuError::Usage)?),
        "apply" => folder.apply(rest.last().ok_or(TofuError::Usage)?, patience(rest)),
        "output" => folder.output(),
        "destroy" => folder.destroy(patience(rest)),
        _ => Err(TofuError::Usage),
    }
}

/// How long the state may be locked by somebody else: `-lock-timeout=10s`.
fn patience(options: &[String]) -> Duration {
    let given =
        options.iter().find_map(|option| option.strip_prefix("-lock-timeout=")?.strip_suffix('s')?.parse().ok());
    given.map_or(Duration::ZERO, Duration::from_secs)
}

/// The folder that it works in.
struct Folder(PathBuf);

impl Folder {
    fn init(&self) -> Result<(), TofuError> {
        self.config()?;
        self.write(LOCK_FILE, "# Everything that is used here is built in.\n")?;
        println!("OpenTofu has been successfully initialized! (a stand-in)");
        Ok(())
    }

    fn validate(&self) -> Result<(), TofuError> {
        self.initialized()?.check_outputs()?;
        println!("Success! The configuration is valid.");
        Ok(())
    }

    fn plan(&self, out: &str) -> Result<(), TofuError> {
        let config = self.initialized()?;
        let state = State::read(&self.0)?;
        let missing = config.resources().map(|(name, _)| name).filter(|&name| !state.is_complete(name));
        let create: Vec<String> = missing.cloned().collect();
        println!("Plan: {} to add, 0 to change, 0 to destroy.", create.len());
        let plan = PlanFile { create, config };
        self.write(out, &serde_json::to_string_pretty(&plan).map_err(|error| file(out, error.into()))?)
    }

    fn apply(&self, plan: &str, patience: Duration) -> Result<(), TofuError> {
        let PlanFile { create, config } = read_json(&self.0, plan)?;
        let _lock = StateLock::take(&self.0, patience)?;
        let mut state = State::read(&self.0)?;
        for name in &create {
            let Some(resource) = config.resource(name) else { continue };
            // What was begun once and not finished is replaced.
            if state.is_tainted(name) {
                provision(name, resource, When::Destroy)?;
            }
            // Into the state before the first effect: what fails half-way must still be found and destroyed.
            state.put(StoredResource { name: name.clone(), tainted: true, output: resource.input.clone() });
            state.write(&self.0)?;
            provision(name, resource, When::Create)?;
            state.untaint(name);
        }
        state.set_outputs(config.outputs()?);
        state.write(&self.0)?;
        println!("Apply complete! Resources: {} added, 0 changed, 0 destroyed.", create.len());
        Ok(())
    }

    fn output(&self) -> Result<(), TofuError> {
        let state = State::read(&self.0)?;
        println!("{}", serde_json::json!(state.outputs()));
        Ok(())
    }

    fn destroy(&self, patience: Duration) -> Result<(), TofuError> {
        let config = self.initialized()?;
        let _lock = StateLock::take(&self.0, patience)?;
        let mut state = State::read(&self.0)?;
        let names: Vec<String> = state.names();
        for name in &names {
            if let Some(resource) = config.resource(name) {
                provision(name, resource, When::Destroy)?;
            }
            state.remove(name);
            state.write(&self.0)?;
        }
        println!("Destroy complete! Resources: {} destroyed.", names.len());
        Ok(())
    }

    fn initialized(&self) -> Result<Config, TofuError> {
        if self.0.join(LOCK_FILE).exists() { self.config() } else { Err(TofuError::NotInitialized) }
    }

    fn config(&self) -> Result<Config, TofuError> {
        read_json(&self.0, "main.tf.json")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TofuError> {
        // Whole or not at all: a `tofu` whose parent was killed may still be at it.
        site::write_whole(&self.0.join(name), text).map_err(|source| file(name, source))
    }
}

/// Runs the provisioners that a resource has for `when`.
fn provision(name: &str, resource: &Resource, when: When) -> Result<(), TofuError> {
    let failed = |fault| TofuError::Provisioner { resource: name.to_owned(), fault };
    for LocalExec { interpreter, command, .. } in resource.provisioners(when) {
        let (program, arguments) = interpreter.split_first().ok_or_else(|| failed("no interpreter".to_owned()))?;
        let status = Command::new(program).args(arguments).arg(command).status();
        let status = status.map_err(|error| failed(format!("cannot run {program}: {error}")))?;
        check(status).map_err(failed)?;
    }
    Ok(())
}

fn check(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

fn read_json<T: for<'de> Deserialize<'de>>(folder: &Path, name: &str) -> Result<T, TofuError> {
    let text = fs::read_to_string(folder.join(name));
    text.and_then(|text| Ok(serde_json::from_str(&text)?)).map_err(|source| file(name, source))
}

fn file(name: &str, source: io::Error) -> TofuError {
    TofuError::File { name: name.to_owned(), source }
}
