//! A transport whose device is a vhost-user back end.
//!
//! Features and the sizes and places of rings are collected while the driver initialises the device;
//! when it says that it is ready (`DRIVER_OK`), all of it goes to the back end at once, and the rings are
//! enabled. Back to status 0, the rings are stopped: the answer to `GET_VRING_BASE` is the back end's
//! word that it touches them no more.

use crate::Memory;
use std::fmt;
use std::io;
use std::path::Path;
use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use virtio::fake::DeviceQueue;
use virtio::virtio_drivers::transport::InterruptStatus;
use virtio::virtio_drivers::{Error, PhysAddr};
use virtio::{DeviceStatus, DeviceType, MAX_QUEUE_SIZE, Transport};
use virtio_net::feature;
use vmm_sys_util::eventfd::EventFd;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The back end speaks of features of the protocol, too (vhost-user, "Feature negotiation").
const PROTOCOL_FEATURES: u64 = 1 << 30;
/// Features that are answered here and not by the back end.
const OURS: u64 = feature::MAC | feature::MTU | feature::CTRL_VQ | feature::MQ;
/// Largest ring that is offered.
const QUEUE_SIZE: u16 = if MAX_QUEUE_SIZE < 1024 { MAX_QUEUE_SIZE } else { 1024 };

/// What the device says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// Its address.
    pub mac: [u8; 6],
    /// Its MTU in bytes.
    pub mtu: u16,
    /// Its queue pairs.
    pub pairs: u16,
    /// Whether frames may be spread over several receive buffers.
    pub is_mergeable: bool,
}

/// A transport to a vhost-user back end.
pub struct Front {
    frontend: Frontend,
    memory: Memory,
    device: Device,
    offered: u64,
    accepted: u64,
    status: DeviceStatus,
    queues: Vec<Queue>,
    /// The control queue, behind the last pair.
    control: DeviceQueue,
    config_space: Vec<u8>,
    /// The first thing that went wrong with the back end.
    failure: Option<vhost::Error>,
}

#[derive(Debug, Default)]
struct Queue {
    size: u16,
    /// Descriptors, driver's area, device's area.
    areas: [u64; 3],
    /// To notify the back end.
    kick: Option<EventFd>,
}

impl Front {
    /// Connects to the back end that listens at `socket`. Rings and buffers must lie in `memory`.
    ///
    /// # Errors
    /// When there is none, or it does not speak as it should.
    pub fn connect(socket: &Path, memory: Memory, device: Device) -> io::Result<Self> {
        let n_queues = 2 * device.pairs + 1;
        let mut frontend =
            Frontend::connect(socket, u64::from(2 * device.pairs)).map_err(io::Error::other)?;
        let offered = (|| {
            frontend.set_owner()?;
            let offered = frontend.get_features()?;
            if offered & PROTOCOL_FEATURES == 0 {
                return Ok(offered);
            }
            // The first time the features are set, the protocol's may be asked for.
            frontend.set_features(offered & PROTOCOL_FEATURES)?;
            let known = frontend.get_protocol_features()?;
            let wanted = VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK;
            frontend.set_protocol_features(known & wanted)?;
            if known.contains(VhostUserProtocolFeatures::REPLY_ACK) {
                frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
            }
            if known.contains(VhostUserProtocolFeatures::MQ) {
                frontend.get_queue_num()?;
            }
            Ok(offered)
        })()
        .map_err(|why: vhost::Error| io::Error::other(why))?;
        let several = if device.pairs > 1 { feature::CTRL_VQ | feature::MQ } else { 0 };
        let mut features = offered & !OURS | feature::MAC | feature::MTU | several;
        if !device.is_mergeable {
            features &= !feature::MRG_RXBUF;
        }
        // virtio 1.2 §5.1.4: address, status, pairs, MTU.
        let mut config_space = device.mac.to_vec();
        for word in [1, device.pairs, device.mtu] {
            config_space.extend(word.to_le_bytes());
        }
        Ok(Self {
            frontend,
            memory,
            device,
            offered: features,
            accepted: 0,
            status: DeviceStatus::empty(),
            queues: (0..n_queues).map(|_| Queue::default()).collect(),
            control: DeviceQueue::default(),
            config_space,
            failure: None,
        })
    }

