//! The examples, run as a user runs them: real processes, files and sockets.

#[cfg(unix)]
mod cancel;
mod configure;
mod deploy;
mod deploy_broken;
#[cfg(unix)]
mod deploy_cancel;
mod deploy_site;
mod provision;
mod user;
