//! `--fail-at STEP-ID`: breaks what a step works with, so that it fails by itself.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::json;
use step_machine::event::{Event, StepStart};
use step_machine::{Observer, Workflow};
use step_machine_examples::cli::complain;
use step_machine_examples::damage::{append, edit_json};
use step_machine_examples::site::Site;
use step_machine_examples::steps::ConfigureStep;

/// Breaks one file when the step starts, and repairs it when the run is over: the instance stays, and the next run is to
/// find everything as it was.
pub(crate) struct Saboteur {
    step: ConfigureStep,
    file: PathBuf,
    intact: Option<Vec<u8>>,
}

impl Saboteur {
    pub(crate) fn new(step: ConfigureStep, site: &Site) -> Self {
        let file = match step {
            ConfigureStep::InstallDocker => site.packages().join("docker"),
            ConfigureStep::InstallDockerCompose => site.packages().join("docker-compose"),
            ConfigureStep::ConfigureSecurityUpdates | ConfigureStep::ConfigureFirewall => {
                site.ansible().join("variables.json")
            }
        };
        Self { step, file, intact: None }
    }

    fn break_it(&mut self) -> io::Result<()> {
        self.intact = Some(fs::read(&self.file)?);
        match self.step {
            // A package that went missing.
            ConfigureStep::InstallDocker => fs::remove_file(&self.file),
            // A package that is not what the index says.
            ConfigureStep::InstallDockerCompose => append(&self.file, "# changed on the way\n"),
            // A time that no clock shows.
            ConfigureStep::ConfigureSecurityUpdates => edit_json(&self.file, |variables| {
                variables["reboot_time"] = json!("25:61");
            }),
            // A rule that nobody understands.
            ConfigureStep::ConfigureFirewall => edit_json(&self.file, |variables| {
                variables["firewall_rules"] = json!(["alow 22/tcp"]);
            }),
        }
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.intact.take().map(|intact| fs::write(&self.file, intact)) {
            complain(&format!("--fail-at leaves {} broken: {error}", self.file.display()));
        }
    }
}

impl Observer for Saboteur {
    fn step_start(&mut self, _: &Event, start: &StepStart) {
        if start.step == self.step.id()
            && let Err(error) = self.break_it()
        {
            complain(&format!("--fail-at has no effect: {error}"));
        }
    }
}
