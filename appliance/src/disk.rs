//! Disks: virtio block devices (virtio 1.2 §5.2).
//!
//! # Which disk
//! The one whose serial is [`SERIAL`] keeps the configuration. The image may have been booted from
//! another, or be given one to read a seed from, and no disk that nobody gave it for this is written to.
//!
//! # Waiting
//! One request at a time, and the caller waits for it. A flush can take its host milliseconds, so the
//! polling bodies that share the processor have their turns meanwhile: the disk delays who changes
//! the configuration, never a frame. A device that does not answer for [`PATIENCE`] is given up.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use drive::{ReadFailed, Sectors};
use ovsdb::store::{BlockDevice, DeviceError, SECTOR};
use runtime::{cpu, time};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, DeviceType, SomeTransport, Transport};
use virtio_drivers::{Error, Result};

use crate::devices::Device;
use crate::dma::DeviceMemory;

/// The serial of the disk that is the image's to write.
const SERIAL: &str = "uniswitch-db";
/// A request that takes longer has failed, in nanoseconds.
const PATIENCE: u64 = 20_000_000_000;

const QUEUE_INDEX: u16 = 0;
const QUEUE: usize = 4;
const VERSION_1: u64 = 1 << 32;
/// `VIRTIO_BLK_F_RO`.
const READ_ONLY: u64 = 1 << 5;
/// `VIRTIO_BLK_F_FLUSH`; without it every write is durable when it is answered.
const FLUSH: u64 = 1 << 9;
/// Sectors of one request.
const RUN: usize = 64;
/// Bytes of a serial.
const ID_BYTES: usize = 20;

/// The disks of the machine.
#[derive(Default)]
pub(crate) struct Disks {
    /// The one to keep the configuration on.
    pub(crate) database: Option<Disk>,
    /// The others.
    pub(crate) spares: Vec<Spare>,
}

/// A disk to read from.
#[derive(Debug)]
pub(crate) struct Spare {
    /// Where it is.
    pub(crate) location: String,
    disk: Disk,
}

impl Disks {
    /// Takes the disks from among the devices and opens them.
    pub(crate) fn take(devices: &mut Vec<Device>, breathe: fn()) -> Self {
        let mut disks = Self::default();
        let found = devices.extract_if(.., |device| device.kind() == DeviceType::Block);
        for Device { location, transport, .. } in found {
            match Disk::new(transport, breathe) {
                Ok(mut disk) => {
                    if disks.database.is_none() && disk.is_ours() {
                        disks.database = Some(disk);
                    } else {
                        disks.spares.push(Spare { location, disk });
                    }
                }
                Err(error) => log::error!("disk at {location} cannot be used: {error}"),
            }
        }
        disks
    }
}

impl Sectors for Spare {
    fn n_sectors(&self) -> u64 {
        self.disk.n_sectors
    }

    fn read(
        &mut self,
        sector: u64,
        into: &mut [u8; SECTOR],
    ) -> core::result::Result<(), ReadFailed> {
        BlockDevice::read(&mut self.disk, sector, into).map_err(|_| ReadFailed)
    }
}

/// What a request asks for (§5.2.6).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    In = 0,
    Out = 1,
    Flush = 4,
    GetId = 8,
}

/// What the device reads and writes: in allocations that stay while the queue does.
struct Buffers {
    header: [u8; 16],
    data: Box<[[u8; SECTOR]]>,
    status: [u8; 1],
}

impl Buffers {
    /// What the device reads for a request of so many sectors, and what it writes.
    fn pieces(&mut self, kind: Kind, n_sectors: usize) -> (Vec<&[u8]>, Vec<&mut [u8]>) {
        let Self { header, data, status } = self;
        let (data, _) = data.split_at_mut(n_sectors.min(RUN));
        let data = data.as_flattened_mut();
        match kind {
            Kind::In => (vec![header], vec![data, status]),
            Kind::Out => (vec![header, data], vec![status]),
            Kind::Flush => (vec![header], vec![status]),
            Kind::GetId => {
                let (id, _) = data.split_at_mut(ID_BYTES);
                (vec![header], vec![id, status])
            }
        }
    }
}

/// The disk.
pub(crate) struct Disk {
    transport: SomeTransport<'static>,
    queue: VirtQueue<DeviceMemory, QUEUE>,
    buffers: Box<Buffers>,
    n_sectors: u64,
    can_flush: bool,
    is_read_only: bool,
    /// The device broke the rules or does not answer: it is not spoken to any more.
    is_broken: bool,
    breathe: fn(),
}

