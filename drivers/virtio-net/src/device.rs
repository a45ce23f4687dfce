//! The device: what it is, and its way up and down.
//!
//! ```text
//! Closed --open--> Open --stop, reset--> Closed
//!            |              \--(does not stop)----> Stuck
//!            \--(fails)--> Closed, or Stuck when it does not even stop
//! ```
//! A stuck device may still write to the memory that it was given, so that memory is never used
//! again; the next `open` tries to stop it once more.

use crate::config::{self, Config, SEGMENTATION, WANTED, feature};
use crate::control::{self, Control, Retired};
use crate::offload::Taken;
use crate::queue::{PacketQueue, Shared};
use crate::rx::{Rx, RxConfig};
use crate::tx::Tx;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use netdev::{LinkState, Netdev, NetdevInfo, OpenError, QueuePair};
use packet::{Pool, PoolCache};
use spin::Mutex;
use virtio::init::{self, InitError};
use virtio::{
    Dma, DmaRegion, Doorbells, PackedQueue, Ring, RingTerms, SplitQueue, Transport, choose_size,
};

/// Ring size unless configured otherwise.
const DEFAULT_QUEUE_SIZE: u16 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open,
    Stuck,
}

/// Descriptors of a ring.
#[derive(Clone, Copy, Debug)]
struct RingSizes {
    /// At the most this time.
    wanted: u16,
    /// At the most ever.
    longest: u16,
}

impl RingSizes {
    fn only(size: u16) -> Self {
        Self { wanted: size, longest: size }
    }
}

/// The queues of a device that comes up.
struct Queues<T: Transport, R: Ring> {
    rx: Vec<Rx<T, R>>,
    tx: Vec<Tx<T, R>>,
}

/// A virtio network device.
#[derive(Debug)]
pub struct VirtioNet<T: Transport, D: Dma> {
    info: NetdevInfo,
    shared: Arc<Shared<T>>,
    dma: D,
    doorbells: Option<Box<dyn Doorbells>>,
    queue_size: u16,
    /// Pairs that have rings of that size; with more of them, rings are shorter.
    full_pairs: u16,
    features: u64,
    max_pairs: u16,
    state: State,
    /// The control queue that set this start up.
    control: Option<Retired>,
    /// Memory for control commands, once allocated.
    control_memory: Option<DmaRegion>,
}

