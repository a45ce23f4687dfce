//! Every field and every action of OpenFlow 1.0 to 1.5 and of Nicira's extensions, on real frames.
//!
//! Tables say by hand how a field or an action looks on the wire and what it does to a frame; messages go as
//! bytes to the agent, frames through bridge and datapath, and what comes out is compared with the table and
//! with the oracle. A field of the registry, or a number that the codec takes for an action, that has no line
//! in its table fails the test.

mod actions;
mod fields;
mod fixed;
mod frames;
mod lab;
mod table;
mod wire;
