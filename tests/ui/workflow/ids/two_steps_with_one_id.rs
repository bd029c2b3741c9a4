use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(id = "fetch")]
    Download,
    Fetch,
}

fn main() {}
