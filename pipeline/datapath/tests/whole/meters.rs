//! Meters as an action: what passes, what is dropped or remarked, and that all of it is counted.

use crate::common::{DST, SRC, catch_all, out, put, udp_frame, with_ports};
use datapath::{
    BandKind, DpAction, Dpif, DropReason, LocalDpif, MeterBand, MeterConfig, MeterUnit, PortNo,
};
use packet::build::{Ipv4, Ipv6, ethernet, udp};
use sync::time::Nanos;

fn set(dpif: &mut LocalDpif, id: u32, kind: BandKind, rate: u32) {
    let bands = vec![MeterBand { kind, rate, burst: 0 }];
    let config = MeterConfig { unit: MeterUnit::Pktps, bands };
    assert_eq!(dpif.meter_set(id, &config, Nanos::ZERO), Ok(()));
}

fn receive(dpif: &mut LocalDpif, n: usize, frame: &[u8]) -> Vec<(PortNo, Vec<u8>)> {
    dpif.receive_batch(PortNo(1), std::iter::repeat_n(frame, n));
    dpif.take_transmitted()
}

fn drops(dpif: &LocalDpif, reason: DropReason) -> u64 {
    dpif.port_stats(PortNo(1)).drops.get(reason)
}

#[test]
fn what_exceeds_is_dropped_and_the_rest_goes_on() {
    let mut dpif = with_ports(3);
    set(&mut dpif, 1, BandKind::Drop, 5);
    put(&mut dpif, catch_all(1, 0, &[out(3), DpAction::Meter(1), out(2)]));
    let sent = receive(&mut dpif, 20, &udp_frame(1));
    let to = |port| sent.iter().filter(|(to, _)| *to == PortNo(port)).count();
    assert_eq!((to(3), to(2)), (20, 5), "what goes out before the meter is not metered");
    assert_eq!(drops(&dpif, DropReason::MeterExceeded), 15);
    let stats = dpif.meter_stats(1).expect("set");
    assert_eq!((stats.packets, stats.bands[0].packets), (20, 15));
    assert_eq!(stats.bytes, 20 * udp_frame(1).len() as u64);
    dpif.set_now(Nanos::from_millis(400));
    assert_eq!(receive(&mut dpif, 20, &udp_frame(1)).len(), 20 + 2);
    assert!(dpif.accounting().holds());
}

#[test]
fn a_clone_is_metered_apart() {
    let mut dpif = with_ports(3);
    set(&mut dpif, 1, BandKind::Drop, 2);
    let metered = DpAction::Clone([DpAction::Meter(1), out(2)].into());
    put(&mut dpif, catch_all(1, 0, &[metered, out(3)]));
    let sent = receive(&mut dpif, 4, &udp_frame(1));
    let to = |port| sent.iter().filter(|(to, _)| *to == PortNo(port)).count();
    assert_eq!((to(2), to(3)), (2, 4));
    assert!(dpif.accounting().holds());
}

#[test]
fn remarks_raise_the_drop_precedence_of_ip() {
    let mut dpif = with_ports(2);
    set(&mut dpif, 9, BandKind::DscpRemark { prec_level: 1 }, 1);
    put(&mut dpif, catch_all(1, 0, &[DpAction::Meter(9), out(2)]));
    // AF21 and AF22, with a bit of congestion notification.
    let (af21, af22) = (18 << 2 | 1, 20 << 2 | 1);
    let v4 =
        |tos| ethernet(DST, SRC, 0x0800, &udp(&Ipv4 { tos, ..Ipv4::default() }.into(), 1, 2, b""));
    let v6 = |class| {
        let ip = Ipv6 { class, ..Ipv6::default() };
        ethernet(DST, SRC, 0x86dd, &udp(&ip.into(), 1, 2, b""))
    };
    let arp = ethernet(DST, SRC, 0x0806, &[0; 28]);
    for (before, after) in [(v4(af21), v4(af22)), (v6(af21), v6(af22)), (arp.clone(), arp)] {
        set(&mut dpif, 9, BandKind::DscpRemark { prec_level: 1 }, 1);
        let sent: Vec<_> = receive(&mut dpif, 2, &before).into_iter().map(|(_, f)| f).collect();
        assert_eq!(sent, [before, after]);
        assert_eq!(dpif.meter_stats(9).expect("set").bands[0].packets, 1);
    }
    assert!(dpif.accounting().holds());
}

#[test]
fn without_a_meter_or_behind_one_packets_are_drops() {
    let mut dpif = with_ports(2);
    put(&mut dpif, catch_all(1, 0, &[DpAction::Meter(4), out(2)]));
    assert_eq!(receive(&mut dpif, 2, &udp_frame(1)), []);
    assert_eq!(drops(&dpif, DropReason::NoSuchMeter), 2);
    set(&mut dpif, 4, BandKind::Drop, 1);
    assert_eq!(receive(&mut dpif, 2, &udp_frame(1)).len(), 1);
    assert_eq!(dpif.meter_delete(4).map(|stats| stats.packets), Some(2));
    assert_eq!(receive(&mut dpif, 1, &udp_frame(1)), []);
    set(&mut dpif, 5, BandKind::Drop, 1);
    put(&mut dpif, catch_all(1, 0, &[DpAction::Meter(5)]));
    assert_eq!(receive(&mut dpif, 3, &udp_frame(1)), []);
    assert_eq!(drops(&dpif, DropReason::EmptyActions), 1, "it passed, to nowhere");
    assert!(dpif.accounting().holds());
}
