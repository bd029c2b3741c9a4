use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(skippable(true))]
    Fetch,
}

fn main() {}
