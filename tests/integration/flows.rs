//! The examples, run as a user runs them: real processes, files and sockets.

#[cfg(unix)]
mod cancel;
mod configure;
mod provision;
mod publish;
#[cfg(unix)]
mod publish_cancel;
mod publish_failure;
mod publisher;
mod user;
