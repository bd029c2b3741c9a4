use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(colour = "red")]
enum Release {
    Fetch,
}

fn main() {}
