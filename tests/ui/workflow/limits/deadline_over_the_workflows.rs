use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(deadline = "10m")]
enum Release {
    #[step(deadline = "1h")]
    Fetch,
}

fn main() {}
