//! Choices by a hash of the packet: Nicira's `multipath` and `bundle`.
//!
//! What is hashed is un-wildcarded, and nothing else: a UDP packet whose ports are not hashed does not
//! depend on them. The hash is this switch's own, like every switch's.

use super::machine::Machine;
use super::report::NodeKind;
use super::step::Verdict;
use flow::proto::ip_proto;
use flow::{Field, Prereq};
use openflow::{
    BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm, OfPort, PortBundle, PortConfig,
    PortState,
};

/// Links up to which the highest random weight is looked for among all (Open vSwitch's number).
const MAX_HRW_LINKS: u32 = 64;

impl Machine<'_> {
    pub(crate) fn multipath(&mut self, multipath: &Multipath) {
        let Multipath { fields, basis, algorithm, max_link, arg, dst } = *multipath;
        let hash = self.hash_fields(fields, basis);
        let link = link_of(hash, algorithm, u32::from(max_link) + 1, arg);
        self.report.say(NodeKind::Detail, format_args!("link {link}"));
        self.set_field(dst.field, u128::from(link) << dst.offset, dst.mask());
    }

    pub(crate) fn bundle(&mut self, bundle: &PortBundle) -> Verdict {
        let port = match bundle.algorithm {
            BundleAlgorithm::ActiveBackup => {
                bundle.members.iter().copied().find(|member| self.is_up(*member))
            }
            BundleAlgorithm::Hrw => self.highest_weight(bundle),
        };
        let port = port.unwrap_or(OfPort::ANY);
        match bundle.dst {
            Some(dst) => {
                let number = u128::from(port.to_u16().unwrap_or(u16::MAX));
                self.report.say(NodeKind::Detail, format_args!("port {port}"));
                self.set_field(dst.field, number << dst.offset, dst.mask());
                Verdict::Next
            }
            None => self.output(port, 0),
        }
    }

    fn highest_weight(&mut self, bundle: &PortBundle) -> Option<OfPort> {
        let hash = match bundle.members.len() {
            0 | 1 => 0,
            _ => self.hash_fields(bundle.fields, bundle.basis),
        };
        let mut best = None;
        for (place, member) in (0u32..).zip(&bundle.members) {
            let weight = mix(u64::from(hash) << 32 | u64::from(place));
            if self.is_up(*member) && best.is_none_or(|(highest, _)| weight > highest) {
                best = Some((weight, *member));
            }
        }
        best.map(|(_, member)| member)
    }

    /// Whether a member of a bundle can take packets.
    fn is_up(&mut self, number: OfPort) -> bool {
        match number {
            OfPort::IN_PORT | OfPort::TABLE | OfPort::NORMAL | OfPort::FLOOD | OfPort::ALL => true,
            OfPort::ANY => true,
            OfPort::CONTROLLER => false,
            _ => {
                self.deps.note_port(number);
                self.input.state.ports.get(number).is_some_and(|port| {
                    !port.config().contains(PortConfig::PORT_DOWN)
                        && !port.state().contains(PortState::LINK_DOWN)
                })
            }
        }
    }

    /// Hashes fields, which the translation depends on from here.
    fn hash_fields(&mut self, fields: HashFields, basis: u16) -> u32 {
        let mut hash = mix(basis.into());
        let mut add = |value: u128| {
            let (high, low) = (value >> 64, value & u128::from(u64::MAX));
            for half in [low, high] {
                hash = mix(hash ^ u64::try_from(half).unwrap_or(u64::MAX));
            }
        };
        match fields {
            HashFields::EthSrc => add(self.exact(Field::EthSrc)),
            HashFields::NwSrc => add(self.address(Field::Ipv4Src, Field::Ipv6Src)),
            HashFields::NwDst => add(self.address(Field::Ipv4Dst, Field::Ipv6Dst)),
            HashFields::SymmetricL3 => {
                add(self.flow.eth_type().into());
                add(self.both_addresses());
            }
            HashFields::SymmetricL4 => {
                add(self.both_stations());
                add(self.both_addresses());
                add(self.both_ports(Udp::Without));
            }
            HashFields::SymmetricL3L4 | HashFields::SymmetricL3L4Udp => {
                let udp =
                    if fields == HashFields::SymmetricL3L4 { Udp::Without } else { Udp::With };
                if self.flow.is_ip() {
                    add(self.both_addresses());
                    add(self.both_ports(udp));
                } else {
                    add(self.both_stations());
                }
            }
        }
        (hash >> 32) as u32
    }

    fn exact(&mut self, field: Field) -> u128 {
        self.mask.set_exact(field);
        self.flow.get(field)
    }

    /// The value of whichever field the packet has, or 0.
    fn address(&mut self, v4: Field, v6: Field) -> u128 {
        match () {
            () if Prereq::Ipv4.holds(self.flow) => self.exact(v4),
            () if Prereq::Ipv6.holds(self.flow) => self.exact(v6),
            () => 0,
        }
    }

    fn both_addresses(&mut self) -> u128 {
        self.address(Field::Ipv4Src, Field::Ipv6Src) ^ self.address(Field::Ipv4Dst, Field::Ipv6Dst)
    }

    /// Ethernet addresses, type and VLANs.
    fn both_stations(&mut self) -> u128 {
        let stations = self.exact(Field::EthSrc) ^ self.exact(Field::EthDst);
        let tags = [Field::VlanTci, Field::VlanTci1].map(|tag| {
            self.mask.add(tag, 0x1fff);
            self.flow.get(tag) & 0xfff
        });
        stations ^ (tags[0] ^ tags[1]) << 48 ^ u128::from(self.flow.eth_type()) << 64
    }

    /// IP protocol and, for protocols that have them, ports.
    fn both_ports(&mut self, udp: Udp) -> u128 {
        if !self.flow.is_ip() {
            return 0;
        }
        let proto = self.exact(Field::IpProto);
        let has_ports = match self.flow.nw_proto() {
            ip_proto::TCP | ip_proto::SCTP => true,
            ip_proto::UDP => udp == Udp::With,
            _ => false,
        };
        if !has_ports || self.flow.nw_frag() != 0 {
            return proto;
        }
        self.mask.set_tp_src(u16::MAX);
        self.mask.set_tp_dst(u16::MAX);
        proto | u128::from(self.flow.tp_src() ^ self.flow.tp_dst()) << 16
    }
}

