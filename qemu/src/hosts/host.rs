//! One host: smoltcp's stack and four small programs on it (ping, UDP echo in both directions,
//! a stream in both directions).

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::storage::PacketMetadata;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr, IpEndpoint,
};

use super::device::FrameSocket;
use super::{HostConfig, HostEvent, Traffic};

const ECHO_PORT: u16 = 7;
const PROBE_PORT: u16 = 40_007;
const STREAM_PORT: u16 = 5001;
/// Source ports of streams count up from here, so that an old connection's segments are no matter.
const FIRST_STREAM_SOURCE: u16 = 49_152;
const STREAM_BUFFER: usize = 64 * 1024;
const PIECE: [u8; 4096] = [0x75; 4096];
/// A stream that makes no progress for so long is given up.
const STREAM_PATIENCE: Duration = Duration::from_secs(5);
const PING_BYTES: usize = 56;

pub(super) struct Host {
    index: usize,
    device: FrameSocket,
    stack: Interface,
    sockets: SocketSet<'static>,
    icmp: SocketHandle,
    echo: SocketHandle,
    probe: SocketHandle,
    receiver: SocketHandle,
    sender: SocketHandle,
    peers: Vec<Ipv4Addr>,
    traffic: Traffic,
    next_probe: Duration,
    n_probes: u16,
    awaited: [Option<Awaited>; 2],
    stream: Option<Stream>,
    n_streams: u16,
}

/// A question without an answer yet.
#[derive(Clone, Copy)]
struct Awaited {
    to: usize,
    seq: u16,
    since: Duration,
}

const PING: usize = 0;
const UDP: usize = 1;

struct Stream {
    to: usize,
    since: Duration,
    n_queued: usize,
    n_confirmed: usize,
    progress: Duration,
}

