#![deny(unused_must_use)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    Build,
    #[step(skippable)]
    Announce,
}
fn main() {
    Release::machine();
}
