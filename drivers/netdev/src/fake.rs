//! Netdevs without devices.
//!
//! - [`wire`]: two netdevs, what one sends the other receives.
//! - [`Replay`]: receives from a list of frames, captures what is sent.
//! - [`Stream`]: receives without end what a source makes, swallows what is sent.
//! - [`Fault`]: wraps any netdev and drops, corrupts or breaks on purpose.
//!
//! They keep the rules of real drivers: bursts, bounded queues, packets left in the batch when
//! full, buffers from the receiving side's own pool.

mod end;
mod fault;
mod replay;
mod stream;
mod wire;

pub use fault::{Fault, FaultPlan};
pub use replay::{Replay, ReplayHandle};
pub use stream::{Repeat, Source, Stream, StreamHandle};
pub use wire::{Wire, WireHandle, wire};
