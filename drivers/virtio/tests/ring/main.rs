//! Both rings: laws that hold for either, and what each does in its own memory.

mod common;
mod laws;
mod packed;
mod split;
