//! Megaflows as text, as `ovs-appctl dpctl/dump-flows` prints them.
//!
//! ```text
//! recirc_id(0),in_port(1),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,frag=no), packets:3,
//!  bytes:180, used:0.512s, actions:2      (one line)
//! ```
//!
//! A field is printed if its mask has a bit, with the mask behind a slash unless it is whole.
//! Header groups without a field are left out; a VLAN tag encloses what follows it in `encap(…)`.

mod value;

use core::fmt::{self, Display, Formatter};

use flow::{Flow, Mask};
use sync::time::Nanos;
use value::{TcpFlagLetters, TcpFlagNames, Value, dec, frag, hex, ip4, ip6, mac, type_of};

use crate::{
    action::{Actions, DpAction, PortNames},
    ids::PortNo,
    megaflow::Megaflow,
};

/// One line of `dpctl/dump-flows`.
#[derive(Clone, Copy)]
pub struct DumpLine<'a> {
    /// The megaflow.
    pub megaflow: &'a Megaflow,
    /// Its actions in force.
    pub actions: &'a [DpAction],
    /// From when `used` counts.
    pub now: Nanos,
    /// Names for ports instead of numbers.
    pub names: Option<&'a dyn PortNames>,
    /// Whether the ufid stands in front.
    pub ufid: UfidShown,
}

/// Whether a line begins with the megaflow's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UfidShown {
    /// `ufid:…, ` stands in front (`dump-flows -m`).
    Yes,
    /// It does not.
    No,
}

impl fmt::Debug for DumpLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for DumpLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.ufid == UfidShown::Yes {
            write!(f, "ufid:{}, ", self.megaflow.ufid)?;
        }
        let key = KeyText { key: &self.megaflow.key, mask: &self.megaflow.mask, names: self.names };
        let stats = self.megaflow.stats.read();
        write!(f, "{key}, packets:{}, bytes:{}, used:", stats.packets, stats.bytes)?;
        match stats.used {
            Some(used) => write!(f, "{}", self.now - used)?,
            None => f.write_str("never")?,
        }
        if stats.tcp_flags != 0 {
            write!(f, ", flags:{}", TcpFlagLetters(stats.tcp_flags))?;
        }
        let actions = match self.names {
            Some(names) => Actions::with_names(self.actions, names),
            None => Actions::new(self.actions),
        };
        write!(f, ", actions:{actions}")
    }
}

/// A masked key.
#[derive(Clone, Copy)]
pub struct KeyText<'a> {
    /// The values.
    pub key: &'a Flow,
    /// The bits that count.
    pub mask: &'a Mask,
    /// Names for ports instead of numbers.
    pub names: Option<&'a dyn PortNames>,
}

impl fmt::Debug for KeyText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for KeyText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (key, mask) = (self.key, self.mask);
        let mut groups = Groups { f, is_first: true };
        groups.single("skb_priority", &hex(key.skb_priority(), mask.skb_priority(), u32::MAX))?;
        groups.single("skb_mark", &hex(key.pkt_mark(), mask.pkt_mark(), u32::MAX))?;
        groups.single("recirc_id", &hex(key.recirc_id(), mask.recirc_id(), u32::MAX))?;
        groups.single("dp_hash", &hex(key.dp_hash(), mask.dp_hash(), u32::MAX))?;
        self.in_port(&mut groups)?;
        groups.group("eth", |fields| {
            fields.add("src", &mac(key.eth_src().to_u64(), mask.eth_src().to_u64()))?;
            fields.add("dst", &mac(key.eth_dst().to_u64(), mask.eth_dst().to_u64()))
        })?;
        let n_encaps = self.vlans(&mut groups)?;
        groups.single("eth_type", &type_of(key.eth_type(), mask.eth_type()))?;
        self.mpls(&mut groups)?;
        self.network(&mut groups)?;
        (0..n_encaps).try_for_each(|_| groups.f.write_str(")"))
    }
}

