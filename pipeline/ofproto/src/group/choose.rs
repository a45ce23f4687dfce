//! How a select group picks a bucket.
//!
//! # Slots
//! A group has a table of slots, a power of two of them, each naming a bucket; a hash picks a slot.
//! Slots are dealt out by Webster's method, as in Open vSwitch, so that the share of a bucket is as
//! near to its weight as the number of slots allows. When buckets are not live, their slots are dealt
//! out anew among those that are, by weight again; flows on live buckets stay where they are. (Open
//! vSwitch tries the slots that follow, which between equal buckets gives all to one neighbour.)
//!
//! # Which hash
//! * The *datapath's*, where up to [`MAX_DP_SLOTS`] slots do: the packet is hashed and recirculated,
//!   and one megaflow a slot serves all flows. The default.
//! * A hash of *chosen fields* (`selection_method=hash`), which translation computes and
//!   un-wildcards: one megaflow for each value of these fields.
//! * Else the *symmetric hash* of addresses and ports, in translation.
//!
//! # How many slots
//! Open vSwitch takes as many as the smallest weight needs and four a bucket. Here it is the
//! smallest power of two, 16 at least, for which every bucket's share is right within 5 % of it, or
//! half a per cent of all traffic.

use super::GroupBucket;
use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use datapath::{HashAction, HashKind};
use flow::hash::{finish, mix, start};
use flow::proto::{FRAG_ANY, eth_type, ip_proto};
use flow::{Field, Flow, Mask};
use openflow::{Selection, SelectionMethod};

/// Slots that a hash of the datapath picks among, at most: each is a megaflow.
pub(crate) const MAX_DP_SLOTS: usize = 256;
/// Slots that a hash of translation picks among, at most.
const MAX_SLOTS: usize = 1 << 12;
/// Slots of dead buckets that are dealt out anew for one packet.
const MAX_DEALT_ANEW: usize = 4096;
/// Slots at the least.
const MIN_SLOTS: usize = 16;

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// What the datapath hashes.
    Datapath(HashAction),
    /// These bits of these fields, seeded.
    Fields { fields: Box<[(Field, u128)]>, basis: u32 },
    /// Addresses and ports, either way.
    Symmetric,
}

/// A select group's way of choosing; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Chooser {
    pub(crate) method: Method,
    /// Buckets by slot; empty if there is none to choose.
    slots: Box<[u16]>,
    weights: Box<[u16]>,
}

impl Chooser {
    pub(super) fn new(selection: &Selection, buckets: &[GroupBucket]) -> Self {
        let weights: Vec<u16> = buckets.iter().map(|bucket| bucket.desc.weight).collect();
        let fields = || selection.fields.clone().into_boxed_slice();
        let wanted = match selection.method {
            SelectionMethod::Default => {
                Method::Datapath(HashAction { kind: HashKind::SymL4, basis: 0 })
            }
            SelectionMethod::DpHash => Method::Datapath(dp_hash(selection.param)),
            SelectionMethod::Hash if selection.fields.is_empty() => Method::Symmetric,
            SelectionMethod::Hash => {
                let basis = finish(mix(start(0), selection.param));
                Method::Fields { fields: fields(), basis }
            }
        };
        if matches!(wanted, Method::Datapath(_))
            && let Some(slots) = spread(&weights, MAX_DP_SLOTS)
        {
            return Self { method: wanted, slots, weights: weights.into() };
        }
        let method = match wanted {
            Method::Datapath(_) => Method::Symmetric,
            other => other,
        };
        // With so many slots the error is a fraction of a per cent, whatever the weights.
        let slots = spread(&weights, MAX_SLOTS).unwrap_or_else(|| deal(&weights, MAX_SLOTS));
        Self { method, slots, weights: weights.into() }
    }

    /// How many slots it has.
    pub(super) fn n_slots(&self) -> usize {
        self.slots.len()
    }

