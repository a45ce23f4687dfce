#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod compare;
pub mod effects;
pub mod judge;
pub mod keys;
pub mod ours;
pub mod ovs;
pub mod random;
pub mod trace;
