use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    WaitSsh,
    WaitSSH,
    #[step(undo)]
    Apply,
    UndoApply,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn wait_ssh(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn apply(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn undo_apply(&self, _: &mut StepContext) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() {
    let _ = Release::run(&Releasing);
}
