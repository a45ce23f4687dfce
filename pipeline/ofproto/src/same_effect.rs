//! Whether two programs do the same to a packet.
//!
//! Two programs may differ and yet mean the same for one packet: a `set` writes whole fields where a
//! translation had examined all of their bits, and single bits where it had not. So the headers are
//! followed beside both programs, and compared wherever somebody sees them: at each action that is
//! not a `set`. What is set behind the last of those is seen by nobody.

use datapath::{CheckPktLen, DpAction, SetMeta};
use flow::{Field, Flow};
use packet::edit::Masked;

/// Whether both programs do the same to a packet of this flow.
pub(crate) fn same_effect(one: &[DpAction], other: &[DpAction], flow: &Flow) -> bool {
    let (mut one, mut other) = (Walk::new(one, flow), Walk::new(other, flow));
    loop {
        let (a, b) = match (one.next_seen(), other.next_seen()) {
            (None, None) => return true,
            (Some(a), Some(b)) if one.flow == other.flow => (a, b),
            _ => return false,
        };
        let is_same = match (a, b) {
            (DpAction::Clone(a), DpAction::Clone(b)) => same_effect(a, b, &one.flow),
            (DpAction::CheckPktLen(a), DpAction::CheckPktLen(b)) => same_branches(a, b, &one.flow),
            (a, b) => a == b,
        };
        if !is_same {
            return false;
        }
    }
}

fn same_branches(one: &CheckPktLen, other: &CheckPktLen, flow: &Flow) -> bool {
    one.len == other.len
        && same_effect(&one.greater, &other.greater, flow)
        && same_effect(&one.less_equal, &other.less_equal, flow)
}

/// A program, and the headers as far as it has come.
struct Walk<'a> {
    rest: core::slice::Iter<'a, DpAction>,
    flow: Flow,
}

impl<'a> Walk<'a> {
    fn new(actions: &'a [DpAction], flow: &Flow) -> Self {
        Self { rest: actions.iter(), flow: *flow }
    }

    /// The next action that is not a `set`.
    fn next_seen(&mut self) -> Option<&'a DpAction> {
        loop {
            let action = self.rest.next()?;
            if !self.set(action) {
                return Some(action);
            }
        }
    }

    /// Does what a `set` does; false if this is none.
    fn set(&mut self, action: &DpAction) -> bool {
        match action {
            DpAction::SetEth(set) => {
                self.write(Field::EthSrc, set.src);
                self.write(Field::EthDst, set.dst);
            }
            DpAction::SetIpv4(set) => {
                self.write(Field::Ipv4Src, set.src);
                self.write(Field::Ipv4Dst, set.dst);
                self.flow.set_nw_tos(set.tos.over(self.flow.nw_tos()));
                self.flow.set_nw_ttl(set.ttl.over(self.flow.nw_ttl()));
            }
            DpAction::SetIpv6(set) => {
                self.write(Field::Ipv6Src, set.src);
                self.write(Field::Ipv6Dst, set.dst);
                self.flow.set_ipv6_label(set.label.over(self.flow.ipv6_label()));
                self.flow.set_nw_tos(set.tclass.over(self.flow.nw_tos()));
                self.flow.set_nw_ttl(set.hlimit.over(self.flow.nw_ttl()));
            }
            DpAction::SetTcp(set) | DpAction::SetUdp(set) | DpAction::SetSctp(set) => {
                self.flow.set_tp_src(set.src.over(self.flow.tp_src()));
                self.flow.set_tp_dst(set.dst.over(self.flow.tp_dst()));
            }
            DpAction::SetIcmp(set) | DpAction::SetIcmpv6(set) => {
                self.write(Field::Icmpv4Type, set.kind);
                self.write(Field::Icmpv4Code, set.code);
            }
            DpAction::SetArp(set) => {
                self.write(Field::ArpOp, set.op);
                self.write(Field::ArpSpa, set.spa);
                self.write(Field::ArpTpa, set.tpa);
                self.write(Field::ArpSha, set.sha);
                self.write(Field::ArpTha, set.tha);
            }
            DpAction::SetNd(set) => {
                self.write(Field::NdTarget, set.target);
                self.write(Field::NdSll, set.sll);
                self.write(Field::NdTll, set.tll);
            }
            DpAction::SetNdExt(set) => {
                self.write(Field::NdReserved, set.reserved);
                self.write(Field::NdOptionsType, set.options_type);
            }
            DpAction::SetMpls(lse) => self.flow.set_mpls_lse(0, lse.over(self.flow.mpls_lse(0))),
            DpAction::SetTcpFlags(flags) => {
                self.flow.set_tcp_flags(flags.over(self.flow.tcp_flags()));
            }
            DpAction::SetPbb(tci) => {
                let (isid, uca) = (self.flow.pbb_isid(), u32::from(self.flow.pbb_uca()));
                let tci = tci.over(uca << 27 | isid);
                self.flow.set_pbb_isid(tci & 0xff_ffff);
                self.flow.set_pbb_uca(u8::from(tci >> 27 & 1 != 0));
            }
            DpAction::SetMeta(SetMeta::PktMark(mark)) => {
                self.flow.set_pkt_mark(mark.over(self.flow.pkt_mark()));
            }
            DpAction::SetMeta(SetMeta::SkbPriority(priority)) => {
                self.flow.set_skb_priority(priority.over(self.flow.skb_priority()));
            }
            DpAction::PushMpls(push) => {
                for n in [1, 0] {
                    self.flow.set_mpls_lse(n + 1, self.flow.mpls_lse(n));
                }
                self.flow.set_mpls_lse(0, push.lse);
                return false;
            }
            DpAction::PushPbb(tci) => {
                self.flow.set_pbb_isid(tci & 0xff_ffff);
                self.flow.set_pbb_uca(u8::from(tci >> 27 & 1 != 0));
                return false;
            }
            DpAction::PopMpls(_) => {
                for n in 0..2 {
                    self.flow.set_mpls_lse(n, self.flow.mpls_lse(n + 1));
                }
                return false;
            }
            _ => return false,
        }
        true
    }

    fn write<T: Wide>(&mut self, field: Field, new: Masked<T>) {
        let (value, mask) = (new.value.wide(), new.mask.wide());
        self.flow.set(field, value & mask | self.flow.get(field) & !mask);
    }
}

