use std::sync::Arc;

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}

struct Releasing;

fn main() {
    let _ = Release::run(&Releasing);
    let _ = Release::run(Arc::new(Releasing));
}
