use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(id = "fetch_sources")]
    Fetch,
}

fn main() {}
