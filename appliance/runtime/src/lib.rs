#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod boot;
pub mod console;
pub mod cpu;
mod io;
pub mod logger;
mod mem_functions;
pub mod physical;
pub mod time;
