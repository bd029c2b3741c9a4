use step_machine::{Workflow, assert_resumable};

#[derive(Workflow)]
enum Release {
    Fetch,
}

fn main() {
    assert_resumable!(Release, 1);
}
