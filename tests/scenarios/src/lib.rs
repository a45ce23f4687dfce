#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod events;
mod expect;
mod file;
mod frames;
mod run;
mod sets;
mod statement;
mod world;

pub use file::{Line, Scenario, read};
pub use run::{Failure, Mode, run};
