use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(needs("fetch"))]
    Build,
}

fn main() {}
