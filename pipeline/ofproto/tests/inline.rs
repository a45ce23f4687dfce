//! The tests of `bridge`, with misses answered on the core where they occur: whatever holds for a
//! bridge holds in both modes (ovs-facts D4).

#[path = "bridge/actions.rs"]
mod actions;
#[path = "bridge/bundles.rs"]
mod bundles;
#[path = "bridge/caching.rs"]
mod caching;
#[path = "bridge/conjunctions.rs"]
mod conjunctions;
#[path = "bridge/explosion.rs"]
mod explosion;
#[path = "bridge/flow_mods.rs"]
mod flow_mods;
#[path = "bridge/frames.rs"]
mod frames;
#[path = "bridge/incremental.rs"]
mod incremental;
#[path = "bridge/inline.rs"]
mod inline;
#[path = "bridge/lab.rs"]
mod lab;
#[path = "bridge/learning.rs"]
mod learning;
#[path = "bridge/normal.rs"]
mod normal;
#[path = "bridge/packet_io.rs"]
mod packet_io;
#[path = "bridge/pausing.rs"]
mod pausing;
#[path = "bridge/ports.rs"]
mod ports;
#[path = "bridge/selecting.rs"]
mod selecting;
#[path = "bridge/shortage.rs"]
mod shortage;
#[path = "bridge/soundness.rs"]
mod soundness;
#[path = "bridge/timeouts.rs"]
mod timeouts;
#[path = "bridge/tracing.rs"]
mod tracing;
#[path = "bridge/unwildcarding.rs"]
mod unwildcarding;
#[path = "bridge/vlans.rs"]
mod vlans;

const MODE: lab::Mode = lab::Mode::Inline;
