//! How a body learns that its run is to stop.

use super::StepContext;
use crate::stop::Level;

impl StepContext {
    /// Whether the run was asked to stop. Nothing starts any more then, and a body that can be left between two parts
    /// of its work may end early; whatever it returns is how its step ends.
    ///
    /// In a run that you drive yourself it never is.
    pub fn is_cancelled(&self) -> bool {
        self.link.stop().is_some_and(|stop| stop.is(Level::Finish))
    }

    /// Ends once the run was asked to stop, and in a run that you drive yourself never. It borrows nothing, so that it
    /// can wait beside the body's work, or elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use step_machine::{StepContext, Workflow};
    /// use tokio::sync::Notify;
    ///
    /// #[derive(Workflow)]
    /// enum Serve { Requests }
    ///
    /// #[derive(Default)]
    /// struct Server {
    ///     has_begun: Arc<Notify>,
    /// }
    ///
    /// impl ServeHandler for Server {
    ///     type Error = std::io::Error;
    ///
    ///     async fn requests(&self, cx: &mut StepContext) -> Result<(), Self::Error> {
    ///         self.has_begun.notify_one();
    ///         cx.cancelled().await;
    ///         assert!(cx.is_cancelled());
    ///         cx.message("the last request is answered");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// let server = Server::default();
    /// let has_begun = server.has_begun.clone();
    /// let report = Serve::run(&server).stop_on(async move { has_begun.notified().await }).await.unwrap();
    /// assert_eq!(report.state().step("requests").unwrap().status().as_str(), "completed");
    /// # });
    /// ```
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let stop = self.link.stop().cloned();
        async move {
            match stop {
                Some(stop) => stop.reached(Level::Finish).await,
                None => std::future::pending().await,
            }
        }
    }
}
