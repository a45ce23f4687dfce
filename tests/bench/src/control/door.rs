//! The controllers of our switch, behind a Unix socket.

use agent::{Agent, ConnId};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use sync::time::Nanos;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Longest time that nobody looks at anything but sockets, in nanoseconds.
const REST_NS: i64 = 1_000_000;
/// To look in vain for who calls costs more than to look at a connection: not done each time.
const LOOK_EVERY: u32 = 64;

/// Where an agent's connections come in.
pub(super) struct Door {
    listener: UnixListener,
    peers: Vec<Peer>,
    n_accepted: u32,
    n_looks: u32,
    /// Room for what is read.
    chunk: Vec<u8>,
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
        let chunk = vec![0; 65536];
        Ok(Self { listener, peers: Vec::new(), n_accepted: 0, n_looks: 0, chunk })
    }

    /// Gives the agent what has come; whether there was anything.
    pub(super) fn hear(&mut self, agent: &mut Agent, now: Nanos) -> Result<bool> {
        let looks = self.n_looks.is_multiple_of(LOOK_EVERY);
        self.n_looks = self.n_looks.wrapping_add(1);
        if looks && let Ok((stream, _)) = self.listener.accept() {
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
                match peer.stream.read(&mut self.chunk) {
                    Ok(0) => peer.is_gone = true,
                    Ok(n) => {
                        peer.unread.extend_from_slice(self.chunk.get(..n).unwrap_or_default());
                    }
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

    /// Rests until something comes, as Open vSwitch does, or it is time to look at other things.
    pub(super) fn rest(&mut self) -> Result<()> {
        let mut sockets = vec![PollFd::new(&self.listener, PollFlags::IN)];
        sockets.extend(self.peers.iter().map(|peer| PollFd::new(&peer.stream, PollFlags::IN)));
        poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: REST_NS }))?;
        let calls = sockets.first().is_some_and(|listener| !listener.revents().is_empty());
        if calls {
            self.n_looks = 0;
        }
        Ok(())
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
