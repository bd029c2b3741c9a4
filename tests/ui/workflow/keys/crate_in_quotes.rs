use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(crate = "step_machine")]
enum Release {
    Fetch,
}

fn main() {}
