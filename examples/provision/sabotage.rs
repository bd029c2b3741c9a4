//! `--fail-at STEP-ID`: breaks what a step works with, so that it fails by itself.
//!
//! The command knows nothing of it. The saboteur watches the run as any observer does, and acts when a step starts.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use serde_json::json;
use step_machine::event::{Event, StepStart};
use step_machine::{Observer, Workflow};
use step_machine_examples::cli::complain;
use step_machine_examples::damage::{append, edit_json};
use step_machine_examples::instance::Client;
use step_machine_examples::site::Site;
use step_machine_examples::steps::ProvisionStep;

use crate::command::ProvisionCommand;

pub(crate) struct Saboteur {
    /// Without one nothing is broken.
    step: Option<ProvisionStep>,
    site: Site,
    port: u16,
    token: String,
    /// Holds the port that the instance wants, for as long as the run goes on.
    squatter: Option<TcpListener>,
}

impl Saboteur {
    pub(crate) fn new(step: Option<ProvisionStep>, command: &ProvisionCommand) -> Self {
        let (site, token) = (command.site.clone(), command.token.clone());
        Self { step, site, port: command.port, token, squatter: None }
    }

    fn break_it(&mut self, step: ProvisionStep) -> io::Result<()> {
        let (site, address) = (&self.site, (Ipv4Addr::LOCALHOST, self.port));
        match step {
            // A brace that nobody closes.
            ProvisionStep::RenderOpenTofuTemplates => append(&site.templates().join("tofu/main.tf.json.j2"), "{{ name"),
            // No program to run.
            ProvisionStep::OpenTofuInit => fs::remove_file(site.tofu_program()),
            // A field that OpenTofu does not know.
            ProvisionStep::OpenTofuValidate => edit_json(&site.tofu().join("main.tf.json"), |config| {
                config["resource"]["terraform_data"]["instance"]["memory"] = json!("2 GB");
            }),
            // Half a state.
            ProvisionStep::OpenTofuPlan => fs::write(site.tofu().join("terraform.tfstate"), "{ \"version\": 4, "),
            // Somebody else has the port.
            ProvisionStep::OpenTofuApply => {
                self.squatter = Some(TcpListener::bind(address)?);
                Ok(())
            }
            // An output that went missing.
            ProvisionStep::GetInstanceInfo => edit_json(&site.tofu().join("terraform.tfstate"), |state| {
                state["outputs"].as_object_mut().and_then(|outputs| outputs.remove("port"));
            }),
            // A variable that nobody sets.
            ProvisionStep::RenderAnsibleTemplates => {
                append(&site.templates().join("ansible/inventory.json.j2"), "{{ ssh_key }}")
            }
            // An instance that is gone.
            ProvisionStep::WaitSshConnectivity => {
                let client = Client::new(address.into(), &*self.token);
                client.shut_down().map_err(io::Error::other)
            }
            // A file below a file.
            ProvisionStep::CloudInitWait => edit_json(&site.user_data(), |order| {
                order["files"][2]["path"] = json!("etc/hostname/motd/today");
            }),
        }
    }
}

impl Observer for Saboteur {
    fn step_start(&mut self, _: &Event, start: &StepStart) {
        // Once: a step that is tried again finds the damage as it was.
        if let Some(step) = self.step
            && start.step == moment(step).id()
            && start.attempt == 1
            && let Err(error) = self.break_it(step)
        {
            complain(&format!("--fail-at has no effect: {error}"));
        }
    }
}

/// The step at whose start the damage is done that breaks `step`.
fn moment(step: ProvisionStep) -> ProvisionStep {
    match step {
        // The first boot begins with the instance: later would be too late.
        ProvisionStep::CloudInitWait => ProvisionStep::OpenTofuApply,
        step => step,
    }
}
