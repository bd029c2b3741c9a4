use step_machine::Workflow;

#[derive(Workflow)]
#[workflow = "release"]
enum Release {
    Fetch,
}

fn main() {}
