use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(workflow = inner::Tests, output = Vec<String>)]
    Test,
    #[step(needs(Test))]
    Publish,
}

mod inner {
    #[derive(step_machine::Workflow)]
    pub(crate) enum Tests {
        Unit,
    }
}

fn main() {}
