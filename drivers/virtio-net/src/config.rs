//! Feature bits and configuration space of the network device (virtio 1.2 §5.1.3, §5.1.4).

use crate::MAX_MTU;
use alloc::vec::Vec;
use packet::OffloadSet;
use virtio::Transport;

/// Feature bits.
pub mod feature {
    pub use virtio::feature::{EVENT_IDX, IN_ORDER, RING_PACKED, VERSION_1};

    /// The device finishes checksums of frames that it is given.
    pub const CSUM: u64 = 1;
    /// The driver takes frames with unfinished checksums.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// The device has a maximum MTU.
    pub const MTU: u64 = 1 << 3;
    /// The device has an address.
    pub const MAC: u64 = 1 << 5;
    /// The driver takes large frames of TCP over IPv4.
    pub const GUEST_TSO4: u64 = 1 << 7;
    /// The driver takes large frames of TCP over IPv6.
    pub const GUEST_TSO6: u64 = 1 << 8;
    /// The driver takes large frames with the flag CWR.
    pub const GUEST_ECN: u64 = 1 << 9;
    /// The device cuts large frames of TCP over IPv4.
    pub const HOST_TSO4: u64 = 1 << 11;
    /// The device cuts large frames of TCP over IPv6.
    pub const HOST_TSO6: u64 = 1 << 12;
    /// The device cuts large frames with the flag CWR.
    pub const HOST_ECN: u64 = 1 << 13;
    /// A frame may be spread over several receive buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// The configuration has a link status.
    pub const STATUS: u64 = 1 << 16;
    /// There is a control queue.
    pub const CTRL_VQ: u64 = 1 << 17;
    /// There are several queue pairs.
    pub const MQ: u64 = 1 << 22;
    /// The configuration has speed and duplex.
    pub const SPEED_DUPLEX: u64 = 1 << 63;
}

/// All that concerns large frames. Who opens a device without refusing them has a pool with large buffers.
pub const SEGMENTATION: u64 = feature::GUEST_TSO4
    | feature::GUEST_TSO6
    | feature::GUEST_ECN
    | feature::HOST_TSO4
    | feature::HOST_TSO6
    | feature::HOST_ECN;

/// Everything that the driver can use.
pub(crate) const WANTED: u64 = feature::VERSION_1
    | feature::EVENT_IDX
    | feature::RING_PACKED
    | feature::IN_ORDER
    | SEGMENTATION
    | feature::CSUM
    | feature::GUEST_CSUM
    | feature::MTU
    | feature::MAC
    | feature::MRG_RXBUF
    | feature::STATUS
    | feature::CTRL_VQ
    | feature::MQ
    | feature::SPEED_DUPLEX;

const NAMES: [(u64, &str); 19] = [
    (feature::VERSION_1, "version-1"),
    (feature::EVENT_IDX, "event-idx"),
    (feature::RING_PACKED, "packed"),
    (feature::IN_ORDER, "in-order"),
    (feature::CSUM, "csum"),
    (feature::GUEST_CSUM, "guest-csum"),
    (feature::GUEST_TSO4, "guest-tso4"),
    (feature::GUEST_TSO6, "guest-tso6"),
    (feature::GUEST_ECN, "guest-ecn"),
    (feature::HOST_TSO4, "host-tso4"),
    (feature::HOST_TSO6, "host-tso6"),
    (feature::HOST_ECN, "host-ecn"),
    (feature::MTU, "mtu"),
    (feature::MAC, "mac"),
    (feature::MRG_RXBUF, "mrg-rxbuf"),
    (feature::STATUS, "status"),
    (feature::CTRL_VQ, "ctrl-vq"),
    (feature::MQ, "mq"),
    (feature::SPEED_DUPLEX, "speed-duplex"),
];

/// Names of the features in `bits` that this driver knows.
pub(crate) fn names(bits: u64) -> Vec<&'static str> {
    NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|&(_, name)| name).collect()
}

/// The feature of that name, of those that the driver can do without.
#[must_use]
pub fn optional_feature(name: &str) -> Option<u64> {
    let found = NAMES.iter().find(|(_, known)| *known == name);
    found.map(|&(bit, _)| bit).filter(|&bit| bit != feature::VERSION_1)
}

