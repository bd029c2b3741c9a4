#![deny(warnings)]

use step_machine::{Failure, Workflow};

#[derive(Workflow, Debug, PartialEq)]
enum Release {
    #[step(output = String)]
    Fetch,
    #[step(critical = false)]
    Announce,
    Build,
}
use release::*;

struct Driver {
    sources: String,
}

impl Driver {
    async fn fetch(&self) -> std::io::Result<String> {
        Ok(self.sources.clone())
    }

    async fn drive(&self) -> Result<String, Failure<Release, std::io::Error>> {
        let run = Release::machine().begin()?;
        let (run, sources) = run.step_async(Fetch, async |_| self.fetch().await).await?;
        let run = run.step_async(Announce, async |_| Err(std::io::Error::other("nobody there"))).await;
        let run = run
            .step_async(Build, async |cx| {
                cx.message(sources.clone());
                self.fetch().await.map(drop)
            })
            .await?;
        let report = run.finish()?;
        assert_eq!(report.warnings().collect::<Vec<_>>(), [Release::Announce]);
        Ok(sources)
    }
}

fn is_send<T: Send>(value: T) -> T {
    value
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let driver = Driver { sources: "a.tar".to_owned() };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    assert_eq!(runtime.block_on(is_send(driver.drive()))?, "a.tar");
    Ok(())
}