impl KeyText<'_> {
    fn in_port(&self, groups: &mut Groups<'_, '_>) -> fmt::Result {
        let port = PortNo(self.key.in_port());
        match self.names.and_then(|names| names.port_name(port)) {
            Some(name) => groups.item(|f| write!(f, "in_port({name})")),
            None => {
                groups.single("in_port", &dec(self.key.in_port(), self.mask.in_port(), u32::MAX))
            }
        }
    }

    /// Returns how many `encap(` stay open.
    fn vlans(&self, groups: &mut Groups<'_, '_>) -> Result<usize, fmt::Error> {
        let (key, mask) = (self.key, self.mask);
        let tags = [
            (key.vlan_tpid(), mask.vlan_tpid(), key.vlan_tci(), mask.vlan_tci()),
            (key.vlan_tpid1(), mask.vlan_tpid1(), key.vlan_tci1(), mask.vlan_tci1()),
        ];
        let mut n_open = 0;
        for (tpid, tpid_mask, tci, tci_mask) in tags {
            if tci & 0x1000 == 0 {
                break;
            }
            groups.single("eth_type", &type_of(tpid, tpid_mask))?;
            groups.group("vlan", |fields| {
                fields.add("vid", &dec(tci & 0xfff, tci_mask & 0xfff, 0xfff))?;
                fields.add("pcp", &dec(tci >> 13, tci_mask >> 13, 7))
            })?;
            groups.item(|f| f.write_str("encap("))?;
            groups.is_first = true;
            n_open += 1;
        }
        Ok(n_open)
    }

    fn mpls(&self, groups: &mut Groups<'_, '_>) -> fmt::Result {
        groups.group("mpls", |fields| {
            for n in 0..self.key.n_mpls() {
                let (lse, bits) = (self.key.mpls_lse(n), self.mask.mpls_lse(n));
                for (name, shift, ones) in
                    [("label", 12, 0xf_ffff), ("tc", 9, 7), ("ttl", 0, 0xff), ("bos", 8, 1)]
                {
                    fields.add(name, &dec(lse >> shift & ones, bits >> shift & ones, ones))?;
                }
            }
            Ok(())
        })
    }

    fn network(&self, groups: &mut Groups<'_, '_>) -> fmt::Result {
        let (key, mask) = (self.key, self.mask);
        match key.eth_type() {
            0x0800 => groups.group("ipv4", |fields| {
                fields.add("src", &ip4(key.nw_src(), mask.nw_src()))?;
                fields.add("dst", &ip4(key.nw_dst(), mask.nw_dst()))?;
                fields.add("proto", &dec(key.nw_proto(), mask.nw_proto(), u8::MAX))?;
                fields.add("tos", &hex(key.nw_tos(), mask.nw_tos(), u8::MAX))?;
                fields.add("ttl", &dec(key.nw_ttl(), mask.nw_ttl(), u8::MAX))?;
                fields.add("frag", &frag(key.nw_frag(), mask.nw_frag()))
            })?,
            0x86dd => groups.group("ipv6", |fields| {
                fields.add("src", &ip6(key.ipv6_src(), mask.ipv6_src()))?;
                fields.add("dst", &ip6(key.ipv6_dst(), mask.ipv6_dst()))?;
                fields.add("label", &hex(key.ipv6_label(), mask.ipv6_label(), 0xf_ffff))?;
                fields.add("proto", &dec(key.nw_proto(), mask.nw_proto(), u8::MAX))?;
                fields.add("tclass", &hex(key.nw_tos(), mask.nw_tos(), u8::MAX))?;
                fields.add("hlimit", &dec(key.nw_ttl(), mask.nw_ttl(), u8::MAX))?;
                fields.add("frag", &frag(key.nw_frag(), mask.nw_frag()))
            })?,
            0x0806 | 0x8035 => {
                return groups.group("arp", |fields| {
                    fields.add("sip", &ip4(key.nw_src(), mask.nw_src()))?;
                    fields.add("tip", &ip4(key.nw_dst(), mask.nw_dst()))?;
                    fields.add("op", &dec(key.nw_proto(), mask.nw_proto(), u8::MAX))?;
                    fields.add("sha", &mac(key.arp_sha().to_u64(), mask.arp_sha().to_u64()))?;
                    fields.add("tha", &mac(key.arp_tha().to_u64(), mask.arp_tha().to_u64()))
                });
            }
            _ => return Ok(()),
        }
        self.transport(groups)
    }

    fn transport(&self, groups: &mut Groups<'_, '_>) -> fmt::Result {
        let (key, mask) = (self.key, self.mask);
        let is_v6 = key.eth_type() == 0x86dd;
        let (name, src, dst) = match key.nw_proto() {
            6 => ("tcp", "src", "dst"),
            17 => ("udp", "src", "dst"),
            132 => ("sctp", "src", "dst"),
            1 if !is_v6 => ("icmp", "type", "code"),
            58 if is_v6 => ("icmpv6", "type", "code"),
            _ => return Ok(()),
        };
        groups.group(name, |fields| {
            fields.add(src, &dec(key.tp_src(), mask.tp_src(), u16::MAX))?;
            fields.add(dst, &dec(key.tp_dst(), mask.tp_dst(), u16::MAX))
        })?;
        if name == "tcp" && mask.tcp_flags() != 0 {
            let flags = TcpFlagNames { flags: key.tcp_flags(), mask: mask.tcp_flags() };
            groups.item(|f| write!(f, "tcp_flags({flags})"))?;
        }
        if name == "icmpv6" {
            groups.group("nd", |fields| {
                fields.add("target", &ip6(key.nd_target(), mask.nd_target()))?;
                fields.add("sll", &mac(key.arp_sha().to_u64(), mask.arp_sha().to_u64()))?;
                fields.add("tll", &mac(key.arp_tha().to_u64(), mask.arp_tha().to_u64()))
            })?;
        }
        Ok(())
    }
}

