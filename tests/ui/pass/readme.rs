//! The code of the README, with what it leaves out.

use step_machine::Workflow;

/// Bring up one virtual machine.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
pub enum ProvisionStep {
    /// Render the OpenTofu templates
    RenderTemplates,
    #[step(retry(attempts = 3, delay = "2s", max_delay = "30s"), timeout = "5m", weight = 10)]
    OpenTofuInit,
    #[step(undo, weight = 50)]
    OpenTofuApply,
    #[step(output = u16)]
    GetPort,
    #[step(needs(GetPort), retry(attempts = 30, delay = "1s"))]
    WaitSsh,
    #[step(critical = false, skippable)]
    WaitCloudInit,
}

type ProvisionError = std::io::Error;

struct Provisioner;

impl Provisioner {
    fn render(&self) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn tofu(&self, _: &str) -> Result<(), ProvisionError> {
        Ok(())
    }

    fn port(&self) -> Result<u16, ProvisionError> {
        Ok(22)
    }

    fn connect(&self, _: u16) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn booted(&self) -> Result<(), ProvisionError> {
        Ok(())
    }
}

// README: begin
use provision_step::*; // generated: one marker type for each step
use step_machine::{Failure, Report};

impl Provisioner {
    async fn provision(&self) -> Result<Report<ProvisionStep>, Failure<ProvisionStep, ProvisionError>> {
        let run = ProvisionStep::machine().begin()?;
        let run = run.step(RenderTemplates, |_| self.render())?;
        let run = run.step_async(OpenTofuInit, async |_| self.tofu("init").await).await?;
        let run = run.step_async(OpenTofuApply, async |cx| {
            cx.message("creating one instance");
            self.tofu("apply").await
        }).await?;
        let (run, port) = run.step(GetPort, |_| self.port())?; // a step with an output hands it on
        let run = run.step_retry(WaitSsh, |_| self.connect(port))?;
        let run = run.skip(WaitCloudInit, "the image has no cloud-init"); // compiles only for a skippable step
        Ok(run.finish()?) // compiles only when every step is settled
    }
}
// README: end

use step_machine::StepContext;

// README: begin
impl ProvisionStepHandler for Provisioner {
    type Error = ProvisionError;

    async fn render_templates(&self, _: &mut StepContext) -> Result<(), ProvisionError> {
        self.render()
    }

    async fn open_tofu_init(&self, _: &mut StepContext) -> Result<(), ProvisionError> {
        self.tofu("init").await
    }

    async fn open_tofu_apply(&self, cx: &mut StepContext) -> Result<(), ProvisionError> {
        cx.message("creating one instance");
        self.tofu("apply").await
    }

    async fn undo_open_tofu_apply(&self, _: &mut StepContext) -> Result<(), ProvisionError> {
        self.tofu("destroy").await
    }

    async fn get_port(&self, _: &mut StepContext) -> Result<u16, ProvisionError> {
        self.port()
    }

    async fn wait_ssh(&self, _: &mut StepContext, get_port: &u16) -> Result<(), ProvisionError> {
        self.connect(*get_port)
    }

    async fn wait_cloud_init(&self, _: &mut StepContext) -> Result<(), ProvisionError> {
        self.booted().await
    }
}

async fn provision(provisioner: &Provisioner) -> Result<Report<ProvisionStep>, Failure<ProvisionStep, ProvisionError>> {
    ProvisionStep::run(provisioner).id("web-42").skip(WaitCloudInit, "the image has no cloud-init").await
}
// README: end

// README: begin
use step_machine::SqliteJournal; // feature `sqlite`

async fn provision_kept(provisioner: &Provisioner) -> Result<Report<ProvisionStep>, Box<dyn std::error::Error>> {
    let journal = SqliteJournal::open("runs.db")?; // made where it is not there yet
    Ok(ProvisionStep::run(provisioner).start_or_resume("web-42").journal(journal).await?)
}
// README: end

fn main() {
    // Not awaited: it would leave a file.
    drop(provision_kept(&Provisioner));
    ends(Provisioner.provision());
    ends(provision(&Provisioner));
}

fn ends(run: impl std::future::Future<Output = Result<Report<ProvisionStep>, Failure<ProvisionStep, ProvisionError>>>) {
    let mut run = std::pin::pin!(run);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(report) = std::future::Future::poll(run.as_mut(), &mut context) else {
        panic!("nothing here waits");
    };
    assert_eq!(report.unwrap().state().progress().percentage, 100.0);
}
