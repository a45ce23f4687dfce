//! A controller is called as soon as DHCP has given an address, without a back-off before.

use netdev::fake::{Replay, ReplayHandle};
use packet::{Pool, PoolConfig};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
    EthernetProtocol, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use switch::mgmt::Address;
use switch::{Switch, SwitchParts};
use sync::time::Nanos;

const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const OURS: Ipv4Address = Ipv4Address::new(10, 0, 0, 15);

fn switch() -> (Switch, ReplayHandle) {
    let (netdev, nic) = Replay::new("mgmt", [2, 0, 0, 0, 0, 1], Vec::new());
    let parts = SwitchParts {
        agent: agent::AgentConfig {
            controllers: vec![(SERVER, 6653).into()],
            ..agent::AgentConfig::default()
        },
        management: Some((Box::new(netdev), Address::Dhcp)),
        self_check_one_in: 1,
        ..SwitchParts::new(Vec::new(), Pool::on_heap(PoolConfig { small: 1024, jumbo: 16 }))
    };
    (Switch::new(parts, Nanos::ZERO), nic)
}

/// What the server answers to a frame, if that is a question of DHCP.
fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let question = DhcpPacket::new_checked(datagram.payload()).ok()?;
    let question = DhcpRepr::parse(&question).ok()?;
    let message_type = match question.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request => DhcpMessageType::Ack,
        _ => return None,
    };
    let dhcp = DhcpRepr {
        message_type,
        your_ip: OURS,
        server_ip: SERVER,
        server_identifier: Some(SERVER),
        subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
        lease_duration: Some(3600),
        parameter_request_list: None,
        client_identifier: None,
        max_size: None,
        requested_ip: None,
        ..question
    };
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: SERVER,
        dst_addr: Ipv4Address::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: 8 + dhcp.buffer_len(),
        hop_limit: 64,
    };
    let mut out = EthernetFrame::new_unchecked(vec![0; 14 + ip.buffer_len() + ip.payload_len]);
    out.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 9]));
    out.set_dst_addr(EthernetAddress::BROADCAST);
    out.set_ethertype(EthernetProtocol::Ipv4);
    let checksums = ChecksumCapabilities::default();
    let mut packet = Ipv4Packet::new_unchecked(out.payload_mut());
    ip.emit(&mut packet, &checksums);
    let (from, to) = (SERVER.into(), Ipv4Address::BROADCAST.into());
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let fill = |bytes: &mut [u8]| {
        dhcp.emit(&mut DhcpPacket::new_unchecked(bytes)).expect("it fits");
    };
    udp.emit(&mut datagram, &from, &to, dhcp.buffer_len(), fill, &checksums);
    Some(out.into_inner())
}

/// Whether the frame asks who has the controller's address.
fn looks_for_controller(frame: &[u8]) -> bool {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return false };
    if frame.ethertype() != EthernetProtocol::Arp {
        return false;
    }
    let arp =
        ArpPacket::new_checked(frame.payload()).ok().and_then(|arp| ArpRepr::parse(&arp).ok());
    let Some(ArpRepr::EthernetIpv4 { target_protocol_addr, .. }) = arp else { return false };
    target_protocol_addr == SERVER
}

#[test]
fn a_controller_is_called_as_soon_as_there_is_an_address() {
    let (mut switch, nic) = switch();
    let mut lease_at = None;
    for k in 0..20_000_u64 {
        let now = Nanos::from_micros(100 * k);
        switch.control.poll(now);
        for frame in nic.captured() {
            if let Some(answer) = answer(&frame) {
                assert!(nic.inject(&answer));
                lease_at = Some(k);
            } else if looks_for_controller(&frame) {
                let waited = k - lease_at.expect("no call without an address");
                assert!(waited < 100, "called {waited} rounds after the lease");
                return;
            }
        }
    }
    panic!("the controller was never called (last answer in round {lease_at:?})");
}
