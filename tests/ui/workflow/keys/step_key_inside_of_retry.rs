use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, timeout = "5s"))]
    Fetch,
}

fn main() {}
