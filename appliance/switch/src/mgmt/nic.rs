//! The management NIC as smoltcp sees it: one frame in, one frame out, over a queue pair.
//!
//! Received frames wait in a batch of at most 32; frames to send are staged in another, which goes
//! to the device when it is full and at the end of every poll ([`Nic::flush`]). A frame that the
//! device does not take stays staged, and smoltcp is told that there is no room, so TCP simply
//! sends later. Nothing here is on the forwarding path.

use alloc::vec::Vec;
use netdev::{QueueFault, QueuePair};
use packet::{Batch, Packet, PoolCache};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Largest IP packet on the management network, in bytes.
const MTU: usize = 1500;
const ETHERNET_HEADER: usize = 14;

/// A queue pair as a smoltcp device.
#[derive(Debug)]
pub(super) struct Nic {
    /// None until the device is open, and while it is being reset.
    queues: Option<QueuePair>,
    /// Received, not yet given to the stack; last in the vector is the oldest.
    incoming: Batch,
    outgoing: Outgoing,
    fault: Option<QueueFault>,
}

/// The sending half: what a transmit token needs.
#[derive(Debug)]
struct Outgoing {
    staged: Batch,
    cache: PoolCache,
    /// Where a frame is written, and lost, when the pool is empty: TCP repeats it.
    scratch: Vec<u8>,
    lost: u64,
}

impl Nic {
    pub(super) fn new(cache: PoolCache) -> Self {
        let outgoing = Outgoing { staged: Batch::new(), cache, scratch: Vec::new(), lost: 0 };
        Self { queues: None, incoming: Batch::new(), outgoing, fault: None }
    }

    /// Hands the staged frames to the device, as far as it takes them.
    pub(super) fn flush(&mut self) {
        if self.outgoing.staged.is_empty() {
            return;
        }
        let Some(queues) = &mut self.queues else {
            return;
        };
        let sent = queues.tx.transmit(&mut self.outgoing.staged, &mut self.outgoing.cache);
        self.note(sent);
    }

    /// Whether frames wait for a device that there is.
    pub(super) fn has_unsent(&self) -> bool {
        self.queues.is_some() && !self.outgoing.staged.is_empty()
    }

    /// Whether the next frame will wake a core that rests; nothing comes without queues.
    pub(super) fn arm(&mut self) -> bool {
        self.incoming.is_empty() && self.queues.as_mut().is_none_or(|queues| queues.rx.arm())
    }

    /// Frames lost for want of a buffer.
    pub(super) fn lost(&self) -> u64 {
        self.outgoing.lost
    }

    /// The fault that stopped a queue, once.
    pub(super) fn take_fault(&mut self) -> Option<QueueFault> {
        self.fault.take()
    }

    /// Puts queues in the place of those there are; `None` takes them away.
    pub(super) fn replace_queues(&mut self, queues: Option<QueuePair>) -> Option<QueuePair> {
        core::mem::replace(&mut self.queues, queues)
    }

    fn refill(&mut self) {
        if !self.incoming.is_empty() {
            return;
        }
        let Some(queues) = &mut self.queues else {
            return;
        };
        let received = queues.rx.receive(&mut self.incoming, &mut self.outgoing.cache);
        self.note(received);
        // The host's stack leaves checksums to the device, and frames uncut, where that was agreed on.
        for packet in &mut self.incoming {
            // One that was just received has all its bytes.
            let _ = packet.finish_whole();
        }
        self.incoming.reverse();
    }

    fn note(&mut self, outcome: Result<usize, QueueFault>) {
        if let Err(fault) = outcome {
            self.fault.get_or_insert(fault);
        }
    }

    fn has_room(&mut self) -> bool {
        if self.outgoing.staged.is_full() {
            self.flush();
        }
        !self.outgoing.staged.is_full()
    }
}

impl Device for Nic {
    type RxToken<'a> = Received;
    type TxToken<'a> = Slot<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Slot<'_>)> {
        if !self.has_room() {
            return None;
        }
        self.refill();
        let packet = self.incoming.pop()?;
        Some((Received(packet), Slot(&mut self.outgoing)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Slot<'_>> {
        self.has_room().then_some(Slot(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU + ETHERNET_HEADER;
        capabilities
    }
}

/// One received frame.
#[derive(Debug)]
pub(super) struct Received(Packet);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0.data())
    }
}

/// Room for one frame to send.
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a mut Outgoing);

impl TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Outgoing { staged, cache, scratch, lost } = self.0;
        if let Some(mut packet) = cache.alloc_for(len)
            && packet.set_len(len)
        {
            let result = f(packet.data_mut());
            if staged.push(packet).is_err() {
                *lost += 1;
            }
            return result;
        }
        *lost += 1;
        scratch.clear();
        scratch.resize(len, 0);
        f(scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec;
    use netdev::fake::Replay;
    use netdev::{Netdev, RxQueue, RxStats};
    use packet::build::{Ipv4, ethernet, tcp};
    use packet::checksum::{finish, is_valid, pseudo_ipv4, sum};
    use packet::wire::tcp::Repr;
    use packet::{Large, LargeKind, Pool, PoolConfig, Unfinished};

    /// Gives one packet.
    #[derive(Debug)]
    struct Once(Option<Packet>);

    impl RxQueue for Once {
        fn receive(&mut self, into: &mut Batch, _: &mut PoolCache) -> Result<usize, QueueFault> {
            Ok(self.0.take().into_iter().map(|packet| into.push(packet)).count())
        }

        fn arm(&mut self) -> bool {
            true
        }

        fn stats(&self) -> RxStats {
            RxStats::default()
        }
    }

    #[test]
    fn the_stack_hears_what_senders_left_to_devices() {
        let pool = Pool::on_heap(PoolConfig { small: 64, jumbo: 16 });
        for (len, size) in [(100, None), (5000, Some(1460))] {
            let segment = Repr { src: 1, dst: 2, seq: 3, ack: 4, flags: 0x18, window: 5 };
            let (ip, payload) = (Ipv4::default(), vec![7; len]);
            let mut frame = ethernet([2; 6], [4; 6], 0x0800, &tcp(&ip.into(), segment, &payload));
            let n = u16::try_from(len + 20).unwrap();
            let pseudo = pseudo_ipv4(ip.src, ip.dst, 6, n);
            frame[50..52].copy_from_slice(&(!finish(pseudo)).to_be_bytes());
            let mut cache = PoolCache::new(pool.clone());
            let mut packet = cache.from_bytes(&frame).unwrap();
            let large = size.map(|size| Large { kind: LargeKind::TcpV4, has_cwr: false, size });
            let wishes = Unfinished { checksum_start: 34, checksum_offset: 16, large };
            packet.leave_unfinished(&wishes).unwrap();
            let (mut other, _handle) = Replay::new("nic", [2; 6], Vec::new());
            let [pair] = other.open(1, &pool).unwrap().try_into().unwrap();
            let mut nic = Nic::new(cache);
            nic.replace_queues(Some(QueuePair { rx: Box::new(Once(Some(packet))), ..pair }));
            let (received, _) = nic.receive(Instant::ZERO).unwrap();
            received.consume(|heard| {
                assert_eq!(heard.len(), frame.len());
                assert!(is_valid(sum(&heard[34..], pseudo)), "{len} bytes");
            });
        }
    }
}
