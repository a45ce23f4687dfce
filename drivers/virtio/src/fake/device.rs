//! The device's side of the fake.

use super::queue::DeviceQueue;
use super::{FakeDma, FakeTransport};
use crate::feature;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use spin::{Mutex, MutexGuard};
use virtio_drivers::transport::{DeviceStatus, DeviceType};

/// What the device is.
#[derive(Clone, Debug)]
pub struct FakeConfig {
    /// Its type.
    pub device_type: DeviceType,
    /// Features that it offers.
    pub features: u64,
    /// Its configuration space.
    pub config_space: Vec<u8>,
    /// How many queues it has.
    pub n_queues: u16,
    /// Largest queue that it takes.
    pub queue_size_max: u32,
    /// It never completes a reset.
    pub is_stuck: bool,
    /// It does not accept the features that it offered.
    pub refuses_features: bool,
}

impl Default for FakeConfig {
    fn default() -> Self {
        Self {
            device_type: DeviceType::Network,
            features: feature::VERSION_1,
            config_space: Vec::new(),
            n_queues: 2,
            queue_size_max: 256,
            is_stuck: false,
            refuses_features: false,
        }
    }
}

/// How to break the protocol at the next [`FakeDevice::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostile {
    /// Returns a number that is no descriptor.
    BadId,
    /// Says that more was written than there is room.
    BadLength,
    /// Moves its index, or its position, on by so many entries more than it returned.
    IndexJump(u16),
    /// Returns the chain twice.
    DoubleCompletion,
    /// Keeps the chain for ever.
    Never,
    /// Returns it with the wrong wrap counter (packed), or without moving the index (split).
    WrongWrap,
}

/// A chain of buffers that the driver made available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its first descriptor in a split ring, its id in a packed one.
    pub head: u16,
    /// Address and length of the buffers that the device reads.
    pub readable: Vec<(u64, u32)>,
    /// Address and length of the buffers that the device writes.
    pub writable: Vec<(u64, u32)>,
}

impl Chain {
    /// Bytes that the device may write.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.writable.iter().map(|&(_, len)| u64::from(len)).sum()
    }

    /// Takes a buffer in, with the flags of its descriptor.
    pub(super) fn take_buffer(&mut self, address: u64, len: u32, flags: u16) {
        if flags & 2 != 0 {
            self.writable.push((address, len));
        } else {
            assert!(self.writable.is_empty(), "readable buffer after a writable one");
            self.readable.push((address, len));
        }
    }

    /// Its descriptors.
    pub(super) fn len(&self) -> u16 {
        u16::try_from(self.readable.len() + self.writable.len()).unwrap_or(u16::MAX)
    }
}

pub(super) type SharedState = Arc<Mutex<State>>;
/// Called when the driver notifies a queue, with nothing locked.
pub(super) type Hook = Arc<dyn Fn(u16) + Send + Sync>;

pub(super) struct State {
    pub(super) config: FakeConfig,
    pub(super) driver_features: u64,
    pub(super) status: DeviceStatus,
    pub(super) config_generation: u32,
    pub(super) queues: Vec<DeviceQueue>,
    pub(super) on_notify: Option<Hook>,
    resets: u32,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("status", &self.status)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn set_status(&mut self, status: DeviceStatus) {
        if status == DeviceStatus::empty() {
            self.resets += 1;
            if self.config.is_stuck {
                return;
            }
            self.queues.fill(DeviceQueue::default());
            self.driver_features = 0;
        }
        self.status = status;
        if self.config.refuses_features {
            self.status.remove(DeviceStatus::FEATURES_OK);
        }
    }

    pub(super) fn queue_set(&mut self, queue: u16, size: u32, areas: [u64; 3]) {
        if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
            *queue = DeviceQueue::new(size, areas, self.driver_features);
        }
    }
}

/// A virtio device in software. A clone is the same device.
#[derive(Clone, Debug)]
pub struct FakeDevice {
    state: SharedState,
    dma: FakeDma,
}