impl<T, D> VirtioNet<T, D>
where
    T: Transport + Send + Debug + 'static,
    D: Dma,
{
    /// Looks at the device behind `transport`: what it offers and who it is. It is left reset;
    /// `open` starts it. Of what it offers the `refused` features are not used
    /// ([`optional_feature`](crate::optional_feature)).
    ///
    /// # Errors
    ///
    /// When it is not a modern device that works as the standard says.
    pub fn new(name: String, mut transport: T, dma: D, refused: u64) -> Result<Self, OpenError> {
        if transport.device_type() != virtio::DeviceType::Network {
            return Err(OpenError::Unsupported("device type network"));
        }
        let offered = init::offered(&mut transport).map_err(from_init)?;
        if offered & feature::VERSION_1 == 0 {
            return Err(OpenError::Unsupported("feature version-1"));
        }
        let mut features = config::usable(offered & WANTED & (!refused | feature::VERSION_1));
        if features & feature::RING_PACKED != 0 {
            // Wishes for notifications are on and off there, not positions: QEMU (7.2) leaves the position
            // behind when its back end holds up a burst of which it then takes the rest, and hears of
            // nothing that comes after. With a split ring it moves the index on with each chain.
            features &= !feature::EVENT_IDX;
        }
        let config = Config::read(&transport, features).map_err(|_| OpenError::Config)?;
        init::reset(&mut transport).map_err(from_init)?;
        let info = NetdevInfo {
            mac: config.mac.unwrap_or_else(|| made_up_mac(&name)),
            name,
            mtu: config.mtu,
            max_queue_pairs: config.max_pairs,
            driver: "virtio-net",
            features: config::names(features),
            offloads: config::offloads(features),
        };
        let [a, b, c, d, e, f] = info.mac;
        log::info!(
            "{}: virtio-net {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} mtu {} pairs {} \
             features {:?} (offered {offered:#x})",
            info.name,
            info.mtu,
            info.max_queue_pairs,
            info.features
        );
        let shared = Shared {
            transport: Mutex::new(transport),
            is_stopped: AtomicBool::new(true),
            live: AtomicUsize::new(0),
            rings: Mutex::new(Vec::new()),
        };
        Ok(Self {
            info,
            shared: Arc::new(shared),
            dma,
            doorbells: None,
            queue_size: DEFAULT_QUEUE_SIZE,
            full_pairs: u16::MAX,
            features,
            max_pairs: config.max_pairs,
            state: State::Closed,
            control: None,
            control_memory: None,
        })
    }

    /// Uses rings of at most `size` descriptors (rounded down to a power of two).
    #[must_use]
    pub fn with_queue_size(mut self, size: u16) -> Self {
        self.queue_size = size.max(2);
        self
    }

    /// Opened with more than so many pairs, uses shorter rings in proportion: together they hold no more
    /// buffers than those do.
    #[must_use]
    pub fn with_full_pairs(mut self, n_pairs: u16) -> Self {
        self.full_pairs = n_pairs.max(1);
        self
    }

    /// Notifies through doorbells, which costs one store and no lock.
    #[must_use]
    pub fn with_doorbells(mut self, doorbells: Box<dyn Doorbells>) -> Self {
        self.doorbells = Some(doorbells);
        self
    }

    /// Brings the device up with rings of one layout, or leaves it stopped.
    fn bring_up<R: Ring + 'static>(
        &mut self,
        n_pairs: u16,
        pool: &Arc<Pool>,
    ) -> Result<Vec<QueuePair>, OpenError> {
        let mut queues = Queues { rx: Vec::new(), tx: Vec::new() };
        if let Err(error) = self.start::<R>(n_pairs, pool, &mut queues) {
            log::error!("{}: does not open: {error}", self.info.name);
            // What failed to open counts; `halt` says itself when it fails too.
            let _ = self.halt();
            return Err(error);
        }
        self.state = State::Open;
        let pair =
            |(rx, tx): (Rx<T, R>, Tx<T, R>)| QueuePair { rx: Box::new(rx), tx: Box::new(tx) };
        Ok(queues.rx.into_iter().zip(queues.tx).map(pair).collect())
    }

    /// Brings the device up. The queues made so far are in `queues` also when it fails, since
    /// they must outlive the reset that follows then.
    fn start<R: Ring>(
        &mut self,
        n_pairs: u16,
        pool: &Arc<Pool>,
        queues: &mut Queues<T, R>,
    ) -> Result<(), OpenError> {
        let shared = self.shared.clone();
        let mut transport = shared.transport.lock();
        // What a queue looks like and how frames lie in it was settled when the device was looked at.
        let required = feature::MRG_RXBUF | feature::MTU | feature::RING_PACKED;
        let required = required | feature::CSUM | feature::GUEST_CSUM | SEGMENTATION;
        let features = init::negotiate(&mut *transport, self.features, self.features & required);
        self.features = features.map_err(from_init)?;
        // From here on the device may come to own memory.
        shared.is_stopped.store(false, Ordering::Release);

        let rx_config = RxConfig {
            is_mergeable: self.has(feature::MRG_RXBUF),
            mtu: self.info.mtu,
            n_jumbo: 0,
            taken: Taken::of(self.features),
        };
        let mut cache = PoolCache::new(pool.clone());
        let sizes = self.ring_sizes(n_pairs);
        for pair in 0..n_pairs {
            // §5.1.2: receive queues are even, transmit queues odd.
            let mut queue = self.packet_queue(2 * pair, sizes, &mut transport)?;
            let doorbells = self.doorbells.as_mut();
            queue.set_interrupt(doorbells.is_some_and(|bells| bells.interrupt(2 * pair, pair)));
            let n_jumbo = RxConfig::jumbo_share(self.info.mtu, pool.available().1);
            let mut receiver = Rx::new(queue, RxConfig { n_jumbo, ..rx_config });
            let (posted, _) = receiver.fill(&mut cache);
            queues.rx.push(receiver);
            if posted == 0 {
                return Err(OpenError::NoBuffers);
            }
            let queue = self.packet_queue(2 * pair + 1, sizes, &mut transport)?;
            queues.tx.push(Tx::new(queue, self.info.mtu, self.info.offloads));
        }
        let mut control = None;
        if self.has(feature::CTRL_VQ) {
            control = Some(self.control_queue::<R>(&mut transport)?);
        }
        init::start(&mut *transport);
        let told = match &mut control {
            Some(control) if n_pairs > 1 => control.set_pairs(n_pairs, &mut *transport),
            None if n_pairs > 1 => Err(OpenError::QueuePairs),
            _ => Ok(()),
        };
        self.control = control.map(Control::retire);
        told?;
        drop(transport);
        // Buffers were posted before the start: tell the device of them (§3.1.1 step 8).
        queues.rx.iter().for_each(Rx::notify);
        Ok(())
    }

    /// How long rings are, where there are so many pairs.
    fn ring_sizes(&self, n_pairs: u16) -> RingSizes {
        let full = u32::from(self.full_pairs.min(n_pairs));
        let size = u32::from(self.queue_size) * full / u32::from(n_pairs.max(1));
        let wanted = u16::try_from(size).unwrap_or(u16::MAX).max(2);
        RingSizes { wanted, longest: self.queue_size }
    }

    fn packet_queue<R: Ring>(
        &mut self,
        number: u16,
        sizes: RingSizes,
        transport: &mut T,
    ) -> Result<PacketQueue<T, R>, OpenError> {
        let ring = self.ring(number, sizes, transport)?;
        let doorbell = self.doorbells.as_mut().and_then(|doorbells| doorbells.doorbell(number));
        Ok(PacketQueue::new(ring, number, doorbell, self.shared.clone()))
    }

    fn control_queue<R: Ring>(&mut self, transport: &mut T) -> Result<Control<R>, OpenError> {
        // §5.1.2: after the last possible pair.
        let number = 2 * if self.has(feature::MQ) { self.max_pairs } else { 1 };
        let memory = match self.control_memory.take() {
            Some(memory) => memory,
            None => self.dma.alloc(control::BYTES, 64).ok_or(OpenError::NoDmaMemory)?,
        };
        let ring = self.ring(number, RingSizes::only(control::SIZE), transport)?;
        Ok(Control { ring, memory, number })
    }

    fn ring<R: Ring>(
        &self,
        number: u16,
        sizes: RingSizes,
        transport: &mut T,
    ) -> Result<R, OpenError> {
        let max = transport.max_queue_size(number);
        let size = choose_size(max, sizes.wanted).ok_or(OpenError::QueueSize)?;
        let terms = RingTerms {
            has_event_idx: self.has(feature::EVENT_IDX),
            is_in_order: self.has(feature::IN_ORDER),
        };
        let left = {
            let mut rings = self.shared.rings.lock();
            let at = rings.iter().position(|(queue, _)| *queue == number);
            at.map(|at| rings.swap_remove(at).1)
        };
        let fresh = || {
            // Memory is for ever, so it is for the longest ring that may come.
            let longest = choose_size(max, sizes.longest)?;
            let region = self.dma.alloc(R::required_bytes(longest.max(size)), 64)?;
            R::in_region(size, terms, region)
        };
        let ring = left
            .and_then(|region| R::in_region(size, terms, region))
            .or_else(fresh)
            .ok_or(OpenError::NoDmaMemory)?;
        let (descriptors, driver, device) = ring.device_addresses();
        transport.queue_set(number, size.into(), descriptors, driver, device);
        Ok(ring)
    }

    /// Resets the device and takes the control queue back.
    fn halt(&mut self) -> Result<(), OpenError> {
        let reset = init::reset(&mut *self.shared.transport.lock());
        if reset.is_err() {
            log::error!("{}: does not stop", self.info.name);
            self.state = State::Stuck;
            return Err(OpenError::NotStopping);
        }
        self.shared.is_stopped.store(true, Ordering::Release);
        self.state = State::Closed;
        if let Some(Retired { ring, memory, number }) = self.control.take() {
            self.shared.rings.lock().push((number, ring));
            self.control_memory = Some(memory);
        }
        Ok(())
    }

    fn has(&self, bit: u64) -> bool {
        self.features & bit != 0
    }
}

