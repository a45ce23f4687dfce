//! Two netdevs and the wire between them.

use super::end::{End, Line, SharedLine, netdev_by_end};

/// One end of a wire.
#[derive(Debug)]
pub struct Wire {
    end: End,
}

impl Wire {
    /// Sets the MTU of this end; before `open`.
    #[must_use]
    pub fn with_mtu(mut self, mtu: u16) -> Self {
        self.end.set_mtu(mtu);
        self
    }
}

netdev_by_end!(Wire);

/// Pulls the plug of a wire, and puts it back.
#[derive(Clone, Debug)]
pub struct WireHandle {
    lines: [SharedLine; 2],
}

impl WireHandle {
    /// Link up or down, on both ends. Frames on a wire that goes down are lost.
    pub fn set_link(&self, up: bool) {
        for line in &self.lines {
            line.lock().set_up(up);
        }
    }
}

/// Two connected netdevs, named `{name}-a` and `{name}-b`, each with up to 1,024 frames a queue on
/// the way to it.
#[must_use]
pub fn wire(name: &str) -> (Wire, Wire, WireHandle) {
    let (to_a, to_b) = (Line::shared(), Line::shared());
    let a = End::new(
        &alloc::format!("{name}-a"),
        [0x02, 0, 0, 0, 0, 0x0a],
        (to_a.clone(), to_b.clone()),
    );
    let b = End::new(
        &alloc::format!("{name}-b"),
        [0x02, 0, 0, 0, 0, 0x0b],
        (to_b.clone(), to_a.clone()),
    );
    (Wire { end: a }, Wire { end: b }, WireHandle { lines: [to_a, to_b] })
}
