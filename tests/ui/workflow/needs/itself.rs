use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(needs(Build))]
    Build,
}

fn main() {}
