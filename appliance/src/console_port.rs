//! A byte channel to the host: port 0 of a virtio console device (virtio 1.2 §5.3).
//!
//! Polled and never waiting, unlike the console of `virtio-drivers`, which waits in place until the
//! host has taken what was sent: here a host that stops reading only makes [`BytePort::write`]
//! take nothing. One buffer is in flight each way.

use alloc::boxed::Box;

use virtio::Doorbells;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, SomeTransport, Transport};
use virtio_drivers::{Error, Result};

use crate::dma::DeviceMemory;

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const QUEUE: usize = 2;
const BUFFER_BYTES: usize = 4096;
/// `VIRTIO_F_VERSION_1` is wanted; the multiport feature is not, so port 0 is all there is.
const VERSION_1: u64 = 1 << 32;

type Buffer = Box<[u8; BUFFER_BYTES]>;

/// The channel.
pub(crate) struct BytePort {
    transport: SomeTransport<'static>,
    receive: VirtQueue<DeviceMemory, QUEUE>,
    transmit: VirtQueue<DeviceMemory, QUEUE>,
    /// What was received: `unread` of it is still to be given out.
    input: Buffer,
    unread: core::ops::Range<usize>,
    /// The device fills `input` while this token is out.
    receiving: Option<u16>,
    output: Buffer,
    /// The device reads this many bytes of `output` while the token is out.
    sending: Option<(u16, usize)>,
    /// The device wakes this processor when bytes have come.
    has_interrupt: bool,
    /// The device broke the rules: it is not spoken to any more.
    is_broken: bool,
}

impl BytePort {
    /// Sets the device up (virtio 1.2 §3.1.1). With doorbells that have interrupts, it wakes this processor
    /// when bytes have come.
    pub(crate) fn new(
        mut transport: SomeTransport<'static>,
        doorbells: Option<Box<dyn Doorbells>>,
    ) -> Result<Self> {
        let hello = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(hello);
        if transport.read_device_features() & VERSION_1 == 0 {
            return Err(Error::Unsupported);
        }
        transport.write_driver_features(VERSION_1);
        transport.set_status(hello | DeviceStatus::FEATURES_OK);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(Error::Unsupported);
        }
        let receive = VirtQueue::new(&mut transport, RECEIVE, false, false)?;
        let transmit = VirtQueue::new(&mut transport, TRANSMIT, false, false)?;
        let has_interrupt = doorbells.is_some_and(|mut bells| bells.interrupt(RECEIVE, 0));
        transport.finish_init();
        let mut port = Self {
            transport,
            receive,
            transmit,
            input: Box::new([0; BUFFER_BYTES]),
            unread: 0..0,
            receiving: None,
            output: Box::new([0; BUFFER_BYTES]),
            sending: None,
            has_interrupt,
            is_broken: false,
        };
        port.post_input();
        Ok(port)
    }

    /// Whether bytes that come end a rest of this processor.
    pub(crate) fn has_interrupt(&self) -> bool {
        self.has_interrupt
    }

    /// Takes bytes that have come: how many, 0 if there is none.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        if self.unread.is_empty() {
            self.collect_input();
        }
        let Some(bytes) = self.input.get(self.unread.clone()) else { return 0 };
        let len = bytes.len().min(into.len());
        for (to, from) in into.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.unread.start += len;
        if self.unread.is_empty() && self.receiving.is_none() {
            self.post_input();
        }
        len
    }

    /// Sends bytes: how many were taken, 0 while the host has not read the ones before.
    pub(crate) fn write(&mut self, from: &[u8]) -> usize {
        self.collect_output();
        if self.sending.is_some() || self.is_broken || from.is_empty() {
            return 0;
        }
        let len = from.len().min(BUFFER_BYTES);
        let (Some(to), Some(from)) = (self.output.get_mut(..len), from.get(..len)) else {
            return 0;
        };
        to.copy_from_slice(from);
        let buffer: &[u8] = to;
        // SAFETY: `output` is on the heap, lives as long as the queue and is not touched until
        // `collect_output` has popped this token.
        match unsafe { self.transmit.add(&[buffer], &mut []) } {
            Ok(token) => self.sending = Some((token, len)),
            Err(_) => return 0,
        }
        if self.transmit.should_notify() {
            self.transport.notify(TRANSMIT);
        }
        len
    }

    /// Lets the device fill the input buffer.
    fn post_input(&mut self) {
        if self.is_broken {
            return;
        }
        // SAFETY: `input` is on the heap, lives as long as the queue and is not touched until
        // `collect_input` has popped this token.
        let token = unsafe { self.receive.add(&[], &mut [self.input.as_mut_slice()]) };
        match token {
            Ok(token) => self.receiving = Some(token),
            Err(_) => self.is_broken = true,
        }
        if self.receive.should_notify() {
            self.transport.notify(RECEIVE);
        }
    }

    /// Takes the input buffer back if the device has filled it.
    fn collect_input(&mut self) {
        let Some(token) = self.receiving.filter(|_| self.receive.can_pop()) else { return };
        // SAFETY: the same buffer as in `post_input`, which is still there.
        match unsafe { self.receive.pop_used(token, &[], &mut [self.input.as_mut_slice()]) } {
            Ok(len) => {
                self.receiving = None;
                // The device says how much it wrote; it cannot have written more than there is.
                self.unread = 0..usize::try_from(len).map_or(0, |len| len.min(BUFFER_BYTES));
                if self.unread.is_empty() {
                    self.post_input();
                }
            }
            Err(_) => self.is_broken = true,
        }
    }

    /// Takes the output buffer back if the device has read it.
    fn collect_output(&mut self) {
        let Some((token, len)) = self.sending.filter(|_| self.transmit.can_pop()) else { return };
        let Some(buffer) = self.output.get(..len) else { return };
        // SAFETY: the same buffer as in `write`, which is still there.
        match unsafe { self.transmit.pop_used(token, &[buffer], &mut []) } {
            Ok(_) => self.sending = None,
            Err(_) => self.is_broken = true,
        }
    }
}

impl Drop for BytePort {
    /// The device must let go of the rings and buffers before they are freed.
    fn drop(&mut self) {
        self.transport.queue_unset(RECEIVE);
        self.transport.queue_unset(TRANSMIT);
        self.transport.set_status(DeviceStatus::empty());
    }
}
