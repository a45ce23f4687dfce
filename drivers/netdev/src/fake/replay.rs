//! A netdev that receives what a test injects and keeps what the switch sends.

use super::end::{End, Line, SharedLine, netdev_by_end};
use alloc::vec::Vec;

/// A netdev played from memory; drive it with its [`ReplayHandle`].
#[derive(Debug)]
pub struct Replay {
    end: End,
}

netdev_by_end!(Replay);

impl Replay {
    /// A netdev that will receive `frames` in order (at most 1,024 wait; later ones are refused).
    #[must_use]
    pub fn new(name: &str, mac: [u8; 6], frames: Vec<Vec<u8>>) -> (Self, ReplayHandle) {
        let (inbound, outbound) = (Line::shared(), Line::shared());
        let handle = ReplayHandle { inbound: inbound.clone(), outbound: outbound.clone() };
        for frame in frames {
            let _ = handle.inject(&frame);
        }
        (Self { end: End::new(name, mac, (inbound, outbound)) }, handle)
    }

    /// Sets the MTU; before `open`.
    #[must_use]
    pub fn with_mtu(mut self, mtu: u16) -> Self {
        self.end.set_mtu(mtu);
        self
    }
}

/// The test's side of a [`Replay`].
#[derive(Clone, Debug)]
pub struct ReplayHandle {
    inbound: SharedLine,
    outbound: SharedLine,
}

impl ReplayHandle {
    /// Lets the netdev receive a frame; `false` when too many wait already.
    #[must_use]
    pub fn inject(&self, frame: &[u8]) -> bool {
        self.inbound.lock().send(frame)
    }

    /// Frames injected and not received yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inbound.lock().len()
    }

    /// What was sent since the last call, in order. While nobody takes them, sent frames fill the
    /// line (1,024), and then the queue is full as a real one would be.
    #[must_use]
    pub fn captured(&self) -> Vec<Vec<u8>> {
        self.outbound.lock().drain()
    }

    /// Link up or down. Frames that wait are lost when it goes down.
    pub fn set_link(&self, up: bool) {
        self.inbound.lock().set_up(up);
        self.outbound.lock().set_up(up);
    }
}
