#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod actions;
mod codec;
mod errors;
mod model;
mod ports;
pub mod text;
mod version;

pub use actions::*;
pub use codec::{
    Bundled, DecodeError, Dialect, HEADER_BYTES, Header, MAX_MESSAGE_BYTES, MultipartItem,
    MultipartKind, MultipartWriter, PatternRule, Patterns, TooLong, decode, frame_len,
};
pub use errors::{ERROR_DATA_BYTES, NICIRA, ONF, OfError, OfErrorKind, WireCode};
pub use model::*;
pub use ports::OfPort;
pub use version::Version;
