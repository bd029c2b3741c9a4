use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    Test,
    #[step(needs(Fetch Test))]
    Build,
}

fn main() {}
