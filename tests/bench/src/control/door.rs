//! The controllers of our switch, behind a Unix socket.

use agent::{Agent, ConnId};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use sync::time::Nanos;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where an agent's connections come in.
pub(super) struct Door {
    listener: UnixListener,
    peers: Vec<Peer>,
    n_accepted: u32,
}

/// A connection: its socket, and what came and was not taken yet.
struct Peer {
    id: ConnId,
    stream: UnixStream,
    unread: Vec<u8>,
    is_gone: bool,
}

impl Door {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, peers: Vec::new(), n_accepted: 0 })
    }

    /// Gives the agent what has come; whether there was anything.
    pub(super) fn hear(&mut self, agent: &mut Agent, now: Nanos) -> Result<bool> {
        if let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            self.n_accepted += 1;
            let id = ConnId(self.n_accepted);
            if agent.accepted(id, SocketAddr::from(([127, 0, 0, 1], 1)), 6653, now) {
                self.peers.push(Peer { id, stream, unread: Vec::new(), is_gone: false });
            }
        }
        let mut is_busy = false;
        for peer in &mut self.peers {
            if peer.unread.is_empty() {
                let mut chunk = [0; 65536];
                match peer.stream.read(&mut chunk) {
                    Ok(0) => peer.is_gone = true,
                    Ok(n) => peer.unread.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                    Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => peer.is_gone = true,
                }
            }
            is_busy |= !peer.unread.is_empty();
            let taken = agent.received(peer.id, &peer.unread, now);
            peer.unread.drain(..taken);
        }
        Ok(is_busy)
    }

    /// Sends what the agent has to say, and closes what has ended; whether anything was sent.
    pub(super) fn tell(&mut self, agent: &mut Agent, now: Nanos) -> bool {
        let mut is_busy = false;
        for peer in &mut self.peers {
            let Some(outbox) = agent.output(peer.id) else { continue };
            if !outbox.pending().is_empty()
                && let Ok(n) = peer.stream.write(outbox.pending())
            {
                is_busy = true;
                outbox.consume(n);
            }
        }
        self.peers.retain(|peer| {
            if peer.is_gone {
                agent.closed(peer.id, now);
            }
            !peer.is_gone
        });
        is_busy
    }
}
