#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod disk;
pub mod gate;

mod builder;
mod environment;
mod strip;

pub use builder::{BuildError, BuildOptions, Built, Progress, build, put};
pub use strip::{StripError, strip};
