//! The names of the fields and what the registry says of each.

use crate::prereq::Prereq;
use crate::registry::SPECS;

/// A field that can be matched, read, or set.
///
/// Several fields can name the same bits of a flow (`tcp_src` and `udp_src`, `vlan_tci` and
/// `vlan_vid`): a field is a *meaning*, given by its [`Prereq`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is documented by its registry entry")]
pub enum Field {
    DpHash,
    RecircId,
    PacketType,
    ConjId,
    TunnelId,
    TunSrc,
    TunDst,
    TunMetadata0,
    TunMetadata1,
    Metadata,
    InPort,
    ActsetOutput,
    SkbPriority,
    PktMark,
    Reg0,
    Reg1,
    Reg2,
    Reg3,
    Reg4,
    Reg5,
    Reg6,
    Reg7,
    Reg8,
    Reg9,
    Reg10,
    Reg11,
    Reg12,
    Reg13,
    Reg14,
    Reg15,
    Xreg0,
    Xreg1,
    Xreg2,
    Xreg3,
    Xreg4,
    Xreg5,
    Xreg6,
    Xreg7,
    Xxreg0,
    Xxreg1,
    Xxreg2,
    Xxreg3,
    EthSrc,
    EthDst,
    EthType,
    VlanTci,
    DlVlan,
    VlanVid,
    DlVlanPcp,
    VlanPcp,
    VlanTci1,
    MplsLabel,
    MplsTc,
    MplsBos,
    MplsTtl,
    MplsLse1,
    MplsLse2,
    PbbIsid,
    PbbUca,
    Ipv4Src,
    Ipv4Dst,
    Ipv6Src,
    Ipv6Dst,
    Ipv6Label,
    Ipv6Exthdr,
    IpProto,
    IpDscp,
    IpDscpShifted,
    IpEcn,
    IpTtl,
    IpFrag,
    ArpOp,
    ArpSpa,
    ArpTpa,
    ArpSha,
    ArpTha,
    TcpSrc,
    TcpDst,
    TcpFlags,
    UdpSrc,
    UdpDst,
    SctpSrc,
    SctpDst,
    Icmpv4Type,
    Icmpv4Code,
    Icmpv6Type,
    Icmpv6Code,
    NdTarget,
    NdSll,
    NdTll,
    NdReserved,
    NdOptionsType,
}

/// How the text form writes a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A decimal number.
    Decimal,
    /// A hexadecimal number with `0x`.
    Hexadecimal,
    /// `aa:bb:cc:dd:ee:ff`.
    Ethernet,
    /// Dotted quad, mask as prefix length where it is one.
    Ipv4,
    /// Colon form, mask as prefix length where it is one.
    Ipv6,
    /// A port number or one of the reserved names.
    Port,
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Frag,
    /// `+syn-ack`, `syn|ack`.
    TcpFlags,
    /// `(namespace,type)`.
    PacketType,
}

/// Which masks a match on the field may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maskable {
    /// All bits or none.
    Exact,
    /// Any bits.
    Bitwise,
}

/// Where the bits of a field lie: `bits` bits above `shift` in word `word`, counted as if the
/// value had `scale` zero bits below them. Fields of 128 bits go on in the next word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Word of the (most significant part of the) field.
    pub word: u8,
    /// Lowest bit in the word.
    pub shift: u8,
    /// Number of bits kept.
    pub bits: u8,
    /// Zero bits that the value has below the kept bits.
    pub scale: u8,
}

/// The header of a field in an NXM or OXM match (OpenFlow 1.3.5 §7.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireId {
    /// The full name, as in `NXM_OF_ETH_SRC`.
    pub name: &'static str,
    /// `oxm_class`; 0xffff means that `experimenter` follows the header.
    pub class: u16,
    /// Experimenter number, or 0 when there is none.
    pub experimenter: u32,
    /// `oxm_field`.
    pub field: u8,
    /// Bytes of the value (without mask and without experimenter number).
    pub len: u8,
    /// First OpenFlow version (wire number) that uses it; 0 for Nicira's extensions.
    pub since: u8,
}

/// One line of the registry.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// The field itself.
    pub field: Field,
    /// The name that the text form prints first.
    pub name: &'static str,
    /// A second name that is accepted.
    pub extra_name: Option<&'static str>,
    /// Bytes of the value on the wire.
    pub n_bytes: u8,
    /// Meaningful bits of the value on the wire.
    pub n_bits: u8,
    /// The Nicira header.
    pub nxm: Option<WireId>,
    /// An experimenter's header (OpenFlow 1.3 extensions of 1.5 fields, for one).
    pub experimenter: Option<WireId>,
    /// The standard header.
    pub oxm: Option<WireId>,
    /// Which masks are allowed.
    pub maskable: Maskable,
    /// What a packet must be to have this field.
    pub prereq: Prereq,
    /// How values are written.
    pub format: Format,
    /// Whether a set-field action may write it.
    pub writable: bool,
    /// Where the bits are.
    pub location: Location,
}

impl Field {
    /// Number of fields.
    pub const COUNT: usize = SPECS.len();

    /// Every field in registry order.
    pub fn all() -> impl Iterator<Item = Field> {
        SPECS.iter().map(|spec| spec.field)
    }