/// Groups with commas between them.
struct Groups<'a, 'b> {
    f: &'a mut Formatter<'b>,
    is_first: bool,
}

impl<'b> Groups<'_, 'b> {
    fn item(&mut self, write: impl FnOnce(&mut Formatter<'b>) -> fmt::Result) -> fmt::Result {
        if !self.is_first {
            self.f.write_str(",")?;
        }
        self.is_first = false;
        write(self.f)
    }

    /// `name(value)`, unless nothing of it counts.
    fn single(&mut self, name: &str, value: &Value) -> fmt::Result {
        if value.is_none() { Ok(()) } else { self.item(|f| write!(f, "{name}({value})")) }
    }

    /// `name(field=value,…)`, unless there is no field.
    fn group(
        &mut self,
        name: &str,
        write: impl Fn(&mut Fields<'_, '_, '_, 'b>) -> fmt::Result,
    ) -> fmt::Result {
        let mut fields = Fields { groups: self, name, n_written: 0 };
        write(&mut fields)?;
        if fields.n_written > 0 { self.f.write_str(")") } else { Ok(()) }
    }
}

/// The fields of one group; the group is opened by the first of them.
struct Fields<'g, 'n, 'a, 'b> {
    groups: &'g mut Groups<'a, 'b>,
    name: &'n str,
    n_written: usize,
}

impl Fields<'_, '_, '_, '_> {
    fn add(&mut self, name: &str, value: &Value) -> fmt::Result {
        if value.is_none() {
            return Ok(());
        }
        self.n_written += 1;
        if self.n_written == 1 {
            let group = self.name;
            self.groups.item(|f| write!(f, "{group}({name}={value}"))
        } else {
            write!(self.groups.f, ",{name}={value}")
        }
    }
}
