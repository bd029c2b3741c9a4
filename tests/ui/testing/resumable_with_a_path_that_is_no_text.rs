use step_machine::{Workflow, assert_resumable};

#[derive(Workflow)]
enum Release {
    Fetch,
}

const SNAPSHOT: &str = "workflows/release.json";

fn main() {
    assert_resumable!(Release, SNAPSHOT);
}
