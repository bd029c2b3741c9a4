use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step]
    Fetch,
}

fn main() {}
