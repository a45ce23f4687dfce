//! What the tests of the datapath share.

use std::sync::Arc;

use datapath::{CoreId, DpAction, Dpif, LocalDpif, Megaflow, PortNo, Ufid};
use flow::{Field, Flow, Mask};
use packet::build::{Ipv4, ethernet, udp};

pub(crate) const CORE: CoreId = CoreId(0);
pub(crate) const SRC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const DST: [u8; 6] = [2, 0, 0, 0, 0, 2];

pub(crate) fn out(port: u32) -> DpAction {
    DpAction::Output(PortNo(port))
}

/// A datapath with ports 1 to `n`.
pub(crate) fn with_ports(n: u32) -> LocalDpif {
    let mut dpif = LocalDpif::new();
    (1..=n).for_each(|port| dpif.add_port(PortNo(port)));
    dpif
}

/// A UDP frame from `src_port`.
pub(crate) fn udp_frame(src_port: u16) -> Vec<u8> {
    ethernet(DST, SRC, 0x0800, &udp(&Ipv4::default().into(), src_port, 53, b"hello"))
}

/// A megaflow for everything from `in_port` with this recirculation id.
pub(crate) fn catch_all(in_port: u32, recirc_id: u32, actions: &[DpAction]) -> Arc<Megaflow> {
    let mut key = Flow::ZERO;
    key.set_in_port(in_port);
    key.set_recirc_id(recirc_id);
    Arc::new(Megaflow::new(&key, Mask::ZERO, Arc::from(actions)))
}

/// A megaflow for UDP frames from `in_port` with source port `tp_src`.
pub(crate) fn for_udp(in_port: u32, tp_src: u16, actions: &[DpAction]) -> Arc<Megaflow> {
    let mut key = Flow::ZERO;
    key.set_in_port(in_port);
    key.set_eth_type(0x0800);
    key.set_nw_proto(17);
    key.set_tp_src(tp_src);
    let mut mask = Mask::ZERO;
    for field in [Field::EthType, Field::IpProto, Field::UdpSrc] {
        mask.set_exact(field);
    }
    Arc::new(Megaflow::new(&key, mask, Arc::from(actions)))
}

/// Installs and returns the name.
pub(crate) fn put(dpif: &mut LocalDpif, flow: Arc<Megaflow>) -> Ufid {
    let ufid = flow.ufid;
    assert_eq!(dpif.flow_put(CORE, flow), Ok(()));
    ufid
}
