//! The management stack: TCP connections for the agent, over a NIC of its own.
//!
//! # What
//! smoltcp speaks ARP, IPv4, IPv6 (link-local), ICMP echo, DHCP and TCP on the management NIC. This
//! module turns its sockets into a list of events (accepted, connected, closed) and byte
//! streams, which is all that the sans-I/O agent wants to know of a network.
//!
//! # Bounds
//! At most [`MAX_CONNECTIONS`] connections with fixed buffers, `BACKLOG` sockets listening a
//! service, `FRAMES_PER_POLL` frames a poll. A peer that does not read fills its own send buffer
//! and nobody else's.

mod nic;

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use netdev::{QueueFault, QueuePair};
use nic::Nic;
use packet::PoolCache;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::{dhcpv4, tcp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpCidr, IpEndpoint, Ipv4Cidr, Ipv6Address, Ipv6Cidr};
use sync::time::Nanos;

/// Connections at one time, of all services and both directions.
pub const MAX_CONNECTIONS: usize = 128;
/// Connections of one service, so that the clients of one do not keep out those of another.
const MAX_OF_SERVICE: usize = 64;
/// Sockets that listen for one service.
const BACKLOG: usize = 4;
/// Connections of which only the first segment has come. Beyond it the oldest is given up, so that
/// peers that never go on do not keep out those that do.
const MAX_HALF_OPEN: usize = 16;
/// Bound on the work of one poll.
const FRAMES_PER_POLL: usize = 64;
const RECEIVE_BYTES: usize = 32 * 1024;
const SEND_BYTES: usize = 64 * 1024;
/// A peer that leaves data unacknowledged for so long is gone.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_EPHEMERAL_PORT: u16 = 49152;

/// A connection, by number; numbers are not used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(pub u32);

/// What happened to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A peer connected to the service on `port`.
    Accepted {
        /// The new connection.
        id: SocketId,
        /// Who connected.
        peer: SocketAddr,
        /// Our port.
        port: u16,
    },
    /// A connection that [`Management::connect`] began is up.
    Connected(SocketId),
    /// The connection ended, by either side, or never came up.
    Closed(SocketId),
}

/// Why no connection was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// All [`MAX_CONNECTIONS`] are in use.
    TooMany,
    /// The interface has no address yet, or the target is not reachable from it.
    Unreachable,
}

/// How the interface gets its IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Address {
    /// Ask by DHCP.
    Dhcp,
    /// As configured.
    Static {
        /// Address and prefix length.
        address: core::net::Ipv4Addr,
        /// Prefix length in bits.
        prefix_len: u8,
        /// Default router.
        gateway: Option<core::net::Ipv4Addr>,
    },
}

#[derive(Debug)]
struct Connection {
    id: SocketId,
    handle: SocketHandle,
    /// The service that it is of; 0 when we connected.
    service: u16,
    established: bool,
}

#[derive(Debug)]
struct Listener {
    port: u16,
    handle: SocketHandle,
}

/// The management interface and its connections.
pub struct Management {
    interface: Interface,
    sockets: SocketSet<'static>,
    nic: Nic,
    dhcp: Option<SocketHandle>,
    services: Vec<u16>,
    listeners: Vec<Listener>,
    connections: Vec<Connection>,
    /// Closed sockets that may still have a reset to send; removed after one more poll.
    doomed: Vec<SocketHandle>,
    events: VecDeque<Event>,
    next_id: u32,
    next_port: u16,
}

