use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    SkipFetch,
    #[step(skippable)]
    Fetch,
}

fn main() {}
