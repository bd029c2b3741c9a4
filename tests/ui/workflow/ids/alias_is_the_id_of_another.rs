use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(alias = "fetch")]
    Build,
}

fn main() {}
