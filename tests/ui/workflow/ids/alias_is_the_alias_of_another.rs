use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(alias = "download")]
    Fetch,
    #[step(alias = "download")]
    Build,
}

fn main() {}
