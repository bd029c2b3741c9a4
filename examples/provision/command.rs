//! What the steps do that bring up an instance. Who walks them stands in `machine.rs` and `handler.rs`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use step_machine::StepContext;
use step_machine::process::Command;
use step_machine_examples::instance::{self, Client, Request, UserData};
use step_machine_examples::site::Site;
use step_machine_examples::steps::InstanceInfo;
use step_machine_examples::tally::tally;
use step_machine_examples::template;

use crate::error::ProvisionError;

/// How long the first boot may take.
const FIRST_BOOT: Duration = Duration::from_secs(10);

/// How the lines begin by which `tofu` says what it did.
const OUTCOMES: [&str; 5] = ["OpenTofu has been", "Success!", "Plan:", "Apply complete!", "Destroy complete!"];

/// Why [`CloudInitWait`](step_machine_examples::steps::ProvisionStep::CloudInitWait) is skipped.
pub(crate) const NOT_WANTED: &str = "nobody wants to wait for it";

/// How long another `tofu` may keep the state for itself: one whose parent was killed comes to its end first.
const LOCK_TIMEOUT: &str = "-lock-timeout=10s";

/// Brings up one instance.
pub(crate) struct ProvisionCommand {
    pub(crate) site: Site,
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) order: Order,
    /// This program, which is also what OpenTofu runs to start the instance.
    pub(crate) program: PathBuf,
}

/// What is asked for, as a run that goes on finds it in its journal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Whether the first boot is waited for.
    pub(crate) cloud_init: bool,
    /// How long the first boot of the instance takes.
    pub(crate) boot_seconds: u64,
}

impl ProvisionCommand {
    /// The port and the secret are those that are rendered already, where a run goes on.
    pub(crate) fn new(name: &str, site: Site, program: PathBuf, order: Order) -> std::io::Result<Self> {
        let (port, token) = match UserData::read(&site.user_data()) {
            Ok(rendered) => (rendered.port, rendered.token),
            Err(_) => (instance::free_port()?, instance::new_token()),
        };
        Ok(Self { site, name: name.to_owned(), port, token, order, program })
    }

    pub(crate) fn render_tofu(&self, cx: &StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        let variables = TofuVariables {
            name: &self.name,
            ip: Ipv4Addr::LOCALHOST.into(),
            port: self.port,
            token: &self.token,
            boot_seconds: self.order.boot_seconds,
            program: self.program.display().to_string(),
            user_data: self.site.user_data().display().to_string(),
            folder: self.site.instance().display().to_string(),
            mirror: self.site.packages().display().to_string(),
        };
        self.render("OpenTofu", "tofu/main.tf.json", &variables)?;
        self.render("OpenTofu", "tofu/user-data.json", &variables)
    }

    pub(crate) async fn init(&self, cx: &mut StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        self.tofu("init", &["-input=false"], cx).await
    }

    pub(crate) async fn validate(&self, cx: &mut StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        self.tofu("validate", &[], cx).await
    }

    pub(crate) async fn plan(&self, cx: &mut StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        self.tofu("plan", &["-input=false", "-out=instance.tfplan"], cx).await
    }

    pub(crate) async fn apply(&self, cx: &mut StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        // What an attempt before has created, or half created, is not what the plan was made for.
        if cx.interrupted() {
            self.run_tofu("plan", &["-input=false", LOCK_TIMEOUT, "-out=instance.tfplan"], cx).await?;
        }
        self.tofu("apply", &["-input=false", LOCK_TIMEOUT, "instance.tfplan"], cx).await
    }

    pub(crate) async fn instance(&self, cx: &mut StepContext) -> Result<InstanceInfo, ProvisionError> {
        tally(cx);
        let outputs = self.run_tofu("output", &["-json"], cx).await?;
        let outputs: Outputs = serde_json::from_str(&outputs).map_err(ProvisionError::Outputs)?;
        let instance = InstanceInfo { name: outputs.name.value, ip: outputs.ip.value, port: outputs.port.value };
        cx.message(format!("{} at {}", instance.name, instance.address()));
        Ok(instance)
    }

    pub(crate) fn render_ansible(&self, instance: &InstanceInfo, cx: &StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        let variables = AnsibleVariables { instance, token: &self.token };
        self.render("Ansible", "ansible/inventory.json", &variables)?;
        self.render("Ansible", "ansible/variables.json", &variables)
    }

    /// Waits on this thread, for a second at most.
    pub(crate) fn connect(&self, instance: &InstanceInfo, cx: &mut StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        let address = instance.address();
        let greeting = Client::new(address, &*self.token).greeting();
        cx.message(greeting.map_err(|source| ProvisionError::Unreachable { address, source })?);
        Ok(())
    }

    pub(crate) async fn first_boot(&self, instance: &InstanceInfo, cx: &mut StepContext) -> Result<(), ProvisionError> {
        tally(cx);
        let client = Client::new(instance.address(), &*self.token);
        let answer = tokio::time::timeout(FIRST_BOOT, client.ask_async(Request::FirstBoot)).await;
        let answer = answer.map_err(|_| ProvisionError::FirstBootTimeout { limit: FIRST_BOOT })?;
        cx.message(answer.map_err(ProvisionError::FirstBoot)?);
        Ok(())
    }

    pub(crate) async fn destroy(&self, cx: &mut StepContext) -> Result<(), ProvisionError> {
        self.tofu("destroy", &["-input=false", "-auto-approve", LOCK_TIMEOUT], cx).await?;
        // OpenTofu itself leaves out the destroy-time provisioners of a resource that it had only half created.
        instance::stop(&self.site.user_data()).map_err(ProvisionError::Leftover)
    }

    fn render(&self, tool: &'static str, file: &str, variables: &impl Serialize) -> Result<(), ProvisionError> {
        let to = self.site.build().join(file);
        template::render_to(&self.site.templates(), &format!("{file}.j2"), variables, &to)
            .map_err(|source| ProvisionError::Template { tool, source })
    }

    /// Runs `tofu` and passes on the line that says what it did.
    async fn tofu(&self, verb: &'static str, arguments: &[&str], cx: &mut StepContext) -> Result<(), ProvisionError> {
        let output = self.run_tofu(verb, arguments, cx).await?;
        if let Some(line) = output.lines().find(|line| OUTCOMES.iter().any(|outcome| line.starts_with(outcome))) {
            cx.message(line.to_owned());
        }
        Ok(())
    }

    async fn run_tofu(
        &self,
        verb: &'static str,
        arguments: &[&str],
        cx: &mut StepContext,
    ) -> Result<String, ProvisionError> {
        let mut command = Command::new(self.site.tofu_program());
        command.arg(verb).args(arguments).current_dir(self.site.tofu());
        // Not the place for colours and questions.
        command.env("TF_IN_AUTOMATION", "1").env("TF_CLI_ARGS", "-no-color");
        let output = cx.command(command).await.map_err(|source| ProvisionError::of_tofu(verb, source))?;
        Ok(output.stdout().end().to_owned())
    }
}

#[derive(Serialize)]
struct TofuVariables<'a> {
    name: &'a str,
    ip: IpAddr,
    port: u16,
    token: &'a str,
    boot_seconds: u64,
    program: String,
    user_data: String,
    folder: String,
    mirror: String,
}

#[derive(Serialize)]
struct AnsibleVariables<'a> {
    instance: &'a InstanceInfo,
    token: &'a str,
}

/// What `tofu output -json` says.
#[derive(Deserialize)]
struct Outputs {
    name: Output<String>,
    ip: Output<IpAddr>,
    port: Output<u16>,
}

#[derive(Deserialize)]
struct Output<T> {
    value: T,
}
