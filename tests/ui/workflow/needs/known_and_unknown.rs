use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(needs(Fetch, Sign, Tset))]
    Build,
    Test,
}

fn main() {}
