//! The datapath as a whole, through its public interface.

mod accounting;
mod actions;
mod common;
mod input;
mod table;
