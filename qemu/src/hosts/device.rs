//! A Unix datagram socket as a network device: one datagram is one frame.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Ethernet header and the usual MTU.
const FRAME_BYTES: usize = 14 + 1500;
/// Frames taken in one go, so that one busy host does not starve the others.
const BURST: usize = 64;

#[derive(Debug)]
pub(super) struct FrameSocket {
    pub(super) socket: UnixDatagram,
    remote: PathBuf,
    /// A frame that the kernel did not take because the other side's queue is full.
    held: Option<Vec<u8>>,
    n_left: usize,
}

impl FrameSocket {
    pub(super) fn bind(local: &Path, remote: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(local)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, remote: remote.into(), held: None, n_left: 0 })
    }

    /// Starts a round: a new burst may be received, and a held frame is tried again.
    pub(super) fn begin(&mut self) {
        self.n_left = BURST;
        if let Some(frame) = self.held.take() {
            self.send(frame);
        }
    }

    /// True when there is work that no poll event will announce.
    pub(super) fn is_pending(&self) -> bool {
        self.held.is_some() || self.n_left == 0
    }

    /// Sends or holds. Any error but a full queue means that nobody is there: the cable is out.
    fn send(&mut self, frame: Vec<u8>) {
        let sent = self.socket.send_to(&frame, &self.remote);
        if sent.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock) {
            self.held = Some(frame);
        }
    }
}

pub(super) struct RxToken(Vec<u8>);
pub(super) struct TxToken<'a>(&'a mut FrameSocket);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        self.0.send(frame);
        result
    }
}

impl phy::Device for FrameSocket {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken, TxToken<'_>)> {
        if self.held.is_some() || self.n_left == 0 {
            return None;
        }
        let mut frame = vec![0; FRAME_BYTES];
        let n = self.socket.recv(&mut frame).ok()?;
        self.n_left -= 1;
        frame.truncate(n);
        Some((RxToken(frame), TxToken(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        self.held.is_none().then_some(TxToken(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }
}
