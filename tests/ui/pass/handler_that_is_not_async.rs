#![deny(warnings)]

use std::future::{Future, ready};

use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
enum Release {
    #[step(output = u16)]
    Fetch,
    #[step(needs(Fetch), skippable)]
    Build,
}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;

    fn fetch(&self, cx: &mut StepContext) -> impl Future<Output = Result<u16, Self::Error>> + Send {
        cx.message("at once");
        ready(Ok(7))
    }

    fn build(&self, cx: &mut StepContext, size: &u16) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async move {
            cx.message(size.to_string());
            Ok(())
        }
    }

    fn skip_build(&self, _: &mut StepContext) -> impl Future<Output = Result<Option<String>, Self::Error>> + Send {
        ready(Ok(None))
    }
}

fn main() {
    let _ = Release::run(&Releasing);
}
