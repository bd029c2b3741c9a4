use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(alias = "Download")]
    Fetch,
}

fn main() {}
