use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(name = "Release", on_failure = "rolback", deadline = "10m", paralel)]
enum Release {
    #[step(retry(delay = "1s"), timeout = "5 parsecs")]
    Fetch,
    #[step(needs(Fetsh), weight = 0)]
    Build,
    #[step(output = "u16", deadline = "1h")]
    Test(u16),
    #[step]
    Sign,
    #[step(critical = "no", skippable = true)]
    Publish,
    #[step(id = "publish")]
    Announce,
}

fn main() {}
