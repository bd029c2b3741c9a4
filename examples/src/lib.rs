//! What the example flows share: the command line, the environment, and the world that they work on.
//!
//! The world is small but real. The infrastructure is a folder and a server process on a loopback port; `tofu` is a
//! program that is run, with files that it reads and writes; a step that fails does so because something broke.

pub mod cli;
pub mod damage;
pub mod environment;
pub mod instance;
pub mod site;
pub mod steps;
pub mod tally;
pub mod template;
pub mod tofu;