/// What of `features` can be used together (virtio 1.2 §5.1.3.1), and that large frames come spread over the
/// buffers of ordinary ones: a ring of buffers for the largest would be 64 MiB.
pub(crate) fn usable(mut features: u64) -> u64 {
    let needs = [
        (feature::MQ, feature::CTRL_VQ),
        (feature::GUEST_TSO4 | feature::GUEST_TSO6, feature::GUEST_CSUM),
        (feature::GUEST_TSO4 | feature::GUEST_TSO6, feature::MRG_RXBUF),
        (feature::HOST_TSO4 | feature::HOST_TSO6, feature::CSUM),
        // One of the two suffices.
        (feature::GUEST_ECN, feature::GUEST_TSO4 | feature::GUEST_TSO6),
        (feature::HOST_ECN, feature::HOST_TSO4 | feature::HOST_TSO6),
    ];
    for (what, needed) in needs {
        if features & needed == 0 {
            features &= !what;
        }
    }
    features
}

/// What transmit queues take over with these features.
pub(crate) fn offloads(features: u64) -> OffloadSet {
    let all = [
        (feature::CSUM, OffloadSet::CHECKSUM),
        (feature::HOST_TSO4, OffloadSet::TCP_V4),
        (feature::HOST_TSO6, OffloadSet::TCP_V6),
        (feature::HOST_ECN, OffloadSet::CWR),
    ];
    let has = all.into_iter().filter(|(bit, _)| features & bit != 0);
    has.fold(OffloadSet::NONE, |all, (_, one)| all.and(one))
}

/// Smallest MTU that a device may name: IPv4's (§5.1.4.1).
const MIN_MTU: u16 = 68;
const DEFAULT_MTU: u16 = 1500;
/// Largest number of queue pairs (§5.1.4).
const MAX_PAIRS: u16 = 0x8000;

/// Offsets in the configuration space.
const MAC: usize = 0;
const STATUS: usize = 6;
const PAIRS: usize = 8;
const MTU: usize = 10;
const SPEED: usize = 12;

/// The configuration space could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// What the configuration space says, as far as `features` allow to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: u16,
    pub(crate) max_pairs: u16,
}

impl Config {
    /// Reads it. A value that changes while it is read is read again, a few times (§2.5.1).
    pub(crate) fn read<T: Transport>(transport: &T, features: u64) -> Result<Self, Unreadable> {
        for _ in 0..16 {
            let before = transport.read_config_generation();
            let config = Self::read_once(transport, features)?;
            if transport.read_config_generation() == before {
                return Ok(config);
            }
        }
        Err(Unreadable)
    }

    fn read_once<T: Transport>(transport: &T, features: u64) -> Result<Self, Unreadable> {
        let has = |bit| features & bit != 0;
        let mac = if has(feature::MAC) {
            let mut mac = [0; 6];
            for (at, byte) in (MAC..).zip(&mut mac) {
                *byte = transport.read_config_space(at).map_err(|_| Unreadable)?;
            }
            Some(mac)
        } else {
            None
        };
        let mtu = if has(feature::MTU) {
            let mtu: u16 = transport.read_config_space(MTU).map_err(|_| Unreadable)?;
            u16::from_le(mtu).clamp(MIN_MTU, MAX_MTU)
        } else {
            DEFAULT_MTU
        };
        let max_pairs = if has(feature::MQ) && has(feature::CTRL_VQ) {
            let pairs: u16 = transport.read_config_space(PAIRS).map_err(|_| Unreadable)?;
            u16::from_le(pairs).clamp(1, MAX_PAIRS - 1)
        } else {
            1
        };
        Ok(Self { mac, mtu, max_pairs })
    }
}

/// The link: up unless the device says otherwise (§5.1.4.2), with the speed if it is known.
pub(crate) fn link<T: Transport>(transport: &T, features: u64) -> (bool, Option<u32>) {
    let status: Option<u16> = if features & feature::STATUS != 0 {
        transport.read_config_space(STATUS).ok()
    } else {
        None
    };
    let speed: Option<u32> = if features & feature::SPEED_DUPLEX != 0 {
        transport.read_config_space(SPEED).ok()
    } else {
        None
    };
    // §5.1.4: a speed above 0x7fffffff is unknown.
    let speed = speed.map(u32::from_le).filter(|&mbps| mbps != 0 && mbps <= 0x7fff_ffff);
    (status.is_none_or(|status| u16::from_le(status) & 1 != 0), speed)
}
