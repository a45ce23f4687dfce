//! A whole bridge over a real datapath of one core, with made-up time.

mod actions;
mod caching;
mod flow_mods;
mod frames;
mod incremental;
mod lab;
mod normal;
mod packet_io;
mod ports;
mod rings;
mod soundness;
mod timeouts;
mod tracing;
