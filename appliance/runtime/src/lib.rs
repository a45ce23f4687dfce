#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod backtrace;
pub mod boot;
pub mod console;
pub mod cpu;
pub mod entropy;
pub mod fw_cfg;
mod io;
pub mod logger;
mod mem_functions;
pub mod memory;
pub mod panic;
pub mod pci;
pub mod physical;
pub mod power;
pub mod selftest;
pub mod symbols;
pub mod time;
mod trap;
