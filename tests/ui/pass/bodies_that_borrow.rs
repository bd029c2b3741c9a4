#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
    #[step(retry(attempts = 2, delay = "0s"))]
    Build,
    Publish,
}
use release::*;

struct Driver {
    log: Vec<String>,
}

impl Driver {
    fn fetch(&mut self) -> std::io::Result<()> {
        self.log.push("fetch".to_owned());
        Ok(())
    }

    fn drive(&mut self, version: String) -> Result<(), Box<dyn std::error::Error>> {
        let run = Release::machine().begin()?;
        let run = run.step(Fetch, |_| self.fetch())?;
        let run = run.step_retry(Build, |cx| {
            self.log.push(format!("build {version} {}", cx.attempt()));
            if cx.attempt() == 1 { Err(std::io::Error::other("flaky")) } else { Ok(()) }
        })?;
        let run = run.step(Publish, |cx| {
            cx.message("publishing");
            self.log.push(version);
            Ok::<_, std::io::Error>(())
        })?;
        run.finish()?;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut driver = Driver { log: Vec::new() };
    driver.drive("1.0".to_owned())?;
    assert_eq!(driver.log, ["fetch", "build 1.0 1", "build 1.0 2", "1.0"]);
    Ok(())
}
