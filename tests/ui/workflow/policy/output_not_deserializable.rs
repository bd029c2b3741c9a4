use step_machine::Workflow;

#[derive(serde::Serialize)]
struct Archive;

#[derive(Workflow)]
enum Release {
    #[step(output = Archive)]
    Fetch,
}

fn main() {}