impl FakeDevice {
    /// A device that works on `dma`'s memory.
    #[must_use]
    pub fn new(config: FakeConfig, dma: FakeDma) -> Self {
        let state = State {
            queues: alloc::vec![DeviceQueue::default(); config.n_queues.into()],
            config,
            driver_features: 0,
            status: DeviceStatus::empty(),
            config_generation: 0,
            on_notify: None,
            resets: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), dma }
    }

    /// The driver's side.
    #[must_use]
    pub fn transport(&self) -> FakeTransport {
        FakeTransport { state: self.state.clone() }
    }

    /// Runs `hook` with the queue's number whenever the driver notifies one.
    pub fn on_notify(&self, hook: impl Fn(u16) + Send + Sync + 'static) {
        self.state.lock().on_notify = Some(Arc::new(hook));
    }

    /// Changes what the device is, as a hypervisor does to a running one.
    pub fn configure(&self, change: impl FnOnce(&mut FakeConfig)) {
        let mut state = self.state.lock();
        change(&mut state.config);
        state.config_generation += 1;
    }

    /// Whether the driver has started the device.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.lock().status.contains(DeviceStatus::DRIVER_OK)
    }

    /// Features that the driver accepted.
    #[must_use]
    pub fn driver_features(&self) -> u64 {
        self.state.lock().driver_features
    }

    /// How often the driver reset the device.
    #[must_use]
    pub fn resets(&self) -> u32 {
        self.state.lock().resets
    }

    /// Size that the driver gave a queue; 0 when it is not set up.
    #[must_use]
    pub fn queue_size(&self, queue: u16) -> u32 {
        self.state.lock().queues.get(usize::from(queue)).map_or(0, |queue| queue.size)
    }

    /// Notifications of a queue since the last call.
    #[must_use]
    pub fn take_notified(&self, queue: u16) -> u64 {
        let mut state = self.state.lock();
        state
            .queues
            .get_mut(usize::from(queue))
            .map_or(0, |queue| core::mem::take(&mut queue.notified))
    }

    /// Breaks the protocol at the next `push` to `queue`.
    pub fn misbehave(&self, queue: u16, how: Hostile) {
        if let Some(queue) = self.state.lock().queues.get_mut(usize::from(queue)) {
            queue.hostile = Some(how);
        }
    }

    /// Chains that the driver made available and the device has not taken.
    #[must_use]
    pub fn waiting(&self, queue: u16) -> u16 {
        self.with(queue, |dma, queue| queue.waiting(dma)).unwrap_or(0)
    }

    /// Takes the next chain that the driver made available.
    ///
    /// # Panics
    ///
    /// When the driver made a chain that is none: a loop, or a descriptor out of range.
    #[must_use]
    pub fn pop(&self, queue: u16) -> Option<Chain> {
        self.with(queue, |dma, queue| queue.take(dma)).flatten()
    }

    /// The bytes of a chain's readable buffers.
    #[must_use]
    pub fn read(&self, chain: &Chain) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(address, len) in &chain.readable {
            self.dma.read_slice(address, &mut bytes, len);
        }
        bytes
    }

    /// Writes into a chain's writable buffers as much as fits, and says how much.
    pub fn write(&self, chain: &Chain, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        for &(address, len) in &chain.writable {
            let (now, later) = rest.split_at(rest.len().min(len as usize));
            self.dma.write(address, now);
            rest = later;
        }
        bytes.len() - rest.len()
    }

    /// Device address and length in bytes of a split queue's used ring, which is the device's to write
    /// as it likes: for tests that make up what is in it.
    #[must_use]
    pub fn used_ring(&self, queue: u16) -> Option<(u64, u32)> {
        self.with(queue, |_, queue| queue.used_ring()).flatten()
    }

    /// Writes what it likes where a packed queue's next used descriptor goes, if the device has taken
    /// what stood there: for tests that make up what comes back.
    pub fn forge(&self, queue: u16, id: u16, len: u32, flags: u16) {
        self.with(queue, |dma, queue| queue.forge(dma, id, len, flags));
    }

    /// Returns a chain with so many bytes written, and publishes it; or misbehaves as told.
    pub fn push(&self, queue: u16, chain: &Chain, written: u32) {
        self.push_all(queue, &[(chain.clone(), written)]);
    }

    /// As [`push`](Self::push) for many, which become visible together.
    pub fn push_all(&self, queue: u16, chains: &[(Chain, u32)]) {
        self.with(queue, |dma, queue| {
            for (chain, written) in chains {
                queue.give_back(dma, chain, *written);
            }
            queue.publish(dma);
        });
    }

    /// Returns chains, the oldest that it has and in their order, by naming the last of them alone, as a
    /// device may that uses them in order (virtio 1.2 §2.7.9, §2.8.9).
    pub fn push_batch(&self, queue: u16, chains: &[Chain], written_last: u32) {
        self.with(queue, |dma, queue| {
            queue.give_back_batch(dma, chains, written_last);
            queue.publish(dma);
        });
    }

    /// Takes a chain and gives its bytes, returning it at once: how a device sends what the driver
    /// transmits.
    #[must_use]
    pub fn consume(&self, queue: u16) -> Option<Vec<u8>> {
        let chain = self.pop(queue)?;
        let bytes = self.read(&chain);
        self.push(queue, &chain, 0);
        Some(bytes)
    }

    /// Writes bytes into the next chain, all in one: how a device delivers what the driver
    /// receives. `false` when there is no chain or it is too small (it is then lost to the driver).
    #[must_use]
    pub fn produce(&self, queue: u16, bytes: &[u8]) -> bool {
        let Some(chain) = self.pop(queue) else {
            return false;
        };
        let written = self.write(&chain, bytes);
        if written < bytes.len() {
            return false;
        }
        self.push(queue, &chain, u32::try_from(written).unwrap_or(u32::MAX));
        true
    }

    /// Runs `work` on a queue that is set up.
    fn with<R>(&self, queue: u16, work: impl FnOnce(&FakeDma, &mut DeviceQueue) -> R) -> Option<R> {
        let mut state: MutexGuard<'_, State> = self.state.lock();
        let queue = state.queues.get_mut(usize::from(queue)).filter(|queue| queue.size != 0)?;
        Some(work(&self.dma, queue))
    }
}
