//! The larger of Nicira's actions: those with arguments of their own.

use alloc::vec::Vec;

use crate::{DEFAULT_PRIORITY, OfPort, Subfield};

/// Makes a rule out of the packet (Nicira `LEARN`, `LEARN2`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learn {
    /// Seconds without packets after which the learned rule goes, or 0.
    pub idle_timeout: u16,
    /// Seconds after which it goes, or 0.
    pub hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Whether its removal is reported.
    pub send_flow_rem: bool,
    /// Whether it is deleted with the last rule that has this action.
    pub delete_learned: bool,
    /// Its table.
    pub table_id: u8,
    /// Its idle timeout after a TCP FIN or RST, or 0 for no change.
    pub fin_idle_timeout: u16,
    /// Its hard timeout after a TCP FIN or RST, or 0 for no change.
    pub fin_hard_timeout: u16,
    /// How many rules with this cookie its table may have, or 0 for any number.
    pub limit: u32,
    /// One bit of the packet's fields that becomes 1 when the rule is there, 0 when the limit kept it out.
    pub result_dst: Option<Subfield>,
    /// What it matches and does.
    pub specs: Vec<LearnSpec>,
}

impl Default for Learn {
    /// What the text form leaves unsaid.
    fn default() -> Self {
        Self {
            idle_timeout: 0,
            hard_timeout: 0,
            priority: DEFAULT_PRIORITY,
            cookie: 0,
            send_flow_rem: false,
            delete_learned: false,
            table_id: 1,
            fin_idle_timeout: 0,
            fin_hard_timeout: 0,
            limit: 0,
            result_dst: None,
            specs: Vec::new(),
        }
    }
}

/// One thing that a learned rule matches or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    /// Where its value comes from.
    pub src: LearnSource,
    /// What becomes of the value.
    pub dst: LearnTarget,
}

/// Where a value of a learned rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnSource {
    /// The packet, as the actions before left it.
    Field(Subfield),
    /// The action itself.
    Immediate(u128),
}

/// What becomes of a value in a learned rule. A subfield here is as wide as the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnTarget {
    /// The rule matches it.
    Match(Subfield),
    /// The rule loads it.
    Load(Subfield),
    /// The rule outputs to it. The source is a field.
    Output,
}

/// Picks one of several links by a hash of the packet (Nicira `MULTIPATH`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// Gives another hash.
    pub basis: u16,
    /// How the hash picks a link.
    pub algorithm: MultipathAlgorithm,
    /// The highest link; the lowest is 0.
    pub max_link: u16,
    /// For the algorithm.
    pub arg: u32,
    /// Where the link goes; wide enough for the highest.
    pub dst: Subfield,
}

/// Picks one of several ports that is up (Nicira `BUNDLE`, `BUNDLE_LOAD`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortBundle {
    /// How a member is picked.
    pub algorithm: BundleAlgorithm,
    /// What is hashed.
    pub fields: HashFields,
    /// Gives another hash.
    pub basis: u16,
    /// The ports; [`OfPort::ANY`] holds an empty place.
    pub members: Vec<OfPort>,
    /// Where the port's number goes; without it, the packet goes to the port.
    pub dst: Option<Subfield>,
}

/// Members of a [`PortBundle`] at most.
pub const BUNDLE_MAX_MEMBERS: usize = 2048;

/// Tells a collector of one packet in some (Nicira `SAMPLE`, `SAMPLE2`, `SAMPLE3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// How many of 65,535 packets; never none.
    pub probability: u16,
    /// Which set of collectors.
    pub collector_set_id: u32,
    /// Observation domain that the collector is told.
    pub obs_domain_id: u32,
    /// Observation point that the collector is told.
    pub obs_point_id: u32,
    /// The port that the sample is said to be of, or [`OfPort::ANY`].
    pub sampling_port: OfPort,
    /// Which way the packet is said to go.
    pub direction: SampleDirection,
}

/// Which way a sampled packet goes (`NX_ACTION_SAMPLE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SampleDirection {
    /// As the port says.
    Default = 0,
    /// In.
    Ingress = 1,
    /// Out.
    Egress = 2,
}

impl SampleDirection {
    /// The one with this number on the wire.
    #[must_use]
    pub fn from_wire(wire: u8) -> Option<SampleDirection> {
        [Self::Default, Self::Ingress, Self::Egress].into_iter().find(|way| *way as u8 == wire)
    }
}

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum $name {
            $($(#[$item_doc])* $item = $value,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$item),*];

            /// The one with this number on the wire.
            #[must_use]
            pub fn from_wire(wire: u16) -> Option<$name> {
                Self::ALL.iter().copied().find(|item| *item as u16 == wire)
            }

            /// Its name in text.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$item => $text,)*
                }
            }

            /// The one with this name, in any case of letters.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$name> {
                Self::ALL.iter().copied().find(|item| item.name().eq_ignore_ascii_case(name))
            }
        }
    };
}

wire_enum! {
    /// The fields that choose (`NX_HASH_FIELDS_*`).
    HashFields {
        /// Ethernet source.
        EthSrc = 0, "eth_src";
        /// Layers 2 to 4, the same in both directions; no UDP ports.
        SymmetricL4 = 1, "symmetric_l4";
        /// Addresses, protocol and TCP or SCTP ports, the same in both directions.
        SymmetricL3L4 = 2, "symmetric_l3l4";
        /// The same with UDP ports.
        SymmetricL3L4Udp = 3, "symmetric_l3l4+udp";
        /// IP source.
        NwSrc = 4, "nw_src";
        /// IP destination.
        NwDst = 5, "nw_dst";
        /// IP addresses, the same in both directions.
        SymmetricL3 = 6, "symmetric_l3";
    }
}

wire_enum! {
    /// How a hash picks a link (`NX_MP_ALG_*`).
    MultipathAlgorithm {
        /// The remainder.
        ModuloN = 0, "modulo_n";
        /// Equal parts of the range of the hash.
        HashThreshold = 1, "hash_threshold";
        /// Highest random weight.
        Hrw = 2, "hrw";
        /// Hashes again until a link is hit.
        IterHash = 3, "iter_hash";
    }
}

wire_enum! {
    /// How a member is picked (`NX_BD_ALG_*`).
    BundleAlgorithm {
        /// The first that is up.
        ActiveBackup = 0, "active_backup";
        /// Highest random weight of those that are up.
        Hrw = 1, "hrw";
    }
}

impl Learn {
    /// The fields of the packet that the learned rule depends on.
    pub fn sources(&self) -> impl Iterator<Item = Subfield> {
        self.specs.iter().filter_map(|spec| match spec.src {
            LearnSource::Field(src) => Some(src),
            LearnSource::Immediate(_) => None,
        })
    }
}

impl LearnSpec {
    /// How many bits it copies.
    #[must_use]
    pub fn n_bits(&self) -> u8 {
        match (self.src, self.dst) {
            (_, LearnTarget::Match(dst) | LearnTarget::Load(dst)) => dst.n_bits,
            (LearnSource::Field(src), LearnTarget::Output) => src.n_bits,
            (LearnSource::Immediate(_), LearnTarget::Output) => Subfield::SHORT_IN_PORT.n_bits,
        }
    }
}
