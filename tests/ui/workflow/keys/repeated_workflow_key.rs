use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(name = "release", name = "publish")]
enum Release {
    Fetch,
}

fn main() {}
