use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(needs(Build))]
    Fetch,
    Build,
}

fn main() {}
