use step_machine::Workflow;

#[derive(Workflow)]
enum Std {
    Fetch,
}

fn main() {}
