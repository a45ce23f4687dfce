//! TCP ports of the loopback that nobody else takes meanwhile.
//!
//! A port that was free a moment ago may be taken before it is used: by another test, or by the kernel
//! for a connection that asked for any. So these are not from the range that the kernel gives out, and
//! as long as a lease lasts it holds an abstract Unix socket of the port's name, which the tests of all
//! processes respect.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's own range (`ip_local_port_range`), above the known services.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The sole right of this test to a port.
#[derive(Debug)]
pub struct Lease {
    /// The port.
    pub port: u16,
    _lock: UnixListener,
}

impl Lease {
    /// A port on which nobody listens.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn take() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let n_ports = PORTS.end - PORTS.start;
        // Processes begin at different places, so that they seldom meet.
        let begin = u16::try_from(std::process::id() % u32::from(n_ports)).expect("in range");
        for _ in 0..n_ports {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % n_ports;
            let port = PORTS.start + (begin + step) % n_ports;
            let name = SocketAddr::from_abstract_name(format!("uniswitch-tcp-{port}"));
            let Ok(lock) = UnixListener::bind_addr(&name.expect("a short name")) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self { port, _lock: lock };
            }
        }
        panic!("no TCP port between {} and {} is free", PORTS.start, PORTS.end);
    }

    /// Listens on it.
    ///
    /// # Panics
    /// When somebody else does.
    #[must_use]
    #[track_caller]
    pub fn listen(&self) -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).expect("a leased port")
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;

    #[test]
    fn no_port_is_leased_twice() {
        let leases: Vec<Lease> = (0..20).map(|_| Lease::take()).collect();
        let mut ports: Vec<u16> = leases.iter().map(|lease| lease.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), leases.len());
    }
}