impl Host {
    pub(super) fn new(
        config: &HostConfig,
        index: usize,
        peers: &[Ipv4Addr],
        traffic: Traffic,
    ) -> io::Result<Self> {
        let mut device = FrameSocket::bind(&config.local, &config.remote)?;
        let mac = HardwareAddress::Ethernet(EthernetAddress(config.mac.0));
        let mut stack_config = Config::new(mac);
        stack_config.random_seed = u64::from(config.address.to_bits()) << 16 | index as u64;
        let mut stack = Interface::new(stack_config, &mut device, Instant::ZERO);
        stack.update_ip_addrs(|all| {
            let _ = all.push(IpCidr::new(IpAddress::Ipv4(config.address), config.prefix_len));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let icmp = sockets.add(icmp_socket(ident(index)));
        let echo = sockets.add(udp_socket(ECHO_PORT));
        let probe = sockets.add(udp_socket(PROBE_PORT));
        let receiver = sockets.add(tcp_socket());
        let sender = sockets.add(tcp_socket());
        Ok(Self {
            index,
            device,
            stack,
            sockets,
            icmp,
            echo,
            probe,
            receiver,
            sender,
            peers: peers.to_vec(),
            traffic,
            next_probe: Duration::ZERO,
            n_probes: 0,
            awaited: [None; 2],
            stream: None,
            n_streams: 0,
        })
    }

    pub(super) fn socket(&self) -> &UnixDatagram {
        &self.device.socket
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.stream.is_some()
    }

    /// Takes frames, runs the programs, sends frames.
    pub(super) fn turn(
        &mut self,
        now: Duration,
        may_talk: bool,
        report: &mut impl FnMut(HostEvent),
    ) {
        self.device.begin();
        let time = stack_time(now);
        self.stack.poll(time, &mut self.device, &mut self.sockets);
        self.answer();
        self.hear_ping(now, report);
        self.hear_udp(now, report);
        self.run_stream(now, report);
        if may_talk && self.peers.len() > 1 && now >= self.next_probe {
            self.ask(now, report);
        }
        self.stack.poll(time, &mut self.device, &mut self.sockets);
    }

    /// How long there is nothing to do unless a frame comes.
    pub(super) fn idle_for(&mut self, now: Duration) -> Duration {
        if self.device.is_pending() {
            return Duration::from_millis(1);
        }
        let probe = self.next_probe.saturating_sub(now);
        let stack = self.stack.poll_delay(stack_time(now), &self.sockets);
        let stack = stack.map_or(Duration::MAX, Duration::from);
        // Before anyone may talk the probe is always due; the thread's own limit applies.
        if probe.is_zero() { stack } else { probe.min(stack) }
    }

    /// UDP echo and the receiving end of streams.
    fn answer(&mut self) {
        let echo = self.sockets.get_mut::<udp::Socket<'_>>(self.echo);
        while echo.can_recv() && echo.can_send() {
            let Ok((data, from)) = echo.recv() else { break };
            let data = data.to_vec();
            let _ = echo.send_slice(&data, from.endpoint);
        }
        let receiver = self.sockets.get_mut::<tcp::Socket<'_>>(self.receiver);
        while receiver.can_recv() {
            if receiver.recv(|data| (data.len(), ())).is_err() {
                break;
            }
        }
        if receiver.state() == tcp::State::CloseWait {
            receiver.close();
        }
        if !receiver.is_open() {
            let _ = receiver.listen(STREAM_PORT);
        }
    }

    /// The next questions, to the next peer; what was not answered until now is lost.
    fn ask(&mut self, now: Duration, report: &mut impl FnMut(HostEvent)) {
        let lost = std::mem::take(&mut self.awaited);
        for (kind, awaited) in lost.into_iter().enumerate() {
            if let Some(Awaited { to, .. }) = awaited {
                report(event(kind, self.index, to, None));
            }
        }
        let n = self.peers.len();
        // The first question of each host comes at its own time, so that reports do not clump.
        let share = self.traffic.ping_every * u32::try_from(self.index).unwrap_or(0)
            / u32::try_from(n).unwrap_or(1);
        if self.next_probe.is_zero() && !share.is_zero() {
            self.next_probe = now + share;
            return;
        }
        self.next_probe = now + self.traffic.ping_every;
        let to = (self.index + 1 + usize::from(self.n_probes) % (n - 1)) % n;
        let seq = self.n_probes;
        self.n_probes = self.n_probes.wrapping_add(1);
        let awaited = Awaited { to, seq, since: now };
        let icmp = self.sockets.get_mut::<icmp::Socket<'_>>(self.icmp);
        let ping = Icmpv4Repr::EchoRequest {
            ident: ident(self.index),
            seq_no: seq,
            data: &[0x55; PING_BYTES],
        };
        if let Ok(room) = icmp.send(ping.buffer_len(), IpAddress::Ipv4(self.peers[to])) {
            ping.emit(&mut Icmpv4Packet::new_unchecked(room), &ChecksumCapabilities::default());
            self.awaited[PING] = Some(awaited);
        }
        let probe = self.sockets.get_mut::<udp::Socket<'_>>(self.probe);
        let echo = IpEndpoint::new(IpAddress::Ipv4(self.peers[to]), ECHO_PORT);
        if probe.send_slice(&seq.to_be_bytes(), echo).is_ok() {
            self.awaited[UDP] = Some(awaited);
        }
    }

    fn hear_ping(&mut self, now: Duration, report: &mut impl FnMut(HostEvent)) {
        let icmp = self.sockets.get_mut::<icmp::Socket<'_>>(self.icmp);
        while let Ok((data, from)) = icmp.recv() {
            let Ok(packet) = Icmpv4Packet::new_checked(data) else { continue };
            let parsed = Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default());
            if let Ok(Icmpv4Repr::EchoReply { seq_no, .. }) = parsed {
                heard(&mut self.awaited, PING, seq_no, from, &self.peers, self.index, now, report);
            }
        }
    }

    fn hear_udp(&mut self, now: Duration, report: &mut impl FnMut(HostEvent)) {
        let probe = self.sockets.get_mut::<udp::Socket<'_>>(self.probe);
        while let Ok((data, from)) = probe.recv() {
            let Ok(seq) = <[u8; 2]>::try_from(data) else { continue };
            let (seq, from) = (u16::from_be_bytes(seq), from.endpoint.addr);
            heard(&mut self.awaited, UDP, seq, from, &self.peers, self.index, now, report);
        }
    }

    pub(super) fn stream_to(&mut self, to: usize, now: Duration) {
        let sender = self.sockets.get_mut::<tcp::Socket<'_>>(self.sender);
        sender.abort();
        let source = FIRST_STREAM_SOURCE + self.n_streams % 16_000;
        self.n_streams = self.n_streams.wrapping_add(1);
        let peer = IpEndpoint::new(IpAddress::Ipv4(self.peers[to]), STREAM_PORT);
        if sender.connect(self.stack.context(), peer, source).is_ok() {
            let stream = Stream { to, since: now, n_queued: 0, n_confirmed: 0, progress: now };
            self.stream = Some(stream);
        }
    }

    fn run_stream(&mut self, now: Duration, report: &mut impl FnMut(HostEvent)) {
        let Some(stream) = &mut self.stream else { return };
        let sender = self.sockets.get_mut::<tcp::Socket<'_>>(self.sender);
        while sender.can_send() && stream.n_queued < self.traffic.stream_bytes {
            let n = (self.traffic.stream_bytes - stream.n_queued).min(PIECE.len());
            let Ok(n) = sender.send_slice(&PIECE[..n]) else { break };
            if n == 0 {
                break;
            }
            stream.n_queued += n;
        }
        let n_confirmed = stream.n_queued - sender.send_queue();
        if n_confirmed > stream.n_confirmed {
            stream.n_confirmed = n_confirmed;
            stream.progress = now;
        }
        let is_complete = stream.n_confirmed == self.traffic.stream_bytes;
        let is_dead = !sender.is_open() || now - stream.progress > STREAM_PATIENCE;
        if !is_complete && !is_dead {
            return;
        }
        if is_complete {
            sender.close();
        } else {
            sender.abort();
        }
        report(HostEvent::Stream {
            from: self.index,
            to: stream.to,
            bytes: stream.n_confirmed,
            elapsed: now - stream.since,
            is_complete,
        });
        self.stream = None;
    }
}

#[expect(clippy::too_many_arguments, reason = "disjoint parts of one host, borrowed apart")]
fn heard(
    awaited: &mut [Option<Awaited>; 2],
    kind: usize,
    seq: u16,
    from: IpAddress,
    peers: &[Ipv4Addr],
    index: usize,
    now: Duration,
    report: &mut impl FnMut(HostEvent),
) {
    let Some(question) = awaited[kind] else { return };
    if question.seq == seq && IpAddress::Ipv4(peers[question.to]) == from {
        awaited[kind] = None;
        report(event(kind, index, question.to, Some(now - question.since)));
    }
}

fn event(kind: usize, from: usize, to: usize, rtt: Option<Duration>) -> HostEvent {
    if kind == PING { HostEvent::Ping { from, to, rtt } } else { HostEvent::Udp { from, to, rtt } }
}

fn ident(index: usize) -> u16 {
    0x5500 | u16::try_from(index & 0xff).unwrap_or(0)
}

fn stack_time(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

fn icmp_socket(ident: u16) -> icmp::Socket<'static> {
    let buffer = || icmp::PacketBuffer::new(vec![PacketMetadata::EMPTY; 8], vec![0; 2048]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    // A new socket is closed and the identifier is not zero, so this cannot fail.
    let _ = socket.bind(icmp::Endpoint::Ident(ident));
    socket
}

fn udp_socket(port: u16) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![PacketMetadata::EMPTY; 16], vec![0; 4096]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    let _ = socket.bind(port);
    socket
}

fn tcp_socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; STREAM_BUFFER]);
    tcp::Socket::new(buffer(), buffer())
}
