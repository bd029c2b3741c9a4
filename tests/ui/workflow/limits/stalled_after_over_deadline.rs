use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(deadline = "1m", stalled_after = "2m")]
    Fetch,
}

fn main() {}