/// The values of fields as numbers.
trait Wide {
    fn wide(self) -> u128;
}

macro_rules! wide {
    ($($ty:ty)*) => {$(
        impl Wide for $ty {
            fn wide(self) -> u128 {
                self.into()
            }
        }
    )*};
}
wide!(u8 u16 u32 u128);

impl Wide for [u8; 6] {
    fn wide(self) -> u128 {
        self.into_iter().fold(0, |wide, byte| wide << 8 | u128::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::same_effect;
    use alloc::vec;
    use alloc::vec::Vec;
    use datapath::{DpAction, PortNo, PushMpls, SetEth, SetIpv4};
    use flow::{EtherAddr, Flow};
    use packet::edit::Masked;

    const OUT: DpAction = DpAction::Output(PortNo(1));

    fn flow() -> Flow {
        let mut flow = Flow::ZERO;
        flow.set_eth_src(EtherAddr([2, 0, 0, 0, 0, 7]));
        flow.set_eth_type(0x0800);
        flow.set_nw_tos(0x20);
        flow
    }

    fn eth_src(value: [u8; 6], mask: [u8; 6]) -> DpAction {
        DpAction::SetEth(SetEth { src: Masked { value, mask }, ..SetEth::default() })
    }

    fn tos(value: u8, mask: u8) -> DpAction {
        DpAction::SetIpv4(SetIpv4 { tos: Masked { value, mask }, ..SetIpv4::default() })
    }

    #[test]
    fn whole_fields_and_single_bits_are_one() {
        let whole = eth_src([2, 0, 0, 0, 0, 1], [0xff; 6]);
        let bits = eth_src([0, 0, 0, 0, 0, 1], [0, 0xff, 0, 0, 0, 0xff]);
        let cases: [(Vec<DpAction>, Vec<DpAction>, bool); 11] = [
            (vec![whole.clone(), OUT], vec![bits.clone(), OUT], true),
            (vec![whole.clone(), OUT], vec![OUT], false),
            (vec![tos(0x20, 0xfc), OUT], vec![OUT], true),
            (vec![tos(0x24, 0xfc), OUT], vec![OUT], false),
            (vec![OUT, whole.clone()], vec![OUT], true),
            (vec![OUT, whole.clone(), OUT], vec![whole.clone(), OUT, OUT], false),
            (vec![OUT], vec![OUT, OUT], false),
            (vec![OUT], vec![DpAction::Output(PortNo(2))], false),
            (
                vec![DpAction::Clone([whole.clone(), OUT].into()), OUT],
                vec![DpAction::Clone([bits.clone(), OUT].into()), OUT],
                true,
            ),
            (
                vec![DpAction::Clone([whole, OUT].into()), OUT],
                vec![DpAction::Clone([tos(1, 3), OUT].into()), OUT],
                false,
            ),
            (vec![], vec![bits], true),
        ];
        for (one, other, expected) in cases {
            assert_eq!(same_effect(&one, &other, &flow()), expected, "{one:?} {other:?}");
            assert_eq!(same_effect(&other, &one, &flow()), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_label_is_followed_from_where_it_was_pushed() {
        let push = |lse| DpAction::PushMpls(PushMpls { ethertype: 0x8847, lse });
        let set = |value, mask| DpAction::SetMpls(Masked { value, mask });
        let one = [push(0x1140), set(0x2140, u32::MAX), OUT];
        let other = [push(0x1140), set(0x2000, 0xffff_f000), OUT];
        assert!(same_effect(&one, &other, &flow()));
        assert!(!same_effect(&one, &[push(0x1140), set(0x3000, 0xffff_f000), OUT], &flow()));
        assert!(!same_effect(&one, &[push(0x1240), set(0x2140, u32::MAX), OUT], &flow()));
        let popped = [push(0x1140), DpAction::PopMpls(0x0800), set(1, 1), OUT];
        let also = [push(0x1140), DpAction::PopMpls(0x0800), set(1, u32::MAX), OUT];
        assert!(same_effect(&popped, &also, &flow()));
    }
}