impl core::fmt::Debug for Management {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Management")
            .field("address", &self.address())
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl Management {
    /// An interface without queues, which [`Self::replace_queues`] gives it. `random` seeds TCP's
    /// initial sequence numbers and port choice.
    pub fn new(mac: [u8; 6], address: Address, cache: PoolCache, random: u64, now: Nanos) -> Self {
        let mut nic = Nic::new(cache);
        let mac = EthernetAddress(mac);
        let mut config = Config::new(mac.into());
        config.random_seed = random;
        let mut interface = Interface::new(config, &mut nic, instant(now));
        let mut sockets = SocketSet::new(Vec::new());
        let link_local = Ipv6Cidr::new(link_local(mac), 64);
        let mut dhcp = None;
        match address {
            Address::Dhcp => dhcp = Some(sockets.add(dhcpv4::Socket::new())),
            Address::Static { address, prefix_len, gateway } => {
                // A prefix longer than an address is not one; the seed checks it, so clamp only.
                let cidr = Ipv4Cidr::new(address, prefix_len.min(32));
                set_ipv4(&mut interface, Some(cidr), gateway);
            }
        }
        interface.update_ip_addrs(|addresses| {
            // The list has room for two addresses: this one and the IPv4 one.
            let _ = addresses.push(IpCidr::Ipv6(link_local));
        });
        let spread = u16::try_from(random % u64::from(u16::MAX - FIRST_EPHEMERAL_PORT));
        let next_port = FIRST_EPHEMERAL_PORT + spread.unwrap_or(0);
        Self {
            interface,
            sockets,
            nic,
            dhcp,
            services: Vec::new(),
            listeners: Vec::new(),
            connections: Vec::new(),
            doomed: Vec::new(),
            events: VecDeque::new(),
            next_id: 0,
            next_port,
        }
    }

    /// Accepts connections to `port` from now on.
    pub fn listen(&mut self, port: u16) {
        if port != 0 && !self.services.contains(&port) {
            self.services.push(port);
            self.fill_backlog();
        }
    }

    /// Accepts no connections to `port` from now on; those that there are live on.
    pub fn unlisten(&mut self, port: u16) {
        let Self { services, listeners, sockets, doomed, .. } = self;
        services.retain(|&service| service != port);
        listeners.retain(|listener| {
            if listener.port == port {
                sockets.get_mut::<tcp::Socket<'_>>(listener.handle).abort();
                doomed.push(listener.handle);
            }
            listener.port != port
        });
    }

    /// Begins a connection; [`Event::Connected`] or [`Event::Closed`] tells how it went.
    pub fn connect(&mut self, peer: SocketAddr) -> Result<SocketId, ConnectError> {
        if self.connections.len() >= MAX_CONNECTIONS {
            return Err(ConnectError::TooMany);
        }
        if peer.is_ipv4() && self.address().is_none() {
            return Err(ConnectError::Unreachable);
        }
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        let mut socket = new_socket();
        let begun =
            socket.connect(self.interface.context(), IpEndpoint::from(peer), self.next_port);
        begun.map_err(|_| ConnectError::Unreachable)?;
        let handle = self.sockets.add(socket);
        Ok(self.adopt(handle, 0, false))
    }

    /// Moves frames, at most `FRAMES_PER_POLL` of them; true when there was anything to do.
    pub fn poll(&mut self, now: Nanos) -> bool {
        let now = instant(now);
        let mut worked = false;
        for _ in 0..FRAMES_PER_POLL {
            let got = self.interface.poll_ingress_single(now, &mut self.nic, &mut self.sockets);
            if matches!(got, smoltcp::iface::PollIngressSingleResult::None) {
                break;
            }
            worked = true;
            // Each peer finds a listening socket, however many come at once.
            self.accept();
        }
        for _ in 0..FRAMES_PER_POLL {
            let sent = self.interface.poll_egress(now, &mut self.nic, &mut self.sockets);
            if sent == PollResult::None {
                break;
            }
            worked = true;
        }
        self.interface.poll_maintenance(now);
        for handle in self.doomed.drain(..) {
            self.sockets.remove(handle);
        }
        self.nic.flush();
        self.follow_dhcp();
        self.follow_connections();
        worked
    }

    /// Whether frames wait that the NIC does not take.
    pub(crate) fn has_unsent(&self) -> bool {
        self.nic.has_unsent()
    }

    /// Asks for an interrupt at the next frame; `false` when the NIC cannot, or has frames.
    pub fn arm(&mut self) -> bool {
        self.nic.arm()
    }

    /// When [`Management::poll`] wants to be called at the latest.
    pub fn next_deadline(&mut self, now: Nanos) -> Option<Nanos> {
        let at = self.interface.poll_at(instant(now), &self.sockets)?;
        Some(Nanos::from_micros(u64::try_from(at.total_micros()).unwrap_or(0)))
    }

    /// What happened since the last call, oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Lets `take` have received bytes; it returns how many it took. Zero bytes when there are none.
    pub fn receive(&mut self, id: SocketId, mut take: impl FnMut(&[u8]) -> usize) -> usize {
        let Some(socket) = self.socket(id) else {
            return 0;
        };
        if !socket.can_recv() {
            return 0;
        }
        let taken = socket.recv(|bytes| {
            let n = take(bytes).min(bytes.len());
            (n, n)
        });
        taken.unwrap_or(0)
    }

    /// Queues bytes to send; returns how many fitted.
    pub fn send(&mut self, id: SocketId, bytes: &[u8]) -> usize {
        let Some(socket) = self.socket(id) else {
            return 0;
        };
        if bytes.is_empty() { 0 } else { socket.send_slice(bytes).unwrap_or(0) }
    }

    /// Ends the connection after what is queued has been sent.
    pub fn close(&mut self, id: SocketId) {
        if let Some(socket) = self.socket(id) {
            socket.close();
        }
    }

    /// Ends the connection at once.
    pub fn abort(&mut self, id: SocketId) {
        if let Some(socket) = self.socket(id) {
            socket.abort();
        }
    }

    /// The IPv4 address, when there is one.
    pub fn address(&self) -> Option<Ipv4Cidr> {
        self.interface.ip_addrs().iter().find_map(|cidr| match cidr {
            IpCidr::Ipv4(cidr) => Some(*cidr),
            IpCidr::Ipv6(_) => None,
        })
    }

    /// Frames that could not be sent for want of a buffer.
    pub fn frames_lost(&self) -> u64 {
        self.nic.lost()
    }

    /// The fault that stopped the NIC's queues, once; the device then wants a reset.
    pub fn take_fault(&mut self) -> Option<QueueFault> {
        self.nic.take_fault()
    }

    /// Puts queues in the place of those there are, around a reset of the device; gives the old ones.
    /// Without queues nothing is sent or received.
    pub fn replace_queues(&mut self, queues: Option<QueuePair>) -> Option<QueuePair> {
        self.nic.replace_queues(queues)
    }

    fn socket(&mut self, id: SocketId) -> Option<&mut tcp::Socket<'static>> {
        let connection = self.connections.iter().find(|connection| connection.id == id)?;
        Some(self.sockets.get_mut(connection.handle))
    }

