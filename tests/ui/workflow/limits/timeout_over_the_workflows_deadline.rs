use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(deadline = "10m")]
enum Release {
    #[step(timeout = "1h")]
    Fetch,
}

fn main() {}
