use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(undo, skippable, id = "wait-1")]
    WaitSSH,
    #[step(undo, skippable, id = "wait-2")]
    WaitSsh,
}

fn main() {}
