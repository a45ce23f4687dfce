//! Who is behind which socket of the management NIC, and the NIC's own ups and downs.

use crate::bridges::{BridgeId, Bridges, Member};
use crate::database;
use crate::mgmt::{Management, SocketId};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use netdev::Netdev;
use packet::Pool;
use sync::time::Nanos;

/// Between two attempts to open a management NIC that broke the protocol.
const RETRY: Nanos = Nanos::from_secs(1);

/// The management NIC, its stack, and who is behind which socket.
#[derive(Debug)]
pub(crate) struct Network {
    netdev: Box<dyn Netdev>,
    pub(crate) stack: Management,
    /// Connections under way to configured controllers, by socket.
    pub(crate) connecting: BTreeMap<SocketId, Remote>,
    /// Configured controllers to connect to as soon as there is an address to come from.
    pub(crate) to_connect: BTreeMap<Remote, SocketAddr>,
    /// Connections of the agents.
    pub(crate) open: Vec<(SocketId, BridgeId)>,
    /// To be closed when everything is sent.
    pub(crate) closing: Vec<SocketId>,
    /// Ports on which controllers are listened for.
    doors: Vec<u16>,
    /// When the NIC was opened.
    opened: Nanos,
    /// When to try to open it, while it is not.
    again: Option<Nanos>,
}

/// A configured controller: of which bridge, and its number there.
pub(crate) type Remote = (BridgeId, usize);

impl Network {
    /// Before its NIC is opened.
    pub(crate) fn new(netdev: Box<dyn Netdev>, stack: Management) -> Self {
        Self {
            netdev,
            stack,
            connecting: BTreeMap::new(),
            to_connect: BTreeMap::new(),
            open: Vec::new(),
            closing: Vec::new(),
            doors: Vec::new(),
            opened: Nanos::ZERO,
            again: Some(Nanos::ZERO),
        }
    }

    /// Begins the connections that were asked for. Before the lease of DHCP is there none can
    /// begin; to call that a failure would cost a back-off, so they wait.
    pub(crate) fn connect(&mut self, bridges: &mut Bridges, now: Nanos) {
        let is_addressed = self.stack.address().is_some();
        let ready = |target: &SocketAddr| is_addressed || target.is_ipv6();
        for (remote, target) in self.to_connect.extract_if(.., |_, target| ready(target)) {
            let Some(Member { agent, .. }) = bridges.get_mut(remote.0) else { continue };
            match self.stack.connect(target) {
                Ok(id) => {
                    self.connecting.insert(id, remote);
                }
                Err(_) => agent.connect_failed(remote.1, now),
            }
        }
    }

    /// Ends the attempts to connect to this controller that the agent waits for no longer.
    pub(crate) fn give_up_attempts(&mut self, remote: Remote) {
        let Self { stack, connecting, to_connect, .. } = self;
        to_connect.remove(&remote);
        connecting.retain(|&id, &mut of| {
            if of == remote {
                stack.abort(id);
            }
            of != remote
        });
    }

    /// Resets the management NIC if its device broke the protocol, and opens it again when that is
    /// due. Connections live on: TCP repeats.
    pub(crate) fn mend(&mut self, pool: &Arc<Pool>, now: Nanos) {
        if let Some(fault) = self.stack.take_fault() {
            let name = &self.netdev.info().name;
            log::error!("{name}: the management NIC broke the protocol ({fault:?}); resetting it");
            let old = self.stack.replace_queues(None);
            if let Err(error) = self.netdev.reset(old.into_iter().collect()) {
                log::error!("{}: does not reset ({error:?})", self.netdev.info().name);
            }
            // A device that is faulty from the start must not keep the control core busy.
            let up = now.saturating_sub(self.opened);
            self.again = Some(if up >= RETRY { now } else { now.saturating_add(RETRY) });
        }
        if self.again.is_none_or(|again| now < again) {
            return;
        }
        self.again = match self.netdev.open(1, pool) {
            Ok(mut pairs) if !pairs.is_empty() => {
                self.stack.replace_queues(Some(pairs.swap_remove(0)));
                self.opened = now;
                None
            }
            outcome => {
                let name = &self.netdev.info().name;
                log::error!("{name}: does not open, will be tried again ({:?})", outcome.err());
                Some(now.saturating_add(RETRY))
            }
        };
    }

    /// Ports on which controllers are listened for.
    pub(crate) fn doors(&self) -> impl Iterator<Item = u16> {
        self.doors.iter().copied()
    }

    /// Listens for controllers on these ports, and on no others.
    pub(crate) fn listen(&mut self, wanted: &[u16]) {
        let Self { stack, doors, .. } = self;
        doors.retain(|door| {
            if !wanted.contains(door) {
                stack.unlisten(*door);
            }
            wanted.contains(door)
        });
        // The database's port is not a controller's to have.
        for &port in wanted.iter().filter(|port| **port != 0 && **port != database::PORT) {
            if !doors.contains(&port) {
                doors.push(port);
                stack.listen(port);
            }
        }
    }

    /// Ends all connections of a bridge that goes.
    pub(crate) fn forget_bridge(&mut self, bridge: BridgeId) {
        let Self { stack, connecting, to_connect, open, .. } = self;
        to_connect.retain(|remote, _| remote.0 != bridge);
        connecting.retain(|&id, remote| {
            if remote.0 == bridge {
                stack.abort(id);
            }
            remote.0 != bridge
        });
        open.retain(|&(id, of)| {
            if of == bridge {
                stack.abort(id);
            }
            of != bridge
        });
    }

    /// The NIC's name and address.
    pub(crate) fn info(&self) -> &netdev::NetdevInfo {
        self.netdev.info()
    }
}
