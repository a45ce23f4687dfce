//! A datapath program and a frame to run it on.
//!
//! The input is a count of actions, the actions, and the frame. Asserted:
//! - nothing panics, and the accounting law holds when all upcalls are answered;
//! - a small model of each edit, on keys, tells the key of each frame that leaves, as long as the
//!   edits are such as a translation makes (a header is set only where it is);
//! - a checksum that was right before is right after.

use std::cell::RefCell;
use std::sync::Arc;

use datapath::{
    CheckPktLen, CoreId, DpAction, Dpif, HashAction, HashKind, LocalConfig, LocalDpif, Masked,
    Megaflow, PacketInReason, PortNo, PushMpls, PushVlan, SetArp, SetEth, SetIcmp, SetIpv4,
    SetIpv6, SetMeta, SetNd, SetNdExt, SetPorts, SlowPath, TtlCopy, UpcallAction, UpcallReason,
};
use flow::{Field, Flow, FlowMeta, Malformed, Mask, extract};
use packet::PoolConfig;

use crate::bytes::Bytes;
use crate::sums::{self, Sum};
use crate::{Behaviour, behaviour};

/// Ports 1 to 4 exist.
const N_PORTS: u32 = 4;

thread_local! {
    /// Empty until needed, and after a law was broken.
    static DATAPATH: RefCell<Option<LocalDpif>> = const { RefCell::new(None) };
}

fn datapath() -> LocalDpif {
    let mut dpif = LocalDpif::with(LocalConfig {
        pool: PoolConfig { small: 128, jumbo: 8 },
        upcall_queue_len: 16,
        ..LocalConfig::default()
    });
    for port in 1..=N_PORTS {
        dpif.add_port(PortNo(port));
    }
    dpif
}

/// Runs the target.
pub fn actions(data: &[u8]) -> Behaviour {
    let mut bytes = Bytes::new(data);
    let program = program(&mut bytes, 0);
    let frame = bytes.rest();
    let mut dpif = DATAPATH.take().unwrap_or_else(datapath);
    let behaviour = run(&mut dpif, &program, frame);
    DATAPATH.set(Some(dpif));
    behaviour
}

fn run(dpif: &mut LocalDpif, program: &[DpAction], frame: &[u8]) -> Behaviour {
    let mut key = Flow::ZERO;
    key.set_in_port(1);
    let actions: Arc<[DpAction]> = Arc::from(program);
    let megaflow = Arc::new(Megaflow::new(&key, Mask::ZERO, actions.clone()));
    let ufid = megaflow.ufid;
    let is_installed = dpif.flow_put(CoreId(0), megaflow).is_ok();
    assert_eq!(is_installed, datapath::action::validate(program).is_ok());

    dpif.receive(PortNo(1), frame);
    // A program that recirculates asks again for ever, so answers end it.
    while let Some(upcall) = dpif.next_upcall() {
        if !matches!(upcall.reason, UpcallReason::Action(_)) {
            let flow = upcall.flow;
            dpif.discard(upcall.packet, &flow, datapath::DropReason::ActionDrop);
        }
    }
    let left = dpif.take_transmitted();
    let accounting = dpif.accounting();
    assert!(accounting.holds(), "{accounting:?} after {program:?}");
    assert_eq!(dpif.flow_delete(CoreId(0), ufid), Ok(()));

    let found = extract(frame, &FlowMeta::of_port(1));
    if is_installed && frame.len() <= 2000 {
        predict(program, frame, &found, &left);
    }
    let kinds = program.iter().fold(0, |set, action| set | 1 << tag(action));
    behaviour(&[kinds, super::frame::kind(&found), left.len() as u64])
}

/// Compares what left with what the model says, up to where the model does not know.
fn predict(
    program: &[DpAction],
    frame: &[u8],
    found: &flow::Extracted,
    left: &[(PortNo, Vec<u8>)],
) {
    let mut outputs = Vec::new();
    let model = Model {
        flow: found.flow,
        malformed: found.malformed,
        has_l4: found.offsets.l4().is_some(),
    };
    // Either way `outputs` has all that the model is sure of.
    let _ = model.run(program, &mut outputs);
    let before =
        found.offsets.l3().map(|l3| sums::of_frame(frame, found.flow.eth_type(), l3.into()));
    for (at, (port, expected)) in outputs.into_iter().enumerate() {
        let Some((to, bytes)) = left.get(at) else {
            panic!("output {at}, to {port:?}, did not happen: {program:?}");
        };
        assert_eq!(*to, port, "output {at} of {program:?}");
        let after = extract(bytes, &FlowMeta::of_port(1));
        assert_eq!(after.flow, expected, "output {at} of {program:?}");
        let Some((network, transport)) = before else {
            continue;
        };
        if after.flow.eth_type() != found.flow.eth_type() {
            continue;
        }
        let l3 = after.offsets.l3().unwrap_or(0).into();
        let (network_after, transport_after) = sums::of_frame(bytes, after.flow.eth_type(), l3);
        assert!(
            network != Sum::Right || network_after == Sum::Right,
            "IPv4 checksum broken by {program:?}"
        );
        assert!(
            transport != Sum::Right || transport_after == Sum::Right,
            "transport checksum broken by {program:?}"
        );
    }
}

