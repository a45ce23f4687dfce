//! The datapath as a whole, through its public interface.

mod accounting;
mod actions;
mod common;
mod dump;
mod emc;
mod input;
mod meters;
mod offload;
mod spread;
mod table;