    fn adopt(&mut self, handle: SocketHandle, service: u16, established: bool) -> SocketId {
        let id = SocketId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.connections.push(Connection { id, handle, service, established });
        id
    }

    fn follow_dhcp(&mut self) {
        let Some(handle) = self.dhcp else { return };
        match self.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
            None => {}
            Some(dhcpv4::Event::Configured(lease)) => {
                log::info!("management address {} by DHCP", lease.address);
                set_ipv4(&mut self.interface, Some(lease.address), lease.router);
            }
            Some(dhcpv4::Event::Deconfigured) => set_ipv4(&mut self.interface, None, None),
        }
    }

    /// Turns changes of socket states into events.
    fn follow_connections(&mut self) {
        self.accept();
        let mut k = 0;
        while let Some(connection) = self.connections.get_mut(k) {
            let socket = self.sockets.get::<tcp::Socket<'_>>(connection.handle);
            if !connection.established && socket.may_send() {
                connection.established = true;
                self.events.push_back(Event::Connected(connection.id));
            }
            // A peer that closed its side is done with us: OpenFlow has no half-open use. What
            // it sent before is still read first.
            if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
                self.sockets.get_mut::<tcp::Socket<'_>>(connection.handle).close();
            }
            if self.sockets.get::<tcp::Socket<'_>>(connection.handle).is_active() {
                k += 1;
                continue;
            }
            let Connection { id, handle, .. } = self.connections.swap_remove(k);
            self.doomed.push(handle);
            self.events.push_back(Event::Closed(id));
        }
    }

    fn accept(&mut self) {
        let mut k = 0;
        while let Some(listener) = self.listeners.get(k) {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(listener.handle);
            if socket.is_listening() || socket.state() == tcp::State::SynReceived {
                k += 1;
                continue;
            }
            let Listener { port, handle } = self.listeners.remove(k);
            let n_of_service = self.connections.iter().filter(|c| c.service == port).count();
            let has_room =
                self.connections.len() < MAX_CONNECTIONS && n_of_service < MAX_OF_SERVICE;
            let peer = socket.remote_endpoint();
            match peer {
                Some(peer) if socket.may_send() && has_room => {
                    let peer = SocketAddr::new(IpAddr::from(peer.addr), peer.port);
                    let id = self.adopt(handle, port, true);
                    self.events.push_back(Event::Accepted { id, peer, port });
                }
                _ => {
                    socket.abort();
                    self.doomed.push(handle);
                }
            }
        }
        self.fill_backlog();
    }

    fn fill_backlog(&mut self) {
        let Self { services, listeners, sockets, doomed, .. } = self;
        let is_half_open = |l: &Listener, sockets: &SocketSet<'_>| {
            !sockets.get::<tcp::Socket<'_>>(l.handle).is_listening()
        };
        let n_half_open = listeners.iter().filter(|l| is_half_open(l, sockets)).count();
        if n_half_open > MAX_HALF_OPEN
            && let Some(oldest) = listeners.iter().position(|l| is_half_open(l, sockets))
        {
            // Its socket listens again: a flood allocates nothing.
            let Listener { port, handle } = listeners.remove(oldest);
            let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
            socket.abort();
            match socket.listen(port) {
                Ok(()) => listeners.push(Listener { port, handle }),
                Err(_) => doomed.push(handle),
            }
        }
        for &port in &*services {
            let is_free = |l: &&Listener| l.port == port && !is_half_open(l, sockets);
            let n_free = listeners.iter().filter(is_free).count();
            for _ in n_free..BACKLOG {
                let mut socket = new_socket();
                if socket.listen(port).is_ok() {
                    let handle = sockets.add(socket);
                    listeners.push(Listener { port, handle });
                }
            }
        }
    }
}