/// What a frame is to the model.
#[derive(Clone, Copy)]
struct Model {
    flow: Flow,
    malformed: Option<Malformed>,
    has_l4: bool,
}

/// The model does not know.
struct Unknown;

impl Model {
    /// Appends port and key of each output, until the end (`Ok`) or until something is unknown.
    fn run(
        mut self,
        program: &[DpAction],
        outputs: &mut Vec<(PortNo, Flow)>,
    ) -> Result<(), Unknown> {
        // What stands behind the last output is not run.
        let last = program.iter().rposition(takes).ok_or(Unknown)?;
        for action in &program[..=last] {
            match action {
                DpAction::Output(port) if (1..=N_PORTS).contains(&port.0) => {
                    outputs.push((*port, self.flow));
                }
                DpAction::Output(_) | DpAction::SetMeta(_) | DpAction::Upcall(_) => {}
                // A drop inside a clone concerns the clone.
                DpAction::Clone(inner) if inner.iter().any(takes) => self.run(inner, outputs)?,
                DpAction::Clone(_) => {}
                DpAction::Drop(_) => return Ok(()),
                _ => self.edit(action).ok_or(Unknown)?,
            }
        }
        Ok(())
    }

    fn set<const N: usize>(&mut self, fields: [(Field, u128, u128); N]) -> Option<()> {
        for (field, value, mask) in fields {
            self.flow.set_masked(field, value, mask);
        }
        Some(())
    }

