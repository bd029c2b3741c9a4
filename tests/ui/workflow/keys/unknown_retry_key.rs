use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry(attempts = 3, colour = "red"))]
    Fetch,
}

fn main() {}
