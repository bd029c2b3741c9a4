use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch { url: String },
    Build,
}

fn main() {}
