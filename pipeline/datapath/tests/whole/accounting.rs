//! The law that no frame is lost silently, under random programs, frames, shortages and changes.

use std::sync::Arc;

use crate::common::{CORE, catch_all, udp_frame};
use datapath::{
    CheckPktLen, Command, DpAction, Dpif, DropReason, HashAction, HashKind, LocalConfig, LocalDpif,
    Masked, PacketInReason, PortNo, PushMpls, PushVlan, SetEth, SetIpv4, SetMeta, SetPorts,
    SlowPath, UpcallAction, UpcallReason,
};
use flow::Flow;
use packet::PoolConfig;
use proptest::{collection::vec, prelude::*};

#[derive(Debug, Clone)]
enum Step {
    /// A megaflow for a port and a recirculation id.
    Put(u32, u32, Vec<DpAction>),
    Delete(u32, u32),
    /// Frames come in together, on a port that may not exist.
    Receive(u32, Vec<Vec<u8>>),
    /// The control side makes a packet.
    PacketOut(u32, Vec<u8>, Vec<DpAction>),
    /// The control side answers so many upcalls with these actions.
    Answer(usize, Vec<DpAction>),
    AddPort(u32),
    RemovePort(u32),
    TxFull(u32, bool),
    Link(u32, bool),
    Sample(u32),
}

fn port() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1_u32..6, 1 => Just(77), 1 => Just(u32::MAX)]
}

fn action() -> impl Strategy<Value = DpAction> {
    let upcall = UpcallAction {
        reason: PacketInReason::Action,
        cookie: 0,
        rule_cookie: 0,
        controller_id: 0,
        max_len: 128,
    };
    let leaf = prop_oneof![
        6 => port().prop_map(crate::common::out),
        1 => Just(DpAction::Upcall(upcall)),
        1 => Just(DpAction::SlowPath(SlowPath::Action)),
        3 => (1_u32..4).prop_map(DpAction::Recirc),
        1 => (0_u32..100).prop_map(DpAction::Truncate),
        1 => Just(DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1001 })),
        1 => Just(DpAction::PopVlan),
        1 => Just(DpAction::PushMpls(PushMpls { ethertype: 0x8847, lse: 0x140 })),
        1 => Just(DpAction::PopMpls(0x0800)),
        1 => any::<[u8; 6]>().prop_map(|mac| {
            DpAction::SetEth(SetEth { src: Masked::exact(mac), dst: Masked::default() })
        }),
        1 => any::<u32>().prop_map(|address| {
            DpAction::SetIpv4(SetIpv4 { dst: Masked::exact(address), ..SetIpv4::default() })
        }),
        1 => any::<u16>().prop_map(|port| {
            DpAction::SetTcp(SetPorts { src: Masked::exact(port), dst: Masked::default() })
        }),
        1 => any::<u32>().prop_map(|mark| DpAction::SetMeta(SetMeta::PktMark(Masked::exact(mark)))),
        1 => Just(DpAction::Hash(HashAction { kind: HashKind::L4, basis: 1 })),
        1 => Just(DpAction::Meter(1)),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let check = (0_u16..120, program_of(inner.clone()), program_of(inner.clone()));
        prop_oneof![
            2 => program_of(inner).prop_map(|inner| DpAction::Clone(Arc::from(inner))),
            1 => check.prop_map(|(len, greater, less_equal)| {
                let (greater, less_equal) = (greater.into(), less_equal.into());
                DpAction::CheckPktLen(CheckPktLen { len, greater, less_equal })
            }),
        ]
    })
}

/// A program, sometimes with a reason to drop at its end.
fn program_of(action: impl Strategy<Value = DpAction>) -> impl Strategy<Value = Vec<DpAction>> {
    (vec(action, 0..5), prop::bool::weighted(0.2)).prop_map(|(mut actions, is_drop)| {
        if is_drop {
            actions.push(DpAction::Drop(DropReason::ActionDrop));
        }
        actions
    })
}

