use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output = String, secret = true)]
    Fetch,
}

fn main() {}
