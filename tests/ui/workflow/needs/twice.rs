use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(needs(Fetch, Fetch))]
    Build,
}

fn main() {}
