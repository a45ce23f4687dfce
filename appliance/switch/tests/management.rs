//! The management stack on a fake NIC, with segments made by hand.

use netdev::Netdev;
use netdev::fake::{Replay, ReplayHandle};
use packet::{Pool, PoolCache, PoolConfig};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress,
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use switch::mgmt::{Address, Event, Management};
use sync::time::Nanos;

const OURS: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const THEIRS: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const THEIR_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);
const SERVICE: u16 = 6653;

struct Bench {
    stack: Management,
    nic: ReplayHandle,
    now: Nanos,
}

/// A frame around `fill`'s `len` bytes.
fn frame(protocol: EthernetProtocol, len: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = EthernetFrame::new_unchecked(vec![0; 14 + len]);
    frame.set_src_addr(THEIR_MAC);
    frame.set_dst_addr(EthernetAddress::BROADCAST);
    frame.set_ethertype(protocol);
    fill(frame.payload_mut());
    frame.into_inner()
}

fn arp() -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: THEIR_MAC,
        source_protocol_addr: THEIRS,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: OURS,
    };
    frame(EthernetProtocol::Arp, repr.buffer_len(), |bytes| {
        repr.emit(&mut ArpPacket::new_unchecked(bytes));
    })
}

fn segment(from: u16, control: TcpControl, seq: i32, ack: Option<TcpSeqNumber>) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: from,
        dst_port: SERVICE,
        control,
        seq_number: TcpSeqNumber(seq),
        ack_number: ack,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: THEIRS,
        dst_addr: OURS,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let checksums = ChecksumCapabilities::default();
    let mut bytes = frame(EthernetProtocol::Ipv4, ip.buffer_len() + tcp.buffer_len(), |bytes| {
        let mut packet = Ipv4Packet::new_unchecked(bytes);
        ip.emit(&mut packet, &checksums);
        let (src, dst) = (IpAddress::Ipv4(THEIRS), IpAddress::Ipv4(OURS));
        tcp.emit(&mut TcpPacket::new_unchecked(packet.payload_mut()), &src, &dst, &checksums);
    });
    // The stack takes no TCP from broadcasts.
    bytes[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    bytes
}

impl Bench {
    fn new() -> Self {
        let mac = [2, 0, 0, 0, 0, 1];
        let pool = Pool::on_heap(PoolConfig { small: 1024, jumbo: 16 });
        let (mut netdev, nic) = Replay::new("mgmt", mac, Vec::new());
        let queues = netdev.open(1, &pool).expect("opens").remove(0);
        let address = Address::Static { address: OURS, prefix_len: 24, gateway: None };
        let mut stack = Management::new(mac, address, PoolCache::new(pool), 7, Nanos::ZERO);
        stack.replace_queues(Some(queues));
        stack.listen(SERVICE);
        let mut bench = Self { stack, nic, now: Nanos::ZERO };
        bench.send(&[arp()]);
        bench
    }

    /// Gives the frames to the NIC at once, lets the stack work, and gives its TCP segments: the
    /// port that each is for, what kind it is, and its sequence number.
    fn send(&mut self, frames: &[Vec<u8>]) -> Vec<(u16, TcpControl, TcpSeqNumber)> {
        for frame in frames {
            assert!(self.nic.inject(frame));
        }
        for _ in 0..10 {
            self.now = self.now.saturating_add(Nanos::from_micros(10));
            self.stack.poll(self.now);
        }
        let mut segments = Vec::new();
        for frame in self.nic.captured() {
            let frame = EthernetFrame::new_checked(&frame[..]).expect("a frame");
            if frame.ethertype() == EthernetProtocol::Ipv4 {
                let packet = Ipv4Packet::new_checked(frame.payload()).expect("a packet");
                let tcp = TcpPacket::new_checked(packet.payload()).expect("a segment");
                let control = match (tcp.rst(), tcp.syn()) {
                    (true, _) => TcpControl::Rst,
                    (_, true) => TcpControl::Syn,
                    _ => TcpControl::None,
                };
                segments.push((tcp.dst_port(), control, tcp.seq_number()));
            }
        }
        segments
    }
}

#[test]
fn peers_that_come_at_once_are_all_let_in() {
    let mut bench = Bench::new();
    let syns: Vec<_> = (1000..1012).map(|from| segment(from, TcpControl::Syn, 5, None)).collect();
    let answers = bench.send(&syns);
    let is_syn = |&&(_, control, _): &&(u16, TcpControl, TcpSeqNumber)| control == TcpControl::Syn;
    assert_eq!(answers.iter().filter(is_syn).count(), 12, "{answers:?}");
    let acks: Vec<_> = answers
        .iter()
        .map(|&(from, _, seq)| segment(from, TcpControl::None, 6, Some(seq + 1)))
        .collect();
    bench.send(&acks);
    let events: Vec<_> = core::iter::from_fn(|| bench.stack.next_event()).collect();
    assert_eq!(events.len(), 12, "{events:?}");
    assert!(events.iter().all(|event| matches!(event, Event::Accepted { port: SERVICE, .. })));
}

#[test]
fn peers_that_never_go_on_do_not_keep_others_out() {
    let mut bench = Bench::new();
    let syns: Vec<_> = (1000..1200).map(|from| segment(from, TcpControl::Syn, 5, None)).collect();
    bench.send(&syns);
    let answers = bench.send(&[segment(4000, TcpControl::Syn, 5, None)]);
    let ours = answers.iter().find(|(to, ..)| *to == 4000);
    let &(_, TcpControl::Syn, seq) = ours.expect("answered") else { panic!("{answers:?}") };
    bench.send(&[segment(4000, TcpControl::None, 6, Some(seq + 1))]);
    let event = bench.stack.next_event();
    assert!(matches!(event, Some(Event::Accepted { .. })), "{event:?}");
}