impl Disk {
    /// Sets the device up (§3.1.1).
    fn new(mut transport: SomeTransport<'static>, breathe: fn()) -> Result<Self> {
        let hello = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(hello);
        let offered = transport.read_device_features();
        if offered & VERSION_1 == 0 {
            return Err(Error::Unsupported);
        }
        transport.write_driver_features(offered & (VERSION_1 | READ_ONLY | FLUSH));
        transport.set_status(hello | DeviceStatus::FEATURES_OK);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(Error::Unsupported);
        }
        let half = |offset| transport.read_config_space::<u32>(offset).map(u64::from);
        let n_sectors = half(0)? | half(4)? << 32;
        let queue = VirtQueue::new(&mut transport, QUEUE_INDEX, false, false)?;
        transport.finish_init();
        let data = vec![[0; SECTOR]; RUN].into_boxed_slice();
        let buffers = Box::new(Buffers { header: [0; 16], data, status: [0] });
        Ok(Self {
            transport,
            queue,
            buffers,
            n_sectors,
            can_flush: offered & FLUSH != 0,
            is_read_only: offered & READ_ONLY != 0,
            is_broken: false,
            breathe,
        })
    }

    /// Whether the disk was given for this.
    fn is_ours(&mut self) -> bool {
        let is_told = self.request(Kind::GetId, 0, 1).is_ok();
        let id = self.buffers.data.as_flattened().get(..ID_BYTES).unwrap_or_default();
        let id = id.split(|byte| *byte == 0).next().unwrap_or_default();
        is_told && id == SERIAL.as_bytes() && !self.is_read_only
    }

    /// One request to its end, for up to [`RUN`] sectors. What is read or written stands in the buffers.
    fn request(
        &mut self,
        kind: Kind,
        sector: u64,
        n_sectors: usize,
    ) -> core::result::Result<(), DeviceError> {
        if self.is_broken {
            return Err(DeviceError::Failed);
        }
        let Buffers { header, data, status } = &mut *self.buffers;
        header[..4].copy_from_slice(&(kind as u32).to_le_bytes());
        header[4..8].fill(0);
        header[8..].copy_from_slice(&sector.to_le_bytes());
        status[0] = u8::MAX;
        if kind == Kind::GetId {
            data.as_flattened_mut().fill(0);
        }
        let (inputs, mut outputs) = self.buffers.pieces(kind, n_sectors);
        // SAFETY: the buffers are on the heap, live as long as the queue and are not touched until
        // this token was popped below; if it never is, they are never touched again (`is_broken`).
        let token = unsafe { self.queue.add(&inputs, &mut outputs) };
        let Ok(token) = token else {
            self.is_broken = true;
            return Err(DeviceError::Failed);
        };
        if self.queue.should_notify() {
            self.transport.notify(QUEUE_INDEX);
        }
        let begin = time::now();
        while !self.queue.can_pop() {
            if time::now().saturating_sub(begin) > PATIENCE {
                log::error!("the disk does not answer");
                self.is_broken = true;
                return Err(DeviceError::Failed);
            }
            (self.breathe)();
            cpu::pause();
        }
        let (inputs, mut outputs) = self.buffers.pieces(kind, n_sectors);
        // SAFETY: the same buffers as above, which are still there.
        let popped = unsafe { self.queue.pop_used(token, &inputs, &mut outputs) };
        if popped.is_err() {
            self.is_broken = true;
        }
        if popped.is_ok() && self.buffers.status == [0] { Ok(()) } else { Err(DeviceError::Failed) }
    }
}

impl Disk {
    /// Whether there are so many sectors from this one on.
    fn check(&self, first: u64, n_sectors: usize) -> core::result::Result<(), DeviceError> {
        let end = u64::try_from(n_sectors).ok().and_then(|n| first.checked_add(n));
        let is_there = end.is_some_and(|end| end <= self.n_sectors);
        if is_there { Ok(()) } else { Err(DeviceError::OutOfRange) }
    }
}

impl BlockDevice for Disk {
    fn n_sectors(&self) -> u64 {
        self.n_sectors
    }

    fn read(
        &mut self,
        sector: u64,
        into: &mut [u8; SECTOR],
    ) -> core::result::Result<(), DeviceError> {
        self.read_run(sector, core::slice::from_mut(into))
    }

    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> core::result::Result<(), DeviceError> {
        self.write_run(sector, core::slice::from_ref(from))
    }

    fn read_run(
        &mut self,
        mut first: u64,
        into: &mut [[u8; SECTOR]],
    ) -> core::result::Result<(), DeviceError> {
        self.check(first, into.len())?;
        for into in into.chunks_mut(RUN) {
            self.request(Kind::In, first, into.len())?;
            into.copy_from_slice(self.buffers.data.get(..into.len()).unwrap_or_default());
            first += into.len() as u64;
        }
        Ok(())
    }

    fn write_run(
        &mut self,
        mut first: u64,
        from: &[[u8; SECTOR]],
    ) -> core::result::Result<(), DeviceError> {
        self.check(first, from.len())?;
        for from in from.chunks(RUN) {
            if self.is_broken {
                return Err(DeviceError::Failed);
            }
            if let Some(place) = self.buffers.data.get_mut(..from.len()) {
                place.copy_from_slice(from);
            }
            self.request(Kind::Out, first, from.len())?;
            first += from.len() as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> core::result::Result<(), DeviceError> {
        if self.can_flush { self.request(Kind::Flush, 0, 0) } else { Ok(()) }
    }
}

impl core::fmt::Debug for Disk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Disk").field("n_sectors", &self.n_sectors).finish_non_exhaustive()
    }
}

impl Drop for Disk {
    /// The device must let go of ring and buffers before they are freed.
    fn drop(&mut self) {
        self.transport.queue_unset(QUEUE_INDEX);
        self.transport.set_status(DeviceStatus::empty());
    }
}
