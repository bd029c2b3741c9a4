use step_machine::Workflow;

#[derive(Workflow)]
#[step(timeout = "5m")]
enum Release {
    Fetch,
}

fn main() {}
