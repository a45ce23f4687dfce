//! The device's side of the fake.

use super::{FakeDma, FakeTransport};
use crate::feature;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};
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
    /// Moves the index on by so many entries more than it returned.
    IndexJump(u16),
    /// Returns the chain twice.
    DoubleCompletion,
    /// Keeps the chain for ever.
    Never,
}

/// A chain of buffers that the driver made available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its first descriptor.
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
}

pub(super) type SharedState = Arc<Mutex<State>>;
/// Called when the driver notifies a queue, with nothing locked.
pub(super) type Hook = Arc<dyn Fn(u16) + Send + Sync>;

pub(super) struct State {
    pub(super) config: FakeConfig,
    pub(super) driver_features: u64,
    pub(super) status: DeviceStatus,
    pub(super) config_generation: u32,
    pub(super) queues: Vec<Queue>,
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

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queue {
    pub(super) size: u32,
    pub(super) notified: u64,
    areas: [u64; 3],
    next_avail: u16,
    next_used: u16,
    hostile: Option<Hostile>,
}

impl State {
    pub(super) fn set_status(&mut self, status: DeviceStatus) {
        if status == DeviceStatus::empty() {
            self.resets += 1;
            if self.config.is_stuck {
                return;
            }
            self.queues.fill(Queue::default());
            self.driver_features = 0;
        }
        self.status = status;
        if self.config.refuses_features {
            self.status.remove(DeviceStatus::FEATURES_OK);
        }
    }

    pub(super) fn queue_set(&mut self, queue: u16, size: u32, areas: [u64; 3]) {
        if let Some(queue) = self.queues.get_mut(usize::from(queue)) {
            *queue = Queue { size, areas, ..Queue::default() };
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
            queues: alloc::vec![Queue::default(); config.n_queues.into()],
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
        self.with(queue, |dma, _, queue| avail_index(dma, queue).wrapping_sub(queue.next_avail))
            .unwrap_or(0)
    }

    /// Takes the next chain that the driver made available.
    ///
    /// # Panics
    ///
    /// When the driver made a chain that is none: a loop, or a descriptor out of range.
    #[must_use]
    pub fn pop(&self, queue: u16) -> Option<Chain> {
        self.with(queue, |dma, has_event_idx, queue| {
            let index = avail_index(dma, queue);
            if index == queue.next_avail {
                return None;
            }
            let [descriptors, avail, used] = queue.areas;
            let slot = u64::from(queue.next_avail) % u64::from(queue.size);
            let head = dma.load_u16(avail + 4 + 2 * slot);
            queue.next_avail = queue.next_avail.wrapping_add(1);
            if has_event_idx {
                // Wants to hear of whatever comes after what it has taken (§2.7.10).
                let at = used + 4 + 8 * u64::from(queue.size);
                dma.store_u16(at, queue.next_avail);
                fence(Ordering::SeqCst);
            }
            Some(read_chain(dma, descriptors, queue.size, head))
        })
        .flatten()
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

    /// Device address and length in bytes of a queue's used ring, which is the device's to write
    /// as it likes: for tests that make up what is in it.
    #[must_use]
    pub fn used_ring(&self, queue: u16) -> Option<(u64, u32)> {
        self.with(queue, |_, _, queue| (queue.areas[2], 6 + 8 * queue.size))
    }

    /// Returns a chain with so many bytes written, and publishes it; or misbehaves as told.
    pub fn push(&self, queue: u16, chain: &Chain, written: u32) {
        self.push_all(queue, &[(chain.clone(), written)]);
    }

    /// As [`push`](Self::push) for many, which become visible together.
    pub fn push_all(&self, queue: u16, chains: &[(Chain, u32)]) {
        self.with(queue, |dma, _, queue| {
            for (chain, written) in chains {
                let (head, room) = (u32::from(chain.head), chain.room());
                let room = u32::try_from(room).unwrap_or(u32::MAX);
                match queue.hostile.take() {
                    None => put_used(dma, queue, head, *written),
                    Some(Hostile::Never) => {}
                    Some(Hostile::BadId) => put_used(dma, queue, queue.size, *written),
                    Some(Hostile::BadLength) => put_used(dma, queue, head, room.saturating_add(1)),
                    Some(Hostile::IndexJump(by)) => {
                        put_used(dma, queue, head, *written);
                        queue.next_used = queue.next_used.wrapping_add(by);
                    }
                    Some(Hostile::DoubleCompletion) => {
                        put_used(dma, queue, head, *written);
                        put_used(dma, queue, head, *written);
                    }
                }
            }
            publish_used(dma, queue);
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
    fn with<R>(&self, queue: u16, work: impl FnOnce(&FakeDma, bool, &mut Queue) -> R) -> Option<R> {
        let mut state: MutexGuard<'_, State> = self.state.lock();
        let has_event_idx = state.driver_features & feature::EVENT_IDX != 0;
        let queue = state.queues.get_mut(usize::from(queue)).filter(|queue| queue.size != 0)?;
        Some(work(&self.dma, has_event_idx, queue))
    }
}

fn avail_index(dma: &FakeDma, queue: &Queue) -> u16 {
    let index = dma.load_u16(queue.areas[1] + 2);
    // What the index covers is read after it.
    fence(Ordering::Acquire);
    index
}

fn read_chain(dma: &FakeDma, descriptors: u64, size: u32, head: u16) -> Chain {
    let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
    let mut at = head;
    for _ in 0..size {
        assert!(u32::from(at) < size, "descriptor {at} of {size}");
        let base = descriptors + 16 * u64::from(at);
        let address = dma.load_u64(base);
        let len = dma.load_u32(base + 8);
        let flags = dma.load_u16(base + 12);
        if flags & 2 != 0 {
            chain.writable.push((address, len));
        } else {
            assert!(chain.writable.is_empty(), "readable buffer after a writable one");
            chain.readable.push((address, len));
        }
        if flags & 1 == 0 {
            return chain;
        }
        at = dma.load_u16(base + 14);
    }
    panic!("chain at {head} has no end");
}

fn put_used(dma: &FakeDma, queue: &mut Queue, id: u32, written: u32) {
    let slot = u64::from(queue.next_used) % u64::from(queue.size);
    let at = queue.areas[2] + 4 + 8 * slot;
    dma.store_u32(at, id);
    dma.store_u32(at + 4, written);
    queue.next_used = queue.next_used.wrapping_add(1);
}

fn publish_used(dma: &FakeDma, queue: &Queue) {
    fence(Ordering::Release);
    dma.store_u16(queue.areas[2] + 2, queue.next_used);
}
