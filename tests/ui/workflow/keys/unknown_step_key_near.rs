use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(time_out = "5m")]
    Fetch,
}

fn main() {}
