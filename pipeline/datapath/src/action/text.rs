//! Programs as text, as `ovs-dpctl dump-flows` and `ofproto/trace` print them:
//! `set(eth(dst=…)),push_vlan(vid=5,pcp=0),2`.

use core::{
    fmt::{self, Display, Formatter, LowerHex},
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{DpAction, HashKind, Masked, SetMeta, TtlCopy};
use crate::{ids::PortNo, upcall::UpcallAction};

/// Looks up the names that people gave to ports.
pub trait PortNames {
    /// The port's name; `None` prints its number.
    fn port_name(&self, port: PortNo) -> Option<&str>;
}

/// A program, to be displayed.
#[derive(Clone, Copy)]
pub struct Actions<'a> {
    actions: &'a [DpAction],
    names: Option<&'a dyn PortNames>,
}

impl<'a> Actions<'a> {
    /// With ports as numbers.
    #[must_use]
    pub fn new(actions: &'a [DpAction]) -> Self {
        Self { actions, names: None }
    }

    /// With ports by name.
    #[must_use]
    pub fn with_names(actions: &'a [DpAction], names: &'a dyn PortNames) -> Self {
        Self { actions, names: Some(names) }
    }
}

impl fmt::Debug for Actions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Actions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.actions.is_empty() {
            return f.write_str("drop");
        }
        let mut list = List::new(f);
        for action in self.actions {
            list.item(|f| one(action, self.names, f))?;
        }
        Ok(())
    }
}

impl Display for DpAction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        one(self, None, f)
    }
}

fn one(action: &DpAction, names: Option<&dyn PortNames>, f: &mut Formatter<'_>) -> fmt::Result {
    match action {
        DpAction::Output(port) => match names.and_then(|names| names.port_name(*port)) {
            Some(name) => f.write_str(name),
            None => port.fmt(f),
        },
        DpAction::Upcall(upcall) => userspace(upcall, f),
        DpAction::SlowPath(reason) => {
            write!(f, "userspace(pid=0,slow_path({}))", reason.name())
        }
        DpAction::SetMeta(SetMeta::PktMark(mark)) => write!(f, "set(skb_mark({}))", Hex(*mark)),
        DpAction::SetMeta(SetMeta::SkbPriority(priority)) => {
            write!(f, "set(skb_priority({}))", Hex(*priority))
        }
        DpAction::PushVlan(vlan) => {
            f.write_str("push_vlan(")?;
            if vlan.tpid != 0x8100 {
                write!(f, "tpid=0x{:04x},", vlan.tpid)?;
            }
            write!(f, "vid={},pcp={}", vlan.tci & 0xfff, vlan.tci >> 13)?;
            f.write_str(if vlan.tci & 0x1000 == 0 { ",cfi=0)" } else { ")" })
        }
        DpAction::PopVlan => f.write_str("pop_vlan"),
        DpAction::PushMpls(mpls) => {
            write!(f, "push_mpls({},eth_type=0x{:x})", Lse(mpls.lse), mpls.ethertype)
        }
        DpAction::PopMpls(ethertype) => write!(f, "pop_mpls(eth_type=0x{ethertype:x})"),
        DpAction::PushPbb(tci) => write!(f, "push_pbb({})", Pbb(Masked::exact(*tci))),
        DpAction::PopPbb => f.write_str("pop_pbb"),
        DpAction::SetPbb(tci) => write!(f, "set(pbb({}))", Pbb(*tci)),
        DpAction::CopyTtl(TtlCopy::Out) => f.write_str("copy_ttl_out"),
        DpAction::CopyTtl(TtlCopy::In) => f.write_str("copy_ttl_in"),
        DpAction::SetEthType(ethertype) => write!(f, "set(eth_type({ethertype:#06x}))"),
        DpAction::SetIpProto(proto) => write!(f, "set(ip_proto({proto}))"),
        DpAction::SetTcpFlags(flags) => {
            // The field has 12 bits: a mask of 12 ones is all of it.
            let mask = if flags.mask & 0xfff == 0xfff { u16::MAX } else { flags.mask };
            let flags = Masked { value: flags.value, mask };
            write!(f, "set(tcp_flags({}))", Hex(flags))
        }
        DpAction::Truncate(len) => write!(f, "trunc({len})"),
        DpAction::Clone(inner) => {
            write!(f, "clone({})", Actions { actions: inner, names })
        }
        DpAction::CheckPktLen(check) => {
            let part = |actions| Actions { actions, names };
            let (greater, less_equal) = (part(&check.greater), part(&check.less_equal));
            write!(f, "check_pkt_len(size={},gt({greater}),le({less_equal}))", check.len)
        }
        DpAction::Recirc(id) => write!(f, "recirc({id:#x})"),
        DpAction::Hash(hash) => match hash.kind {
            HashKind::L4 => write!(f, "hash(l4({}))", hash.basis),
            HashKind::SymL4 => write!(f, "hash(sym_l4({}))", hash.basis),
        },
        DpAction::Meter(id) => write!(f, "meter({id})"),
        DpAction::Police(id) => write!(f, "police({id})"),
        DpAction::Drop(_) => f.write_str("drop"),
        _ => {
            f.write_str("set(")?;
            header(action, f)?;
            f.write_str(")")
        }
    }
}

