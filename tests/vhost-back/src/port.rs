//! What a front end tells of its device, message by message.
//!
//! # Concurrency
//! One thread takes the messages, another works on the rings; both under one lock, so that the answer to
//! `GET_VRING_BASE` is true: the ring is not touched any more.

use crate::memory::Memory;
use crate::ring::Ring;
use std::fs::File;
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight,
    VhostUserLog, VhostUserMemoryRegion, VhostUserShMemConfig, VhostUserSharedMsg,
    VhostUserSingleMemoryRegion, VhostUserVringAddrFlags, VhostUserVringState,
};
use vhost::vhost_user::{
    Error, GpuBackend, Result, VhostUserBackendReqHandlerMut, VhostUserProtocolFeatures,
    VhostUserVirtioFeatures,
};

/// Header with a number of buffers (virtio 1.2 §5.1.3): frames may be spread, which they are not here.
const MRG_RXBUF: u64 = 1 << 15;
const VERSION_1: u64 = 1 << 32;
/// The protocol has features of its own.
const PROTOCOL_FEATURES: u64 = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();

const UNKNOWN: Error = Error::InvalidOperation("not a feature of this back end");

/// The queue by which the driver receives, and that by which it sends.
pub(crate) const RECEIVE: usize = 0;
pub(crate) const TRANSMIT: usize = 1;

/// A device with one queue pair.
#[derive(Debug, Default)]
pub(crate) struct Port {
    memory: Memory,
    rings: [Ring; 2],
    /// Offloads on offer.
    offered: Offloads,
    accepted: u64,
}

/// What a port does beyond taking and giving finished frames, as bits of virtio's features (virtio 1.2 §5.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads(u64);

impl Offloads {
    /// It takes frames of which the transport checksum is left to it.
    pub const TAKES_CHECKSUMS: Self = Self(1);
    /// It may leave the transport checksum to the driver.
    pub const LEAVES_CHECKSUMS: Self = Self(1 << 1);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Port {
    /// A device that nobody has spoken with.
    pub(crate) fn new(offered: Offloads) -> Self {
        Self { offered, ..Self::default() }
    }

    /// As it was before anybody spoke with it.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.offered);
    }

    /// What both ends have agreed to.
    pub(crate) fn agreed(&self) -> Offloads {
        Offloads(self.offered.0 & self.accepted)
    }

    /// Whether the driver and the front end have set up both rings.
    pub(crate) fn is_up(&self) -> bool {
        self.accepted & VERSION_1 != 0 && self.rings.iter().all(Ring::is_up)
    }

    /// A ring, and the memory in which its buffers are; none unless both rings are set up.
    pub(crate) fn ring(&mut self, queue: usize) -> Option<(&mut Ring, &Memory)> {
        let is_up = self.is_up();
        self.rings.get_mut(queue).filter(|_| is_up).map(|ring| (ring, &self.memory))
    }

    fn change(&mut self, queue: u32, change: impl FnOnce(&mut Ring)) -> Result<()> {
        let ring = usize::try_from(queue).ok().and_then(|queue| self.rings.get_mut(queue));
        change(ring.ok_or(Error::InvalidParam)?);
        Ok(())
    }
}

impl VhostUserBackendReqHandlerMut for Port {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        self.forget();
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(VERSION_1 | MRG_RXBUF | PROTOCOL_FEATURES | self.offered.0)
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        self.accepted = features;
        Ok(())
    }

    fn set_mem_table(
        &mut self,
        table: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy_listening: Option<bool>,
    ) -> Result<Option<Vec<u64>>> {
        self.memory = Memory::map(table, files).map_err(|_| Error::InvalidParam)?;
        Ok(None)
    }

    fn set_vring_num(&mut self, queue: u32, size: u32) -> Result<()> {
        let size = u16::try_from(size).map_err(|_| Error::InvalidParam)?;
        self.change(queue, |ring| ring.size = size)
    }

    fn set_vring_addr(
        &mut self,
        queue: u32,
        _flags: VhostUserVringAddrFlags,
        descriptors: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        self.change(queue, |ring| ring.areas = [descriptors, available, used])
    }

    fn set_vring_base(&mut self, queue: u32, base: u32) -> Result<()> {
        let base = u16::try_from(base).map_err(|_| Error::InvalidParam)?;
        self.change(queue, |ring| ring.next = base)
    }

    fn get_vring_base(&mut self, queue: u32) -> Result<VhostUserVringState> {
        let mut base = 0;
        self.change(queue, |ring| {
            base = ring.next.into();
            ring.stop();
        })?;
        Ok(VhostUserVringState::new(queue, base))
    }

    /// The last word before a ring is used. The file itself is for those who wait for notifications.
    fn set_vring_kick(&mut self, queue: u8, _file: Option<File>) -> Result<()> {
        let ring = self.rings.get_mut(usize::from(queue)).ok_or(Error::InvalidParam)?;
        ring.start(&self.memory).map_err(|_| Error::InvalidParam)
    }

    fn set_vring_call(&mut self, queue: u8, file: Option<File>) -> Result<()> {
        self.change(queue.into(), |ring| ring.call = file)
    }

    fn set_vring_err(&mut self, _queue: u8, _file: Option<File>) -> Result<()> {
        Ok(())
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::REPLY_ACK)
    }

    fn set_protocol_features(&mut self, _features: u64) -> Result<()> {
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(1)
    }

    /// A ring that is started is used: with one queue pair nobody leaves one out, and QEMU may say this too early to
    /// be heard.
    fn set_vring_enable(&mut self, _queue: u32, _is_enabled: bool) -> Result<()> {
        Ok(())
    }

    fn get_config(&mut self, _: u32, _: u32, _: VhostUserConfigFlags) -> Result<Vec<u8>> {
        Err(UNKNOWN)
    }

    fn set_config(&mut self, _: u32, _: &[u8], _: VhostUserConfigFlags) -> Result<()> {
        Err(UNKNOWN)
    }

    fn set_gpu_socket(&mut self, _: GpuBackend) -> Result<()> {
        Err(UNKNOWN)
    }

    fn get_shared_object(&mut self, _: VhostUserSharedMsg) -> Result<File> {
        Err(UNKNOWN)
    }

    fn get_inflight_fd(&mut self, _: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        Err(UNKNOWN)
    }

    fn set_inflight_fd(&mut self, _: &VhostUserInflight, _: File) -> Result<()> {
        Err(UNKNOWN)
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        Err(UNKNOWN)
    }

    fn add_mem_region(
        &mut self,
        _: &VhostUserSingleMemoryRegion,
        _: File,
        _: Option<bool>,
    ) -> Result<Option<u64>> {
        Err(UNKNOWN)
    }

    fn remove_mem_region(&mut self, _: &VhostUserSingleMemoryRegion) -> Result<()> {
        Err(UNKNOWN)
    }

    fn set_device_state_fd(
        &mut self,
        _: VhostTransferStateDirection,
        _: VhostTransferStatePhase,
        _: File,
    ) -> Result<Option<File>> {
        Err(UNKNOWN)
    }

    fn check_device_state(&mut self) -> Result<()> {
        Err(UNKNOWN)
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        Err(UNKNOWN)
    }

    fn set_log_base(&mut self, _: &VhostUserLog, _: File) -> Result<()> {
        Err(UNKNOWN)
    }
}
