use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(on_failure = "rollback")]
enum Release {
    Fetch,
}

fn main() {}
