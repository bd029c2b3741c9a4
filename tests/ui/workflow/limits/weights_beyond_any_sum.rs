use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight = 1e308)]
    Build,
    #[step(weight = 1.5e308)]
    Publish,
}

fn main() {}
