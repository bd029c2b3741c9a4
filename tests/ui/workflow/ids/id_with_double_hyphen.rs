use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(id = "fetch--sources")]
    Fetch,
}

fn main() {}
