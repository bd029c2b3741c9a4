#![deny(warnings)]

use step_machine::{StepContext, Workflow};

#[derive(serde::Serialize, serde::Deserialize)]
struct Archive(u16);

#[derive(Workflow)]
enum Release {
    #[step(output = Archive, undo)]
    Fetch,
    #[step(needs(Fetch), skippable)]
    Build,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    async fn fetch(&self, _: &mut StepContext) -> Result<Archive, Self::Error> {
        Ok(Archive(7))
    }

    async fn undo_fetch(&self, _: &mut StepContext, archive: Option<&Archive>) -> Result<(), Self::Error> {
        archive.map_or(Ok(()), |archive| if archive.0 == 7 { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) })
    }

    async fn build(&self, _: &mut StepContext, _: &Archive) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn inside_a_function() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Notes;

    #[derive(Workflow)]
    enum Deploy {
        #[step(output = Notes)]
        Copy,
        #[step(needs(Copy))]
        Start,
    }

    struct Deploying;

    impl DeployHandler for Deploying {
        type Error = std::io::Error;

        async fn copy(&self, _: &mut StepContext) -> Result<Notes, Self::Error> {
            Ok(Notes)
        }

        async fn start(&self, _: &mut StepContext, _: &Notes) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    let _ = Deploy::run(&Deploying);
}

mod inner {
    #[derive(step_machine::Workflow)]
    pub(super) enum Hidden {
        #[step(workflow = super::Release)]
        Only,
    }
}

impl inner::HiddenHandler for Releasing {
    type Error = std::io::Error;

    fn only(&self) -> impl step_machine::runner::HandlerFor<Release> {
        self
    }
}

fn main() {
    let _ = Release::run(&Releasing);
    let _ = inner::Hidden::run(&Releasing);
    inside_a_function();
}
