use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    FetchSources,
    #[step(needs(fetch_sources))]
    Build,
}

fn main() {}
