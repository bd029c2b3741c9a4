//! The command that sets up an instance.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use step_machine::{Failure, MachineBuilder, Report, StepContext};
use step_machine_examples::environment::{Environment, Provisioned};
use step_machine_examples::instance::{AskError, Client, Request};
use step_machine_examples::site::Site;
use step_machine_examples::steps::ConfigureStep;
use step_machine_examples::steps::configure_step::{
    ConfigureFirewall, ConfigureSecurityUpdates, InstallDocker, InstallDockerCompose,
};
use step_machine_examples::tally::tally;
use step_machine_examples::template;

use crate::error::ConfigureError;

pub(crate) type ConfigureFailure = Failure<ConfigureStep, ConfigureError>;

/// Sets up one instance.
pub(crate) struct ConfigureCommand<'a> {
    site: &'a Site,
    client: Client,
}

/// What `provision` knows of reaching the instance.
#[derive(Deserialize)]
struct Inventory {
    token: String,
}

/// What the instance is to be like.
#[derive(Serialize, Deserialize)]
struct Variables {
    reboot_time: String,
    firewall_rules: Vec<String>,
}

impl<'a> ConfigureCommand<'a> {
    pub(crate) fn new(environment: &Environment<Provisioned>, site: &'a Site) -> io::Result<Self> {
        let inventory: Inventory = read(&site.ansible().join("inventory.json"))?;
        Ok(Self { site, client: Client::new(environment.instance().address(), inventory.token) })
    }

    /// The steps, in order. Where it stopped, the failure says.
    pub(crate) fn execute(
        &self,
        machine: MachineBuilder<ConfigureStep>,
    ) -> Result<Report<ConfigureStep>, ConfigureFailure> {
        let run = machine.begin()?;
        let run = run.step(InstallDocker, |cx| self.install("docker", cx))?;
        let run = run.step(InstallDockerCompose, |cx| self.install("docker-compose", cx))?;
        // No `?`: the step is not critical, so its failure is a warning of the run.
        let run = run.step(ConfigureSecurityUpdates, |cx| self.set_security_updates(cx));
        let run = run.step(ConfigureFirewall, |cx| self.set_firewall(cx))?;
        Ok(run.finish()?)
    }

    fn install(&self, package: &'static str, cx: &mut StepContext) -> Result<(), ConfigureError> {
        tally(cx);
        let request = Request::Install { package: package.to_owned() };
        self.ask(request, cx, |source| ConfigureError::Install { package, source })
    }

    fn set_security_updates(&self, cx: &mut StepContext) -> Result<(), ConfigureError> {
        tally(cx);
        let config = template::render(&self.site.templates(), "ansible/security-updates.conf.j2", &self.variables()?)?;
        let what = "security updates";
        self.ask(Request::SecurityUpdates { config }, cx, |source| ConfigureError::Configuration { what, source })
    }

    fn set_firewall(&self, cx: &mut StepContext) -> Result<(), ConfigureError> {
        tally(cx);
        let rules = self.variables()?.firewall_rules;
        let what = "the firewall";
        self.ask(Request::Firewall { rules }, cx, |source| ConfigureError::Configuration { what, source })
    }

    fn variables(&self) -> Result<Variables, ConfigureError> {
        read(&self.site.ansible().join("variables.json")).map_err(ConfigureError::Variables)
    }

    /// Asks the instance and passes on its answer; `refused` is the error where it says no.
    fn ask(
        &self,
        request: Request,
        cx: &mut StepContext,
        refused: impl FnOnce(AskError) -> ConfigureError,
    ) -> Result<(), ConfigureError> {
        let answer = self.client.ask(request).map_err(|error| match error {
            AskError::Line(_) => ConfigureError::Unreachable(error),
            AskError::Refused(_) => refused(error),
        })?;
        cx.message(answer);
        Ok(())
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let text = fs::read_to_string(path).and_then(|text| Ok(serde_json::from_str(&text)?));
    text.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