    /// The bits of the hash that matter.
    pub(crate) fn hash_mask(&self) -> u32 {
        u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The place of the bucket that `hash` picks; `None` if none is live.
    pub(crate) fn pick(&self, hash: u32, mut is_live: impl FnMut(usize) -> bool) -> Option<usize> {
        let slot = usize::try_from(hash & self.hash_mask()).unwrap_or(0);
        let first = usize::from(*self.slots.get(slot)?);
        if is_live(first) {
            return Some(first);
        }
        let live: Vec<u16> =
            (0..).zip(&self.weights).map(|(k, w)| if is_live(k) { *w } else { 0 }).collect();
        let is_dead = |place: &&u16| live.get(usize::from(**place)).is_none_or(|w| *w == 0);
        let rank = self.slots.iter().take(slot).filter(is_dead).count();
        // What is dealt is by weight as far as one looks, so a part of it will do.
        let dealt = deal(&live, rank % MAX_DEALT_ANEW + 1);
        dealt.last().map(|place| usize::from(*place))
    }
}

/// The datapath's hash that the parameter of `dp_hash` names: the algorithm above, the seed below.
fn dp_hash(param: u64) -> HashAction {
    let kind = match param >> 32 {
        1 => HashKind::SymL4,
        _ => HashKind::L4,
    };
    HashAction { kind, basis: u32::try_from(param & u64::from(u32::MAX)).unwrap_or(0) }
}

/// Slots for these weights, the smallest number that is fair; `None` if `most` are too few.
fn spread(weights: &[u16], most: usize) -> Option<Box<[u16]>> {
    let mut n_slots = MIN_SLOTS;
    while n_slots <= most {
        let slots = deal(weights, n_slots);
        if is_fair(weights, &slots) {
            return Some(slots);
        }
        n_slots *= 2;
    }
    None
}

/// Whether each bucket has slots, and a share that is right.
fn is_fair(weights: &[u16], slots: &[u16]) -> bool {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut hits = vec![0_u64; weights.len()];
    for place in slots {
        if let Some(hit) = hits.get_mut(usize::from(*place)) {
            *hit += 1;
        }
    }
    let n_slots = slots.len() as u64;
    weights.iter().zip(&hits).all(|(weight, hit)| {
        let weight = u64::from(*weight);
        // hit / n_slots against weight / total, over the common denominator.
        let error = (hit * total).abs_diff(weight * n_slots);
        let is_near = error * 20 <= weight * n_slots || error * 200 <= total * n_slots;
        (weight == 0 || *hit > 0) && is_near
    })
}

/// Deals slots out to weights by Webster's method: the next one goes to whom it leaves nearest to
/// its due, which has the highest weight / (2 * slots + 1); the first of equals wins.
fn deal(weights: &[u16], n_slots: usize) -> Box<[u16]> {
    let claims = (0..).zip(weights).filter(|(_, weight)| **weight > 0);
    let mut heap: BinaryHeap<Claim> = claims
        .map(|(place, weight)| Claim { weight: (*weight).into(), divisor: 1, place })
        .collect();
    let mut slots = Vec::with_capacity(n_slots);
    while slots.len() < n_slots
        && let Some(mut claim) = heap.pop()
    {
        slots.push(claim.place);
        claim.divisor += 2;
        heap.push(claim);
    }
    slots.into_boxed_slice()
}

/// A bucket's claim to the next slot.
#[derive(PartialEq, Eq)]
struct Claim {
    weight: u64,
    divisor: u64,
    place: u16,
}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_due = (self.weight * other.divisor).cmp(&(other.weight * self.divisor));
        by_due.then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The hash of chosen fields; those that the packet has not are left out. What it looks at is
/// un-wildcarded.
pub(crate) fn hash_fields(
    flow: &Flow,
    mask: &mut Mask,
    fields: &[(Field, u128)],
    basis: u32,
) -> u32 {
    let mut state = start(basis);
    for (field, bits) in fields {
        let prereq = field.spec().prereq;
        prereq.unwildcard(mask);
        if !prereq.holds(flow) {
            continue;
        }
        mask.add(*field, *bits);
        let value = flow.get(*field) & bits;
        let (high, low) = halves(value);
        // The field's number keeps equal values of different fields apart.
        state = mix(mix(mix(state, *field as u64), high), low);
    }
    finish(state)
}

/// The symmetric hash of addresses and ports, whose fields are un-wildcarded.
pub(crate) fn hash_symmetric(flow: &Flow, mask: &mut Mask) -> u32 {
    for field in [Field::EthSrc, Field::EthDst, Field::EthType] {
        mask.set_exact(field);
    }
    mask.add(Field::VlanTci, Field::VlanTci.ones());
    let addresses: &[Field] = match flow.eth_type() {
        eth_type::IPV4 => &[Field::Ipv4Src, Field::Ipv4Dst, Field::IpProto, Field::IpFrag],
        eth_type::IPV6 => &[Field::Ipv6Src, Field::Ipv6Dst, Field::IpProto, Field::IpFrag],
        eth_type::ARP | eth_type::RARP => &[Field::ArpSpa, Field::ArpTpa],
        _ => &[],
    };
    addresses.iter().for_each(|field| mask.set_exact(*field));
    let has_ports = matches!(flow.nw_proto(), ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP);
    if flow.is_ip() && has_ports && flow.nw_frag() & FRAG_ANY == 0 {
        mask.set_exact(Field::TcpSrc);
        mask.set_exact(Field::TcpDst);
    }
    flow.hash_symmetric_l4(0)
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
fn halves(value: u128) -> (u64, u64) {
    ((value >> 64) as u64, value as u64)
}

#[cfg(test)]
mod tests;