    /// What the registry says of this field.
    #[must_use]
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the table has one entry per variant, as asserted")]
    pub fn spec(self) -> &'static FieldSpec {
        &SPECS[self as usize]
    }

    /// The name in the text form.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The field with this header in the class of standard or Nicira headers.
    #[must_use]
    pub fn from_oxm(class: u16, field: u8) -> Option<Field> {
        Self::from_wire(class, 0, field)
    }

    /// The field with this header; `experimenter` is 0 outside class 0xffff.
    #[must_use]
    pub fn from_wire(class: u16, experimenter: u32, field: u8) -> Option<Field> {
        let usual = USUAL_CLASSES.iter().position(|usual| *usual == class);
        if let Some(numbers) = usual.and_then(|k| BY_NUMBER.get(k)) {
            let index = numbers.get(usize::from(field))?.checked_sub(1)?;
            return SPECS.get(usize::from(index)).map(|spec| spec.field);
        }
        let found = SPECS.iter().find(|spec| {
            spec.wire_ids()
                .any(|id| id.class == class && id.experimenter == experimenter && id.field == field)
        });
        found.map(|spec| spec.field)
    }

    /// The field with this name in the text form (either name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Field> {
        let found = SPECS.iter().find(|spec| spec.name == name || spec.extra_name == Some(name));
        found.map(|spec| spec.field)
    }

    /// The field with this header name, as `NXM_OF_IN_PORT` or `OXM_OF_ETH_DST`.
    #[must_use]
    pub fn from_wire_name(name: &str) -> Option<Field> {
        let found = SPECS.iter().find(|spec| spec.wire_ids().any(|id| id.name == name));
        found.map(|spec| spec.field)
    }

    /// The header to write to a peer of this OpenFlow version (wire number): the last one of
    /// Nicira's, the experimenter's and the standard one that the version knows, else the first.
    #[must_use]
    pub fn wire_id(self, version: u8) -> Option<&'static WireId> {
        let mut best: Option<&WireId> = None;
        for id in self.spec().wire_ids() {
            if best.is_none() || version >= id.since {
                best = Some(id);
            }
        }
        best
    }

    /// Whether this is one of the fields for options of tunnels, whose values have no fixed length on
    /// the wire.
    #[must_use]
    pub const fn is_tunnel_option(self) -> bool {
        matches!(self, Field::TunMetadata0 | Field::TunMetadata1)
    }

    /// Register `n` (0..=15).
    #[must_use]
    pub fn reg(n: u8) -> Option<Field> {
        Self::nth_after(Field::Reg0, n, 16)
    }

    /// 64-bit register `n` (0..=7).
    #[must_use]
    pub fn xreg(n: u8) -> Option<Field> {
        Self::nth_after(Field::Xreg0, n, 8)
    }

    /// 128-bit register `n` (0..=3).
    #[must_use]
    pub fn xxreg(n: u8) -> Option<Field> {
        Self::nth_after(Field::Xxreg0, n, 4)
    }

    fn nth_after(first: Field, n: u8, count: u8) -> Option<Field> {
        let index = first as usize + usize::from(n);
        if n < count { SPECS.get(index).map(|spec| spec.field) } else { None }
    }

    /// All bits that a value of this field can have in a flow.
    #[must_use]
    #[inline]
    pub fn ones(self) -> u128 {
        let location = self.spec().location;
        ones(location.bits) << location.scale
    }

    /// Whether `value` can be a value of this field on the wire: an ARP operation above 255 or a
    /// 21-bit MPLS label cannot (OpenFlow error `OFPBMC_BAD_VALUE`, `OFPBAC_BAD_SET_ARGUMENT`).
    #[must_use]
    pub fn is_valid(self, value: u128) -> bool {
        value & !self.value_ones() == 0
    }

    /// All bits that a value of this field can have on the wire, where an ICMP type has 8 bits
    /// although it lives in the 16 of a port.
    #[must_use]
    pub fn value_ones(self) -> u128 {
        match self {
            Field::VlanVid => self.ones(),
            _ => self.ones() & ones(self.spec().n_bits),
        }
    }
}

/// The classes that headers usually have: Nicira's two, the standard's, its packet registers.
const USUAL_CLASSES: [u16; 4] = [0x0000, 0x0001, 0x8000, 0x8001];

/// For each of these classes and each number of a field, one more than its place in the registry, or 0:
/// a message has a dozen headers, and the registry is long.
static BY_NUMBER: [[u8; 128]; USUAL_CLASSES.len()] = by_number();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
#[expect(clippy::cast_possible_truncation, reason = "the registry has fewer than 255 lines")]
const fn by_number() -> [[u8; 128]; USUAL_CLASSES.len()] {
    let mut table = [[0; 128]; USUAL_CLASSES.len()];
    let mut line = SPECS.len();
    while line > 0 {
        line -= 1;
        let ids = [&SPECS[line].nxm, &SPECS[line].experimenter, &SPECS[line].oxm];
        let mut k = 0;
        while k < ids.len() * USUAL_CLASSES.len() {
            let class = k % USUAL_CLASSES.len();
            if let Some(id) = ids[k / USUAL_CLASSES.len()]
                && id.class == USUAL_CLASSES[class]
            {
                table[class][id.field as usize] = line as u8 + 1;
            }
            k += 1;
        }
    }
    table
}

impl FieldSpec {
    /// Every header of the field, Nicira's first.
    pub fn wire_ids(&self) -> impl Iterator<Item = &WireId> {
        [&self.nxm, &self.experimenter, &self.oxm].into_iter().flatten()
    }
}

/// The lowest `bits` bits.
#[must_use]
#[inline]
pub(crate) const fn ones(bits: u8) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}
