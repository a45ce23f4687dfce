//! What stands behind a NIC.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use seed::Mac;

/// One virtio NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Name inside QEMU, for `set_link` and the like.
    pub id: String,
    /// Its address.
    pub mac: Mac,
    /// What stands behind it.
    pub backend: Backend,
    /// Offer this MTU to the guest.
    pub mtu: Option<u16>,
    /// Queue pairs; more than one needs a tap or vhost-user.
    pub n_queue_pairs: u16,
    /// Offer packed rings.
    pub is_packed: bool,
}

impl Nic {
    /// A NIC with one queue pair and the usual MTU.
    pub fn new(id: impl Into<String>, mac: Mac, backend: Backend) -> Self {
        Self { id: id.into(), mac, backend, mtu: None, n_queue_pairs: 1, is_packed: false }
    }
}

/// Which side of a connection a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// QEMU connects.
    Client,
    /// QEMU listens.
    Server,
}

/// A TCP port of the host's loopback that leads to one of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Address on the host.
    pub address: Ipv4Addr,
    /// Port on the host.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

/// The kinds of network back ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// QEMU's user-mode network: no root, out by NAT, in by forwards. Guest 10.0.2.15, host 10.0.2.2.
    User {
        /// Ports that lead in.
        forwards: Vec<Forward>,
    },
    /// A tap interface of the host.
    Tap {
        /// Its name.
        ifname: String,
    },
    /// Unix datagrams, a frame each.
    Dgram {
        /// Where QEMU receives.
        local: PathBuf,
        /// Where QEMU sends.
        remote: PathBuf,
    },
    /// A Unix stream with a length before each frame.
    Stream {
        /// The socket.
        path: PathBuf,
        /// Who listens.
        role: Role,
    },
    /// A vhost-user back end such as a DPDK program; it maps the guest's memory.
    VhostUser {
        /// The socket.
        path: PathBuf,
        /// Who listens.
        role: Role,
    },
}

impl Backend {
    /// True when the back end maps the guest's memory, which must then be shared.
    pub fn needs_shared_memory(&self) -> bool {
        matches!(self, Self::VhostUser { .. })
    }

    /// True when QEMU does not finish its start before the other side has connected.
    pub fn holds_start(&self) -> bool {
        matches!(self, Self::VhostUser { .. })
    }
}