    /// The key after the edit, if it is one that a translation makes on such a frame.
    fn edit(&mut self, action: &DpAction) -> Option<()> {
        let before_pbb = self.flow;
        let flow = &mut self.flow;
        if self.malformed == Some(Malformed::Ethernet) {
            return None;
        }
        let damage = self.malformed;
        let has = |condition: bool| condition.then_some(());
        match action {
            DpAction::SetEth(set) => {
                let mac = |masked: Masked<[u8; 6]>| (number(masked.value), number(masked.mask));
                let ((src, src_mask), (dst, dst_mask)) = (mac(set.src), mac(set.dst));
                self.set([(Field::EthSrc, src, src_mask), (Field::EthDst, dst, dst_mask)])
            }
            DpAction::SetIpv4(set) => {
                has(flow.eth_type() == 0x0800 && damage.is_none())?;
                self.set([
                    (Field::Ipv4Src, set.src.value.into(), set.src.mask.into()),
                    (Field::Ipv4Dst, set.dst.value.into(), set.dst.mask.into()),
                    (Field::IpTtl, set.ttl.value.into(), set.ttl.mask.into()),
                    (Field::IpDscp, set.tos.value.into(), (set.tos.mask & 0xfc).into()),
                    (Field::IpEcn, (set.tos.value & 3).into(), (set.tos.mask & 3).into()),
                ])
            }
            DpAction::SetIpv6(set) => {
                has(flow.eth_type() == 0x86dd && damage.is_none())?;
                has(set.label.value & set.label.mask >> 20 == 0 && set.label.mask >> 20 == 0)?;
                self.set([
                    (Field::Ipv6Src, set.src.value, set.src.mask),
                    (Field::Ipv6Dst, set.dst.value, set.dst.mask),
                    (Field::Ipv6Label, set.label.value.into(), set.label.mask.into()),
                    (Field::IpTtl, set.hlimit.value.into(), set.hlimit.mask.into()),
                    (Field::IpDscp, set.tclass.value.into(), (set.tclass.mask & 0xfc).into()),
                    (Field::IpEcn, (set.tclass.value & 3).into(), (set.tclass.mask & 3).into()),
                ])
            }
            DpAction::SetTcp(set) => {
                has(self.has_l4 && flow.nw_proto() == 6)?;
                self.ports(*set)
            }
            DpAction::SetUdp(set) => {
                has(self.has_l4 && flow.nw_proto() == 17)?;
                self.ports(*set)
            }
            DpAction::SetSctp(set) => {
                has(self.has_l4 && flow.nw_proto() == 132)?;
                self.ports(*set)
            }
            DpAction::SetIcmp(set) => {
                has(self.has_l4 && flow.eth_type() == 0x0800 && flow.nw_proto() == 1)?;
                self.kind_and_code(*set)
            }
            DpAction::SetIcmpv6(set) => {
                has(self.has_l4 && flow.eth_type() == 0x86dd && flow.nw_proto() == 58)?;
                let was_nd = flow.tp_src() == 135 || flow.tp_src() == 136;
                self.kind_and_code(*set)?;
                let is_nd = self.flow.tp_src() == 135 || self.flow.tp_src() == 136;
                has(!was_nd && !is_nd)
            }
            DpAction::SetArp(set) => {
                has(flow.is_arp() && damage.is_none())?;
                has(set.op.mask == 0)?;
                let mac = |masked: Masked<[u8; 6]>| (number(masked.value), number(masked.mask));
                let ((sha, sha_mask), (tha, tha_mask)) = (mac(set.sha), mac(set.tha));
                self.set([
                    (Field::ArpSpa, set.spa.value.into(), set.spa.mask.into()),
                    (Field::ArpTpa, set.tpa.value.into(), set.tpa.mask.into()),
                    (Field::ArpSha, sha, sha_mask),
                    (Field::ArpTha, tha, tha_mask),
                ])
            }
            DpAction::SetMpls(lse) => {
                has(flow.is_mpls() && damage.is_none() && lse.mask & 0x100 == 0)?;
                let old = flow.mpls_lse(0);
                flow.set_mpls_lse(0, old & !lse.mask | lse.value & lse.mask);
                Some(())
            }
            DpAction::PushVlan(tag) => {
                has(flow.n_vlans() < 2 && damage != Some(Malformed::Vlan))?;
                has(matches!(tag.tpid, 0x8100 | 0x88a8) && !is_tpid(flow.eth_type()))?;
                flow.push_vlan(tag.tpid, tag.tci);
                Some(())
            }
            DpAction::PopVlan => {
                has(flow.n_vlans() > 0 && damage != Some(Malformed::Vlan))?;
                has(!is_tpid(flow.eth_type()))?;
                flow.pop_vlan();
                // A frame that is filled up may be whole then.
                has(damage.is_none())
            }
            DpAction::PushMpls(entry) => {
                has(damage.is_none() && matches!(entry.ethertype, 0x8847 | 0x8848))?;
                has((entry.lse & 0x100 == 0) == flow.is_mpls() && entry.lse != 0)?;
                // A length and a SNAP header are not Ethernet types that a label can stand behind.
                has(flow.eth_type() >= 0x0600 && !is_tpid(flow.eth_type()))?;
                let (first, second) = (flow.mpls_lse(0), flow.mpls_lse(1));
                flow.clear_above_l2();
                // A service tag is behind the label then.
                flow.set_pbb_isid(0);
                flow.set_pbb_uca(0);
                flow.set_eth_type(entry.ethertype);
                flow.set_mpls_lse(0, entry.lse);
                flow.set_mpls_lse(1, first);
                flow.set_mpls_lse(2, second);
                self.has_l4 = false;
                Some(())
            }
            DpAction::PushPbb(tci) => {
                *flow = Flow::ZERO;
                let old = before_pbb;
                flow.set_in_port(old.in_port());
                flow.set_eth_dst(old.eth_dst());
                flow.set_eth_src(old.eth_src());
                flow.set_eth_type(0x88e7);
                flow.set_pbb_isid(tci & 0xff_ffff);
                flow.set_pbb_uca(u8::from(tci >> 27 & 1 != 0));
                (self.malformed, self.has_l4) = (None, false);
                Some(())
            }
            DpAction::SetPbb(tci) => {
                has(flow.eth_type() == 0x88e7 && damage.is_none())?;
                self.set([
                    (Field::PbbIsid, tci.value.into(), (tci.mask & 0xff_ffff).into()),
                    (Field::PbbUca, (tci.value >> 27).into(), (tci.mask >> 27 & 1).into()),
                ])
            }
            DpAction::SetTcpFlags(flags) => {
                has(self.has_l4 && flow.nw_proto() == 6)?;
                self.set([(Field::TcpFlags, flags.value.into(), (flags.mask & 0xfff).into())])
            }
            _ => None,
        }
    }

