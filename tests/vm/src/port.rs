//! The bench's end of a data port.
//!
//! # Concurrency
//! A thread for each port moves what arrives from the socket to a queue, so that the kernel's short
//! datagram queue (ten entries) never makes QEMU hold frames back.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use seed::Mac;

/// Longest frame that can arrive.
const MAX_FRAME_BYTES: usize = 65_536;

/// The address of the NIC of port `port` (the management NIC has that of port 0).
#[must_use]
pub fn mac(port: usize) -> Mac {
    let [.., high, low] = port.to_be_bytes();
    Mac([0x52, 0x54, 0, 0, high, low])
}

/// Frames that arrived on a port, in their order.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Vec<u8>>,
    total: u64,
}

impl Arrivals {
    /// Those on `socket`, from now on until it is shut down.
    pub(crate) fn on(socket: UnixDatagram) -> Self {
        let arrivals = Self::default();
        let writer = arrivals.clone();
        thread::spawn(move || {
            let mut bytes = vec![0; MAX_FRAME_BYTES];
            // An empty datagram is what a socket that was shut down reads.
            while let Ok(n @ 1..) = socket.recv(&mut bytes) {
                writer.push(bytes[..n].to_vec());
            }
        });
        arrivals
    }

    /// Adds a frame.
    pub fn push(&self, frame: Vec<u8>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.frames.push_back(frame);
        state.total += 1;
        drop(state);
        self.0.grown.notify_all();
    }

    /// How many ever arrived.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Takes the first, waiting for it at most `timeout`.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(frame) = state.frames.pop_front() {
                return Some(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state =
                self.0.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes all that are there.
    #[must_use]
    pub fn take(&self) -> Vec<Vec<u8>> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.frames.drain(..).collect()
    }
}

/// A data port: the pair of sockets, and what arrived.
#[derive(Debug)]
pub(crate) struct Port {
    socket: UnixDatagram,
    /// Where QEMU receives.
    pub(crate) qemu: PathBuf,
    /// Where QEMU sends.
    pub(crate) ours: PathBuf,
    pub(crate) arrivals: Arrivals,
    /// Frames that the switch sent before this end was there.
    pub(crate) n_before: u64,
}

impl Port {
    /// Binds the bench's socket of port `number` in `dir`.
    pub(crate) fn new(number: usize, dir: &Path) -> io::Result<Self> {
        let (ours, qemu) = (dir.join(format!("p{number}")), dir.join(format!("q{number}")));
        let socket = UnixDatagram::bind(&ours)?;
        let arrivals = Arrivals::on(socket.try_clone()?);
        Ok(Self { socket, qemu, ours, arrivals, n_before: 0 })
    }

    pub(crate) fn send(&self, frame: &[u8], timeout: Duration) -> io::Result<()> {
        self.socket.set_write_timeout(Some(timeout))?;
        self.socket.send_to(frame, &self.qemu).map(drop)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
