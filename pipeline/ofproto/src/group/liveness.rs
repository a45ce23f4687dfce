//! Which buckets are live (OpenFlow 1.3.5 §6.4): a bucket that watches nothing is; one that watches
//! is while the port is up or the group has a live bucket.

use super::Group;
use crate::bridge::BridgeState;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use openflow::{Bucket, GROUP_ANY, OfPort, PortState};

/// Watches of watches that are followed.
const MAX_DEPTH: usize = 64;

/// Asks for liveness, each group once: watches form no loop, but they may meet again.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    known: BTreeMap<u32, bool>,
    /// The ports that were asked for.
    pub(crate) ports: Vec<OfPort>,
}

impl Liveness {
    /// Whether a bucket is live.
    pub(crate) fn is_live(&mut self, state: &BridgeState, bucket: &Bucket) -> bool {
        self.bucket(state, bucket, 0)
    }

    /// The groups that were asked for.
    pub(crate) fn groups(&self) -> impl Iterator<Item = u32> {
        self.known.keys().copied()
    }

    fn bucket(&mut self, state: &BridgeState, bucket: &Bucket, depth: usize) -> bool {
        if !bucket.has_liveness() {
            return true;
        }
        let port = bucket.watch_port;
        let has_port = port != OfPort::ANY && {
            self.ports.push(port);
            state.ports.get(port).is_some_and(|port| port.state().contains(PortState::LIVE))
        };
        has_port
            || (bucket.watch_group != GROUP_ANY && self.group(state, bucket.watch_group, depth + 1))
    }

    fn group(&mut self, state: &BridgeState, id: u32, depth: usize) -> bool {
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let any = |group: &Group| {
            depth < MAX_DEPTH
                && group.buckets.iter().any(|bucket| self.bucket(state, &bucket.desc, depth))
        };
        let is_live = state.groups.get(id).map(|group| &**group).is_some_and(any);
        self.known.insert(id, is_live);
        is_live
    }
}
