use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, delya = "1s"))]
    Fetch,
}

fn main() {}
