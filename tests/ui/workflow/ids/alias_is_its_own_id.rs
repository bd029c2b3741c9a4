use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(alias = "fetch")]
    Fetch,
}

fn main() {}