impl<T, D> Netdev for VirtioNet<T, D>
where
    T: Transport + Send + Debug + 'static,
    D: Dma,
{
    fn info(&self) -> &NetdevInfo {
        &self.info
    }

    fn open(&mut self, n_pairs: u16, pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        if self.state == State::Open {
            return Err(OpenError::AlreadyOpen);
        }
        if n_pairs == 0 || n_pairs > self.max_pairs {
            return Err(OpenError::QueuePairs);
        }
        if self.state == State::Stuck {
            self.halt()?;
        }
        if self.shared.live.load(Ordering::Acquire) != 0 {
            return Err(OpenError::WrongQueues);
        }
        if self.has(feature::RING_PACKED) {
            self.bring_up::<PackedQueue>(n_pairs, pool)
        } else {
            self.bring_up::<SplitQueue>(n_pairs, pool)
        }
    }

    fn link(&mut self) -> LinkState {
        let transport = self.shared.transport.lock();
        let (up, speed_mbps) = config::link(&*transport, self.features);
        LinkState { up, speed_mbps }
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        if self.state == State::Closed { Ok(()) } else { self.halt() }
    }

    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError> {
        // First the device lets go of the memory, then the queues do.
        let stopped = match self.state {
            // It did not stop a moment ago. The next `open` tries again.
            State::Stuck => Err(OpenError::NotStopping),
            State::Open | State::Closed => self.stop(),
        };
        drop(returned);
        stopped?;
        if self.shared.live.load(Ordering::Acquire) != 0 {
            return Err(OpenError::WrongQueues);
        }
        Ok(())
    }
}

/// An address for a device without one: locally administered, and the same at every boot.
fn made_up_mac(name: &str) -> [u8; 6] {
    // FNV-1a.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, ..] = hash.to_le_bytes();
    [0x02, a, b, c, d, e]
}

fn from_init(error: InitError) -> OpenError {
    match error {
        InitError::NotResetting => OpenError::NotStopping,
        InitError::Missing(_) => OpenError::Unsupported("a feature that it offered before"),
        InitError::Refused => OpenError::FeaturesRefused,
    }
}
