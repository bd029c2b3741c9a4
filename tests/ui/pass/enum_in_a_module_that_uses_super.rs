#![deny(warnings)]

use step_machine::Workflow;

#[derive(serde::Serialize, serde::Deserialize)]
struct Archive {
    size: u16,
}

struct Fetch;

mod flow {
    use super::*;

    #[derive(Workflow)]
    enum Release {
        #[step(output = Archive)]
        Fetch,
    }

    pub(super) fn drive(_: super::Fetch) -> Result<u16, Box<dyn std::error::Error>> {
        let run = Release::machine().begin()?;
        let (run, archive) = run.step(release::Fetch, |_| Ok::<_, std::io::Error>(Archive { size: 7 }))?;
        run.finish()?;
        Ok(archive.size)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    assert_eq!(flow::drive(Fetch)?, 7);
    Ok(())
}
