//! A network device in software, on the fake virtio device.

use netdev::{Netdev, OpenError, QueueFault, QueuePair};
use packet::{Batch, Pool, PoolCache, PoolConfig, Region};
use std::sync::Arc;
use virtio::fake::{Chain, FakeConfig, FakeDevice, FakeDma, FakeTransport};
use virtio_net::{VirtioNet, feature};

/// What the device adds to our addresses: nothing works by accident if they are mixed up.
pub(crate) const OFFSET: u64 = 0x1234_5000_0000;
/// What a small buffer has for a frame and its header, in bytes.
pub(crate) const ROOM: usize = packet::SMALL_BYTES - packet::HEADROOM;
pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
pub(crate) const ALL: u64 = feature::VERSION_1
    | feature::MAC
    | feature::MTU
    | feature::STATUS
    | feature::MRG_RXBUF
    | feature::EVENT_IDX
    | feature::CTRL_VQ
    | feature::MQ;

/// Large buffers of each pool.
pub(crate) const LARGE: usize = 3;

pub(crate) type Net = VirtioNet<FakeTransport, FakeDma>;

pub(crate) struct Bench {
    pub(crate) device: FakeDevice,
    pub(crate) dma: FakeDma,
    pub(crate) pool: Arc<Pool>,
    pub(crate) cache: PoolCache,
}

impl Bench {
    pub(crate) fn new(features: u64, mtu: u16, pairs: u16) -> Self {
        Self::with_pool(features, mtu, pairs, PoolConfig { small: 1024, jumbo: 64 })
    }

    pub(crate) fn with_pool(features: u64, mtu: u16, pairs: u16, buffers: PoolConfig) -> Self {
        let mut config_space = MAC.to_vec();
        config_space.extend(1_u16.to_le_bytes());
        config_space.extend(pairs.to_le_bytes());
        config_space.extend(mtu.to_le_bytes());
        config_space.extend(10_000_u32.to_le_bytes());
        config_space.push(1);
        let dma = FakeDma::new(OFFSET);
        let config = FakeConfig {
            features,
            config_space,
            n_queues: 2 * pairs + 1,
            queue_size_max: 64,
            ..FakeConfig::default()
        };
        let bytes = Pool::required_bytes_with_large(&buffers, LARGE);
        let region = Region::leak_heap(bytes).with_device_offset(OFFSET);
        dma.allow(region.start(), region.len());
        let pool = Pool::with_large(buffers, LARGE, region).unwrap();
        let cache = PoolCache::new(pool.clone());
        Self { device: FakeDevice::new(config, dma.clone()), dma, pool, cache }
    }

    pub(crate) fn net(&self) -> Result<Net, OpenError> {
        VirtioNet::new("net0".into(), self.device.transport(), self.dma.clone(), 0)
    }

    /// An open netdev with one pair.
    pub(crate) fn open(&self) -> (Net, QueuePair) {
        let mut net = self.net().unwrap();
        let pair = net.open(1, &self.pool).unwrap().remove(0);
        (net, pair)
    }

    /// The control queue's side of the device: accepts (or not) commands as they are notified.
    pub(crate) fn answer_control(&self, queue: u16, answer: u8) -> Arc<spin::Mutex<Vec<Vec<u8>>>> {
        let commands = Arc::new(spin::Mutex::new(Vec::new()));
        let (device, seen) = (self.device.clone(), commands.clone());
        self.device.on_notify(move |notified| {
            while notified == queue
                && let Some(chain) = device.pop(queue)
            {
                seen.lock().push(device.read(&chain));
                device.write(&chain, &[answer]);
                device.push(queue, &chain, 1);
            }
        });
        commands
    }

    /// Delivers a frame in as many buffers as it needs.
    pub(crate) fn deliver(&self, queue: u16, frame: &[u8]) {
        self.deliver_with(queue, [0; 10], frame);
    }

    /// Delivers a frame of which the device's header says something.
    pub(crate) fn deliver_with(&self, queue: u16, header: [u8; 10], frame: &[u8]) {
        let mut bytes = header.to_vec();
        bytes.extend([0; 2]);
        bytes.extend(frame);
        let mut chains: Vec<(Chain, u32)> = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let chain = self.device.pop(queue).expect("a receive buffer");
            let n = rest.len().min(chain.room() as usize);
            rest = &rest[n..];
            chains.push((chain, n as u32));
        }
        bytes[10..12].copy_from_slice(&(chains.len() as u16).to_le_bytes());
        let mut rest = &bytes[..];
        for (chain, n) in &chains {
            let (now, later) = rest.split_at(*n as usize);
            self.device.write(chain, now);
            rest = later;
        }
        self.device.push_all(queue, &chains);
    }

    pub(crate) fn receive(&mut self, pair: &mut QueuePair) -> Result<Vec<Vec<u8>>, QueueFault> {
        let mut batch = Batch::new();
        pair.rx.receive(&mut batch, &mut self.cache)?;
        let frames = batch.iter().map(|packet| packet.data().to_vec()).collect();
        for packet in batch {
            self.cache.free(packet);
        }
        Ok(frames)
    }

    pub(crate) fn batch(&mut self, frames: &[Vec<u8>]) -> Batch {
        frames.iter().map(|frame| self.cache.from_bytes(frame).unwrap()).collect()
    }

    /// Buffers of the pool that are neither at home nor in this bench's cache.
    pub(crate) fn away(&mut self) -> (usize, usize) {
        self.cache.flush();
        let (all, home) = (self.pool.config(), self.pool.available());
        (all.small - home.0, all.jumbo - home.1)
    }
}
