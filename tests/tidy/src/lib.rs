#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod code;
pub mod crates;
pub mod direction;
pub mod image;
pub mod sources;
pub mod workspace;

pub use workspace::{Package, Workspace};