    /// Hands everything to the back end.
    fn start(&mut self) -> vhost::Result<()> {
        let backend = self.accepted & !OURS | self.frontend.get_features()? & PROTOCOL_FEATURES;
        // Offloads that nobody asked for stay away; whether frames may be spread was settled above.
        self.frontend.set_features(backend)?;
        let (address, len, file) = self.memory.whole();
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: address,
            memory_size: len,
            userspace_addr: address,
            mmap_offset: 0,
            mmap_handle: file,
        };
        self.frontend.set_mem_table(&[region])?;
        let rings = usize::from(2 * self.device.pairs);
        for (number, queue) in self.queues.iter_mut().enumerate().take(rings) {
            if queue.size == 0 {
                continue;
            }
            let [descriptors, driver, device] = queue.areas;
            self.frontend.set_vring_num(number, queue.size)?;
            let places = VringConfigData {
                queue_max_size: QUEUE_SIZE,
                queue_size: queue.size,
                flags: 0,
                desc_table_addr: descriptors,
                used_ring_addr: device,
                avail_ring_addr: driver,
                log_addr: None,
            };
            self.frontend.set_vring_addr(number, &places)?;
            // A packed ring begins with a wrap counter of 1, which is the highest bit.
            let is_packed = self.accepted & feature::RING_PACKED != 0;
            self.frontend.set_vring_base(number, if is_packed { 1 << 15 } else { 0 })?;
            let event = || EventFd::new(0).map_err(vhost::Error::IOError);
            let (kick, call) = (event()?, event()?);
            self.frontend.set_vring_call(number, &call)?;
            self.frontend.set_vring_kick(number, &kick)?;
            queue.kick = Some(kick);
        }
        if backend & PROTOCOL_FEATURES != 0 {
            for number in 0..rings {
                self.frontend.set_vring_enable(number, self.queues[number].size != 0)?;
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> vhost::Result<()> {
        for (number, queue) in self.queues.iter_mut().enumerate() {
            if queue.kick.take().is_some() {
                self.frontend.get_vring_base(number)?;
            }
            *queue = Queue::default();
        }
        Ok(())
    }

    /// Answers every command of the control queue with "done" (virtio 1.2 §5.1.6.5): the back end has all
    /// its rings enabled.
    fn answer_control(&mut self) {
        let Self { control, memory, .. } = self;
        while let Some(chain) = control.take(memory) {
            // The answer is the last of the chain.
            if let Some(&(answer, _)) = chain.writable.last() {
                memory.write(answer, &[0]);
            }
            control.give_back(memory, &chain, 1);
        }
        control.publish(memory);
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, status, accepted, failure, .. } = self;
        let mut out = f.debug_struct("Front");
        out.field("device", device).field("status", status).field("accepted", accepted);
        out.field("failure", failure).finish_non_exhaustive()
    }
}

impl Transport for Front {
    fn device_type(&self) -> DeviceType {
        DeviceType::Network
    }

    fn read_device_features(&mut self) -> u64 {
        self.offered
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.accepted = driver_features;
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        if usize::from(queue) < self.queues.len() { QUEUE_SIZE.into() } else { 0 }
    }

    fn notify(&mut self, queue: u16) {
        if queue == 2 * self.device.pairs {
            self.answer_control();
        } else if let Some(kick) =
            self.queues.get(usize::from(queue)).and_then(|queue| queue.kick.as_ref())
        {
            // A counter that is full wakes the back end all the same.
            let _ = kick.write(1);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        match self.failure {
            Some(_) => self.status | DeviceStatus::DEVICE_NEEDS_RESET,
            None => self.status,
        }
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let starts = |status: DeviceStatus| status.contains(DeviceStatus::DRIVER_OK);
        let (was, is) = (starts(self.status), starts(status));
        let done = match (was, is) {
            (false, true) => self.start(),
            (true, false) => self.stop(),
            _ => Ok(()),
        };
        if let Err(why) = done {
            self.failure.get_or_insert(why);
        }
        self.status = status;
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        let areas = [descriptors, driver_area, device_area];
        if queue == 2 * self.device.pairs {
            self.control = DeviceQueue::new(size, areas, self.accepted);
        }
        if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
            queue.size = u16::try_from(size).unwrap_or(0);
            queue.areas = areas;
        }
    }

    fn queue_unset(&mut self, queue: u16) {
        if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
            *queue = Queue::default();
        }
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.queues.get(usize::from(queue)).is_some_and(|queue| queue.size != 0)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let bytes = self.config_space.get(offset..).ok_or(Error::ConfigSpaceTooSmall)?;
        let (value, _) = T::read_from_prefix(bytes).map_err(|_| Error::ConfigSpaceTooSmall)?;
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _offset: usize,
        _value: T,
    ) -> Result<(), Error> {
        // Nothing in it is the driver's to write (§5.1.4).
        Ok(())
    }
}