fn program() -> impl Strategy<Value = Vec<DpAction>> {
    program_of(action())
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0_u16..3).prop_map(udp_frame),
        1 => (0_usize..60, 0_u16..3).prop_map(|(len, port)| {
            let mut frame = udp_frame(port);
            frame.truncate(len);
            frame
        }),
        1 => vec(any::<u8>(), 0..200),
        1 => (2000_usize..9500).prop_map(|len| vec![7; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u32..6, 0_u32..4, program()).prop_map(|(p, id, a)| Step::Put(p, id, a)),
        1 => (1_u32..6, 0_u32..4).prop_map(|(p, id)| Step::Delete(p, id)),
        8 => (port(), vec(frame(), 1..40)).prop_map(|(p, frames)| Step::Receive(p, frames)),
        2 => (port(), frame(), program()).prop_map(|(p, frame, a)| Step::PacketOut(p, frame, a)),
        4 => (1_usize..20, program()).prop_map(|(n, a)| Step::Answer(n, a)),
        1 => (1_u32..6).prop_map(Step::AddPort),
        1 => (1_u32..6).prop_map(Step::RemovePort),
        1 => (1_u32..6, any::<bool>()).prop_map(|(p, is_full)| Step::TxFull(p, is_full)),
        1 => (1_u32..6, any::<bool>()).prop_map(|(p, has_link)| Step::Link(p, has_link)),
        1 => (0_u32..5).prop_map(Step::Sample),
    ]
}

/// Answers up to `n` upcalls, and returns how many it has answered.
fn answer(dpif: &mut LocalDpif, n: usize, actions: &Arc<[DpAction]>) -> usize {
    for answered in 0..n {
        let Some(upcall) = dpif.next_upcall() else {
            return answered;
        };
        match upcall.reason {
            UpcallReason::Miss | UpcallReason::SlowPath(_) => {
                dpif.execute(upcall.packet, &upcall.flow, actions);
            }
            // Counted as consumed when it was accepted.
            UpcallReason::Action(_) => drop(upcall.packet),
        }
    }
    n
}

fn run(steps: Vec<Step>) {
    let mut dpif = LocalDpif::with(LocalConfig {
        pool: PoolConfig { small: 96, jumbo: 8 },
        upcall_queue_len: 20,
        ..LocalConfig::default()
    });
    (1..=4).for_each(|port| dpif.add_port(PortNo(port)));
    let mut n_frames = 0;
    for step in steps {
        match step {
            Step::Put(port, id, actions) => {
                // Refused when it meters or the port is not there: then packets go on missing.
                let _ = dpif.flow_put(CORE, catch_all(port, id, &actions));
            }
            Step::Delete(port, id) => {
                let ufid = catch_all(port, id, &[]).ufid;
                assert_eq!(dpif.flow_delete(CORE, ufid), Ok(()));
            }
            Step::Receive(port, frames) => {
                n_frames += frames.len() as u64;
                dpif.receive_batch(PortNo(port), frames.iter().map(Vec::as_slice));
            }
            Step::PacketOut(port, frame, actions) => {
                let mut flow = Flow::ZERO;
                flow.set_in_port(port);
                if let Some(packet) = dpif.packet_from(&frame) {
                    dpif.execute(packet, &flow, &Arc::from(actions));
                }
            }
            Step::Answer(n, actions) => {
                answer(&mut dpif, n, &Arc::from(actions));
            }
            Step::AddPort(port) => dpif.add_port(PortNo(port)),
            Step::RemovePort(port) => dpif.remove_port(PortNo(port)),
            Step::TxFull(port, is_full) => dpif.set_tx_full(PortNo(port), is_full),
            Step::Link(port, has_link) => dpif.set_link(PortNo(port), has_link),
            Step::Sample(one_in) => dpif.apply(Command::SetSampling(one_in)),
        }
        let in_flight = dpif.accounting().in_flight();
        assert!((0..=20).contains(&in_flight), "{in_flight} in flight, 20 upcalls can wait");
    }
    // Answer everything with a reason: then nothing is in flight.
    let nothing = Arc::from([DpAction::Drop(DropReason::NoRule)]);
    while answer(&mut dpif, 1, &nothing) > 0 {}
    let sums = dpif.accounting();
    assert!(sums.holds(), "{sums:?}");
    assert_eq!(sums.received, n_frames, "every frame was counted when it came");
    let n_transmitted = dpif.take_transmitted().len() as u64;
    assert_eq!(sums.transmitted, n_transmitted, "and every one that left");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_silently(steps in vec(step(), 1..60)) {
        run(steps);
    }
}
