use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(name = "Release")]
enum Release {
    Fetch,
}

fn main() {}