/// Whether the ports of UDP are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Udp {
    With,
    Without,
}

/// A bijection that spreads (the finalizer of splitmix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// One of `n_links` (1 to 65,536) links.
fn link_of(hash: u32, algorithm: MultipathAlgorithm, n_links: u32, arg: u32) -> u32 {
    let n_links = n_links.max(1);
    match algorithm {
        MultipathAlgorithm::ModuloN => hash % n_links,
        MultipathAlgorithm::HashThreshold => {
            let link = (u64::from(hash) * u64::from(n_links)) >> 32;
            u32::try_from(link).unwrap_or(0)
        }
        MultipathAlgorithm::Hrw if n_links <= MAX_HRW_LINKS => {
            let weight = |link: &u32| mix(u64::from(hash) << 32 | u64::from(*link));
            (0..n_links).max_by_key(weight).unwrap_or(0)
        }
        MultipathAlgorithm::Hrw => rehashed(hash, n_links, 0),
        MultipathAlgorithm::IterHash => rehashed(hash, n_links, arg),
    }
}

/// Hashes into a range until a link is hit: few flows move when a link is added.
fn rehashed(hash: u32, n_links: u32, range: u32) -> u32 {
    let is_good = range >= n_links && range / 2 <= n_links;
    let range = if is_good { range } else { n_links.next_power_of_two() };
    // At least every second value is a link: that none of so many is one does not happen.
    let links = (0..64u64).map(|n| mix(u64::from(hash) << 32 | n) % u64::from(range));
    let link = links.into_iter().find(|link| *link < u64::from(n_links)).unwrap_or(0);
    u32::try_from(link).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_used_alike() {
        for algorithm in MultipathAlgorithm::ALL {
            for n_links in [1u32, 2, 3, 7, 64, 100] {
                let mut hits = alloc::vec![0u32; n_links as usize];
                for n in 0..n_links * 1000 {
                    let hash = (mix(n.into()) >> 32) as u32;
                    hits[link_of(hash, *algorithm, n_links, 128) as usize] += 1;
                }
                let is_fair = |hits: &u32| (800..1200).contains(hits);
                assert!(hits.iter().all(is_fair), "{algorithm:?} of {n_links}: {hits:?}");
            }
        }
    }

    #[test]
    fn few_flows_move_when_a_link_is_added() {
        for algorithm in [MultipathAlgorithm::Hrw, MultipathAlgorithm::IterHash] {
            let moved = (0..10_000u32).filter(|n| {
                let hash = (mix((*n).into()) >> 32) as u32;
                link_of(hash, algorithm, 9, 16) != link_of(hash, algorithm, 10, 16)
            });
            assert!(moved.count() < 1300, "{algorithm:?}");
        }
    }
}