/// The header sets: `eth(src=…,dst=…)`, only the fields that are set.
fn header(action: &DpAction, f: &mut Formatter<'_>) -> fmt::Result {
    let name = match action {
        DpAction::SetEth(_) => "eth",
        DpAction::SetIpv4(_) => "ipv4",
        DpAction::SetIpv6(_) => "ipv6",
        DpAction::SetTcp(_) => "tcp",
        DpAction::SetUdp(_) => "udp",
        DpAction::SetSctp(_) => "sctp",
        DpAction::SetIcmp(_) => "icmp",
        DpAction::SetIcmpv6(_) => "icmpv6",
        DpAction::SetArp(_) => "arp",
        DpAction::SetNd(_) => "nd",
        DpAction::SetNdExt(_) => "nd_ext",
        _ => "mpls",
    };
    write!(f, "{name}(")?;
    let mut list = List::new(f);
    match action {
        DpAction::SetEth(set) => {
            list.field("src", &Mac(set.src), set.src.is_none())?;
            list.field("dst", &Mac(set.dst), set.dst.is_none())?;
        }
        DpAction::SetIpv4(set) => {
            list.field("src", &Ip4(set.src), set.src.is_none())?;
            list.field("dst", &Ip4(set.dst), set.dst.is_none())?;
            list.field("tos", &Hex(set.tos), set.tos.is_none())?;
            list.field("ttl", &Dec(set.ttl), set.ttl.is_none())?;
        }
        DpAction::SetIpv6(set) => {
            list.field("src", &Ip6(set.src), set.src.is_none())?;
            list.field("dst", &Ip6(set.dst), set.dst.is_none())?;
            // The label has 20 bits: a mask of 20 ones is all of it.
            let label = Masked { value: set.label.value, mask: set.label.mask | 0xfff0_0000 };
            list.field("label", &Hex(label), set.label.is_none())?;
            list.field("tclass", &Hex(set.tclass), set.tclass.is_none())?;
            list.field("hlimit", &Dec(set.hlimit), set.hlimit.is_none())?;
        }
        DpAction::SetTcp(set) | DpAction::SetUdp(set) | DpAction::SetSctp(set) => {
            list.field("src", &Dec(set.src), set.src.is_none())?;
            list.field("dst", &Dec(set.dst), set.dst.is_none())?;
        }
        DpAction::SetIcmp(set) | DpAction::SetIcmpv6(set) => {
            list.field("type", &Dec(set.kind), set.kind.is_none())?;
            list.field("code", &Dec(set.code), set.code.is_none())?;
        }
        DpAction::SetArp(set) => {
            list.field("sip", &Ip4(set.spa), set.spa.is_none())?;
            list.field("tip", &Ip4(set.tpa), set.tpa.is_none())?;
            list.field("op", &Dec(set.op), set.op.is_none())?;
            list.field("sha", &Mac(set.sha), set.sha.is_none())?;
            list.field("tha", &Mac(set.tha), set.tha.is_none())?;
        }
        DpAction::SetNd(set) => {
            list.field("target", &Ip6(set.target), set.target.is_none())?;
            list.field("sll", &Mac(set.sll), set.sll.is_none())?;
            list.field("tll", &Mac(set.tll), set.tll.is_none())?;
        }
        DpAction::SetNdExt(set) => {
            list.field("nd_reserved", &Hex(set.reserved), set.reserved.is_none())?;
            list.field("nd_options_type", &Dec(set.options_type), set.options_type.is_none())?;
        }
        DpAction::SetMpls(lse) if lse.mask == u32::MAX => list.item(|f| Lse(lse.value).fmt(f))?,
        DpAction::SetMpls(lse) => {
            for (name, shift, bits) in
                [("label", 12, 0xf_ffff), ("tc", 9, 7), ("ttl", 0, 0xff), ("bos", 8, 1)]
            {
                let (value, mask) = (lse.value >> shift & bits, lse.mask >> shift & bits);
                // Bits outside the field count as set, so that a whole field prints bare.
                let part = Masked { value, mask: mask | !bits };
                list.field(name, &Dec(part), mask == 0)?;
            }
        }
        _ => {}
    }
    f.write_str(")")
}

