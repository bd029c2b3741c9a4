use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(on_failure = "panic")]
enum Release {
    Fetch,
}

fn main() {}
