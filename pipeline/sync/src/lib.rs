#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

pub mod big_reader;
pub mod bucket;
pub mod counter;
pub mod lanes;
pub mod pad;
pub mod prefetch;
mod primitive;
pub mod qsbr;
pub mod snapshot;
pub mod spsc;
pub mod time;
pub mod turnstile;