fn userspace(upcall: &UpcallAction, f: &mut Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "userspace(pid=0,controller(reason={},dont_send=0,continuation=0,recirc_id={},\
         rule_cookie={},controller_id={},max_len={}))",
        upcall.reason as u8,
        upcall.cookie,
        AltHex(upcall.rule_cookie),
        upcall.controller_id,
        upcall.max_len
    )
}

/// Items with commas between them.
struct List<'a, 'b> {
    f: &'a mut Formatter<'b>,
    is_first: bool,
}

impl<'a, 'b> List<'a, 'b> {
    fn new(f: &'a mut Formatter<'b>) -> Self {
        Self { f, is_first: true }
    }

    fn item(&mut self, write: impl FnOnce(&mut Formatter<'b>) -> fmt::Result) -> fmt::Result {
        if !self.is_first {
            self.f.write_str(",")?;
        }
        self.is_first = false;
        write(self.f)
    }

    fn field(&mut self, name: &str, value: &dyn Display, is_none: bool) -> fmt::Result {
        if is_none {
            return Ok(());
        }
        self.item(|f| write!(f, "{name}={value}"))
    }
}

/// `0x1f`, and zero as `0`, as C's `%#x`.
struct AltHex<T>(T);

impl<T: LowerHex + Default + PartialEq> Display for AltHex<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == T::default() { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

/// A label stack entry in words.
struct Lse(u32);

impl Display for Lse {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lse = self.0;
        let (label, tc, ttl, bos) = (lse >> 12, lse >> 9 & 7, lse & 0xff, lse >> 8 & 1);
        write!(f, "label={label},tc={tc},ttl={ttl},bos={bos}")
    }
}

/// Control information of a PBB tag, as far as it is set.
struct Pbb(Masked<u32>);

impl Display for Pbb {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut list = List::new(f);
        for (name, shift, bits) in [("isid", 0, 0xff_ffff), ("uca", 27, 1), ("pcp", 29, 7)] {
            let (value, mask) = (self.0.value >> shift & bits, self.0.mask >> shift & bits);
            let whole = mask == bits;
            let part = Masked { value, mask: if whole { u32::MAX } else { mask } };
            list.field(name, &Dec(part), mask == 0)?;
        }
        Ok(())
    }
}

/// Masked numbers in decimal, masks in hexadecimal; a full mask is not printed.
struct Dec<T>(Masked<T>);

/// Masked numbers in hexadecimal.
struct Hex<T>(Masked<T>);

fn mask_behind<T: LowerHex + PartialEq>(mask: T, all: T, f: &mut Formatter<'_>) -> fmt::Result {
    if mask == all { Ok(()) } else { write!(f, "/{mask:#x}") }
}

macro_rules! masked_numbers {
    ($($number:ty),*) => {$(
        impl Display for Dec<$number> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.value)?;
                mask_behind(self.0.mask, <$number>::MAX, f)
            }
        }

        impl Display for Hex<$number> {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                AltHex(self.0.value).fmt(f)?;
                mask_behind(self.0.mask, <$number>::MAX, f)
            }
        }
    )*};
}

masked_numbers!(u8, u16, u32);

struct Ip4(Masked<u32>);

impl Display for Ip4 {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from_bits(self.0.value).fmt(f)?;
        if self.0.mask == u32::MAX {
            return Ok(());
        }
        write!(f, "/{}", Ipv4Addr::from_bits(self.0.mask))
    }
}

struct Ip6(Masked<u128>);

impl Display for Ip6 {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Ipv6Addr::from_bits(self.0.value).fmt(f)?;
        if self.0.mask == u128::MAX {
            return Ok(());
        }
        write!(f, "/{}", Ipv6Addr::from_bits(self.0.mask))
    }
}

struct Mac(Masked<[u8; 6]>);

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        mac(self.0.value, f)?;
        if self.0.mask == [0xff; 6] {
            return Ok(());
        }
        f.write_str("/")?;
        mac(self.0.mask, f)
    }
}

fn mac(bytes: [u8; 6], f: &mut Formatter<'_>) -> fmt::Result {
    let [a, b, c, d, e, g] = bytes;
    write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
}

#[cfg(test)]
mod tests;
