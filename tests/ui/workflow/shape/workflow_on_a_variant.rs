use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[workflow(deadline = "5m")]
    Fetch,
}

fn main() {}
