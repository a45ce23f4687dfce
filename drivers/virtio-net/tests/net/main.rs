//! The driver against the network device in software.

#![expect(clippy::cast_possible_truncation, reason = "lengths and numbers of test frames")]

mod common;
mod driver;
mod hostile;
