use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(needs(Fetsh))]
    Build,
}

fn main() {}
