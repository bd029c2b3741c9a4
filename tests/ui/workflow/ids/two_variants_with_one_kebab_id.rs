use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    WaitSSH,
    WaitSsh,
}

fn main() {}
