use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(needs(Download))]
    Build,
}

fn main() {}
