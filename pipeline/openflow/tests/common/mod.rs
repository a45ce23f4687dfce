//! Arbitrary messages that a version can say, in the form that decoding gives them back.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod actions;
mod config;
mod flows;
mod groups;
mod matches;
mod messages;
mod meters;
mod multipart;
mod nicira;
mod ports;
mod tables;

pub(crate) use messages::message;

use openflow::{FlowFormat, FlowMod, FlowStats, Version};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

pub(crate) fn flow_stats(version: Version, format: FlowFormat) -> BoxedStrategy<FlowStats> {
    flows::flow_stats(version, format).boxed()
}

pub(crate) fn flow_mod(version: Version) -> BoxedStrategy<FlowMod> {
    flows::flow_mod(version)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..80)
}
