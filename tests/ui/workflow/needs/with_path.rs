use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(needs(Release::Fetch))]
    Build,
}

fn main() {}
