#![deny(warnings)]

use std::sync::Arc;

use step_machine::runner::HandlerFor;
use step_machine::{StepContext, StepError, Workflow};

#[derive(Workflow)]
enum Release {
    #[step(workflow = Tests)]
    Test,
}

#[derive(Workflow)]
enum Tests {
    #[step(output = String)]
    Unit,
}

struct Releasing<C> {
    tests: Arc<Testing<C>>,
}

impl<C: Client> ReleaseHandler for Releasing<C> {
    type Error = C::Error;

    fn test(&self) -> impl HandlerFor<Tests> {
        Arc::clone(&self.tests)
    }
}

struct Testing<C> {
    client: C,
}

impl<C: Client> TestsHandler for Testing<C> {
    type Error = C::Error;

    async fn unit(&self, _: &mut StepContext) -> Result<String, Self::Error> {
        self.client.get().await
    }
}

trait Client: Send + Sync + 'static {
    type Error: StepError;

    fn get(&self) -> impl Future<Output = Result<String, Self::Error>> + Send;
}

struct Local;

impl Client for Local {
    type Error = std::io::Error;

    async fn get(&self) -> Result<String, Self::Error> {
        Ok("here".to_owned())
    }
}

fn run(releasing: Arc<Releasing<impl Client>>) {
    let _ = Release::run(&*releasing);
    let _ = Release::run(releasing);
}

fn main() {
    run(Arc::new(Releasing { tests: Arc::new(Testing { client: Local }) }));
}
