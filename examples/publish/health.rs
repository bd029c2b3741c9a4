//! The health check: the application is asked by the way that everybody asks it.

use std::net::Ipv4Addr;

use step_machine::StepContext;
use step_machine_examples::{http, launch};

use crate::error::PublishError;
use crate::place::Place;

/// Where the application answers.
pub(crate) fn url(place: &Place, app: &str) -> Option<String> {
    Some(format!("http://127.0.0.1:{}/{app}/", launch::port(&place.router())?))
}

/// Asks the application, by way of the router.
pub(crate) async fn check(place: &Place, app: &str, cx: &mut StepContext) -> Result<(), PublishError> {
    let Some(url) = url(place, app) else {
        let source = std::io::ErrorKind::NotConnected.into();
        return Err(PublishError::NoAnswer { url: "the router".to_owned(), source });
    };
    cx.metadata("health_url", &url);
    cx.progress(0.3);
    match ask(place, app).await {
        Ok(200) => {
            cx.message(format!("{url} answers"));
            Ok(())
        }
        Ok(status) => Err(PublishError::Unhealthy { url, status }),
        Err(source) => Err(PublishError::NoAnswer { url, source }),
    }
}

async fn ask(place: &Place, app: &str) -> std::io::Result<u16> {
    let port = launch::port(&place.router()).ok_or(std::io::ErrorKind::NotConnected)?;
    let answer = http::get((Ipv4Addr::LOCALHOST, port).into(), "GET", &format!("/{app}/")).await;
    Ok(answer?.status)
}
