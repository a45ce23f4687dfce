//! A channel of `ovs-appctl` whose other end is the test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use switch::ByteChannel;

/// Both directions of a channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// What the switch will read.
    pub(crate) to: Arc<Mutex<VecDeque<u8>>>,
    /// What it wrote.
    pub(crate) from: Arc<Mutex<Vec<u8>>>,
}

impl ByteChannel for Line {
    fn read(&mut self, into: &mut [u8]) -> usize {
        let mut to = self.to.lock().expect("not poisoned");
        let n = into.len().min(to.len());
        into.iter_mut().zip(to.drain(..n)).for_each(|(place, byte)| *place = byte);
        n
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.from.lock().expect("not poisoned").extend(bytes);
        bytes.len()
    }
}
