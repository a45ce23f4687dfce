#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blob;
mod config;
mod mac;
mod text;
mod user_data;

#[cfg(test)]
mod tests;

pub use blob::{FORMAT, MAGIC, MAX_BLOB_BYTES, SeedError};
pub use config::{
    Address, BootConfig, Controller, FailMode, Invalid, LogLevel, MAX_CONTROLLERS, MAX_NAME_BYTES,
    MAX_PORTS, MAX_SETTINGS, Management, NicMatch, OnPanic, PortSeed,
};
pub use mac::{Mac, MacError};
pub use text::{FromText, TextError};
pub use user_data::{MARK, MAX_TEXT_BYTES, UserData, UserDataError};
