//! The examples `provision` and `configure`, run as a user runs them: real processes, files and sockets.

#[cfg(unix)]
mod cancel;
mod configure;
mod provision;
mod user;