    fn ports(&mut self, set: SetPorts) -> Option<()> {
        self.set([
            (Field::TcpSrc, set.src.value.into(), set.src.mask.into()),
            (Field::TcpDst, set.dst.value.into(), set.dst.mask.into()),
        ])
    }

    fn kind_and_code(&mut self, set: SetIcmp) -> Option<()> {
        self.set([
            (Field::TcpSrc, set.kind.value.into(), set.kind.mask.into()),
            (Field::TcpDst, set.code.value.into(), set.code.mask.into()),
        ])
    }
}

fn is_tpid(ty: u16) -> bool {
    matches!(ty, 0x8100 | 0x88a8)
}

fn takes(action: &DpAction) -> bool {
    matches!(
        action,
        DpAction::Output(_)
            | DpAction::Upcall(_)
            | DpAction::SlowPath(_)
            | DpAction::Recirc(_)
            | DpAction::Clone(_)
            | DpAction::CheckPktLen(_)
            | DpAction::Drop(_)
    )
}

fn number(mac: [u8; 6]) -> u128 {
    mac.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Which action, for behaviours.
fn tag(action: &DpAction) -> u32 {
    match action {
        DpAction::Output(_) => 0,
        DpAction::Upcall(_) => 1,
        DpAction::SlowPath(_) => 2,
        DpAction::SetEth(_) => 3,
        DpAction::SetIpv4(_) => 4,
        DpAction::SetIpv6(_) => 5,
        DpAction::SetTcp(_) | DpAction::SetUdp(_) | DpAction::SetSctp(_) => 6,
        DpAction::SetIcmp(_) | DpAction::SetIcmpv6(_) => 7,
        DpAction::SetArp(_) => 8,
        DpAction::SetNd(_) | DpAction::SetNdExt(_) => 9,
        DpAction::SetMpls(_) => 10,
        DpAction::SetMeta(_) => 11,
        DpAction::PushVlan(_) => 12,
        DpAction::PopVlan => 13,
        DpAction::PushMpls(_) => 14,
        DpAction::PopMpls(_) => 15,
        DpAction::Truncate(_) => 16,
        DpAction::Clone(_) => 17,
        DpAction::Recirc(_) => 18,
        DpAction::Hash(_) => 19,
        DpAction::Meter(_) => 20,
        DpAction::Police(_) => 20,
        DpAction::Drop(_) => 21,
        DpAction::CheckPktLen(_) => 22,
        DpAction::PushPbb(_) | DpAction::PopPbb | DpAction::SetPbb(_) => 23,
        DpAction::CopyTtl(_) => 24,
        DpAction::SetEthType(_) | DpAction::SetIpProto(_) => 25,
        DpAction::SetTcpFlags(_) => 26,
    }
}

fn program(bytes: &mut Bytes<'_>, depth: usize) -> Vec<DpAction> {
    let n = bytes.u8() % 12;
    (0..n).map(|_| action(bytes, depth)).collect()
}

fn action(bytes: &mut Bytes<'_>, depth: usize) -> DpAction {
    match bytes.u8() % 30 {
        0..=2 => DpAction::Output(PortNo(u32::from(bytes.u8() % 6))),
        3 => DpAction::Upcall(UpcallAction {
            reason: PacketInReason::Action,
            cookie: 0,
            rule_cookie: 0,
            controller_id: 0,
            max_len: bytes.u16(),
        }),
        4 => DpAction::SlowPath(SlowPath::Action),
        5 => DpAction::SetEth(SetEth { src: mac(bytes), dst: mac(bytes) }),
        6 | 7 => DpAction::SetIpv4(SetIpv4 {
            src: word(bytes),
            dst: word(bytes),
            tos: byte(bytes),
            ttl: byte(bytes),
        }),
        8 | 9 => {
            let (src, dst) = (wide(bytes), wide(bytes));
            let label = word(bytes);
            DpAction::SetIpv6(SetIpv6 {
                src,
                dst,
                label: Masked { value: label.value & 0xf_ffff, mask: label.mask & 0xf_ffff },
                tclass: byte(bytes),
                hlimit: byte(bytes),
            })
        }
        10 => DpAction::SetTcp(ports(bytes)),
        11 => DpAction::SetUdp(ports(bytes)),
        12 => DpAction::SetSctp(ports(bytes)),
        13 => DpAction::SetIcmp(SetIcmp { kind: byte(bytes), code: byte(bytes) }),
        14 => DpAction::SetIcmpv6(SetIcmp { kind: byte(bytes), code: byte(bytes) }),
        15 => DpAction::SetArp(SetArp {
            op: short(bytes),
            spa: word(bytes),
            tpa: word(bytes),
            sha: mac(bytes),
            tha: mac(bytes),
        }),
        16 => DpAction::SetNd(SetNd { target: wide(bytes), sll: mac(bytes), tll: mac(bytes) }),
        17 => DpAction::SetNdExt(SetNdExt { reserved: word(bytes), options_type: byte(bytes) }),
        18 => DpAction::SetMpls(word(bytes)),
        19 => match bytes.u8() % 5 {
            0 => DpAction::SetMeta(SetMeta::PktMark(word(bytes))),
            1 => DpAction::SetMeta(SetMeta::SkbPriority(word(bytes))),
            2 => DpAction::Hash(HashAction { kind: HashKind::SymL4, basis: bytes.u32() }),
            3 => DpAction::Meter(bytes.u32()),
            _ => DpAction::Drop(datapath::DropReason::ActionDrop),
        },
        20 => DpAction::PushVlan(PushVlan {
            tpid: [0x8100, 0x88a8, 0x8100, bytes.u16()][usize::from(bytes.u8() % 4)],
            tci: bytes.u16(),
        }),
        21 => DpAction::PopVlan,
        22 => DpAction::PushMpls(PushMpls {
            ethertype: [0x8847, 0x8848, 0x8847, bytes.u16()][usize::from(bytes.u8() % 4)],
            lse: bytes.u32(),
        }),
        23 => DpAction::PopMpls([0x0800, 0x86dd, 0x8847, bytes.u16()][usize::from(bytes.u8() % 4)]),
        24 => DpAction::Truncate(bytes.u16().into()),
        26 if depth < 10 => DpAction::CheckPktLen(CheckPktLen {
            len: bytes.u16() % 256,
            greater: program(bytes, depth + 1).into(),
            less_equal: program(bytes, depth + 1).into(),
        }),
        27 => match bytes.u8() % 4 {
            0 => DpAction::PushPbb(bytes.u32()),
            1 => DpAction::PopPbb,
            _ => DpAction::SetPbb(word(bytes)),
        },
        28 => match bytes.u8() % 2 {
            0 => DpAction::CopyTtl(TtlCopy::In),
            _ => DpAction::CopyTtl(TtlCopy::Out),
        },
        29 => match bytes.u8() % 3 {
            0 => DpAction::SetEthType(bytes.u16()),
            1 => DpAction::SetIpProto(bytes.u8()),
            _ => DpAction::SetTcpFlags(short(bytes)),
        },
        _ if depth < 10 => match bytes.u8() % 4 {
            0 => DpAction::Recirc(u32::from(bytes.u8() % 3)),
            _ => DpAction::Clone(Arc::from(program(bytes, depth + 1))),
        },
        _ => DpAction::PopVlan,
    }
}

/// All bits, none, or some.
fn mask<const N: usize>(bytes: &mut Bytes<'_>) -> [u8; N] {
    match bytes.u8() % 4 {
        0 => [0; N],
        1 | 2 => [0xff; N],
        _ => bytes.array(),
    }
}

fn mac(bytes: &mut Bytes<'_>) -> Masked<[u8; 6]> {
    let mask = mask(bytes);
    Masked { value: bytes.array(), mask }
}

fn word(bytes: &mut Bytes<'_>) -> Masked<u32> {
    let mask = u32::from_be_bytes(mask(bytes));
    Masked { value: bytes.u32(), mask }
}

fn short(bytes: &mut Bytes<'_>) -> Masked<u16> {
    let mask = u16::from_be_bytes(mask(bytes));
    Masked { value: bytes.u16(), mask }
}

fn byte(bytes: &mut Bytes<'_>) -> Masked<u8> {
    let [mask] = mask(bytes);
    Masked { value: bytes.u8(), mask }
}

fn wide(bytes: &mut Bytes<'_>) -> Masked<u128> {
    let mask = u128::from_be_bytes(mask(bytes));
    Masked { value: bytes.u128(), mask }
}

fn ports(bytes: &mut Bytes<'_>) -> SetPorts {
    SetPorts { src: short(bytes), dst: short(bytes) }
}
