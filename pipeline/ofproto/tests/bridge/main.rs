//! A whole bridge over a real datapath of one core, with made-up time.

mod actions;
mod bundled_objects;
mod bundles;
mod caching;
mod conjunctions;
mod explosion;
mod flow_mods;
mod frames;
mod full_tables;
mod incremental;
mod inline;
mod lab;
mod large_tables;
mod learning;
mod normal;
mod packet_io;
mod pausing;
mod ports;
mod qos;
mod rings;
mod rounds;
mod selecting;
mod shortage;
mod soundness;
mod timeouts;
mod tracing;
mod triggers;
mod ukeys;
mod unwildcarding;
mod vlans;

/// Where misses are answered in this run of the tests; `tests/inline.rs` is the other run.
const MODE: lab::Mode = lab::Mode::Thread;