fn new_socket() -> tcp::Socket<'static> {
    let receive = tcp::SocketBuffer::new(vec![0; RECEIVE_BYTES]);
    let send = tcp::SocketBuffer::new(vec![0; SEND_BYTES]);
    let mut socket = tcp::Socket::new(receive, send);
    // Requests and answers are small and wanted at once.
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket.set_timeout(Some(PEER_TIMEOUT));
    socket
}

fn set_ipv4(
    interface: &mut Interface,
    cidr: Option<Ipv4Cidr>,
    gateway: Option<core::net::Ipv4Addr>,
) {
    interface.update_ip_addrs(|addresses| {
        addresses.retain(|cidr| matches!(cidr, IpCidr::Ipv6(_)));
        if let Some(cidr) = cidr {
            // Room for two: this one and the link-local one.
            let _ = addresses.push(IpCidr::Ipv4(cidr));
        }
    });
    interface.routes_mut().remove_default_ipv4_route();
    if let Some(gateway) = gateway
        && interface.routes_mut().add_default_ipv4_route(gateway).is_err()
    {
        log::warn!("no room for the default route by {gateway}");
    }
}

/// The interface identifier of RFC 4291 appendix A in the link-local prefix.
fn link_local(mac: EthernetAddress) -> Ipv6Address {
    let [a, b, c, d, e, f] = mac.0;
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let head = pair(a ^ 2, b);
    Ipv6Address::new(0xfe80, 0, 0, 0, head, pair(c, 0xff), pair(0xfe, d), pair(e, f))
}

fn instant(now: Nanos) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}
