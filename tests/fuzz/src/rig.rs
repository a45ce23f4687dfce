//! A fake device with our driver on it, for the targets that are scripts of a device.

use std::sync::Arc;

use netdev::{Netdev, QueuePair};
use packet::{Pool, PoolCache, PoolConfig, Region};
use virtio::fake::{FakeConfig, FakeDevice, FakeDma, FakeTransport};
use virtio_net::{VirtioNet, feature};

/// What a rig is made with.
pub(crate) struct Sizes {
    pub(crate) mtu: u16,
    pub(crate) queue_size: u16,
    pub(crate) buffers: PoolConfig,
    /// Buffers of 64 KiB.
    pub(crate) n_large: usize,
}

/// A device with its driver. Its memory is never given back, so a target has one of each kind.
pub(crate) struct Rig {
    pub(crate) device: FakeDevice,
    pub(crate) netdev: VirtioNet<FakeTransport, FakeDma>,
    pub(crate) pool: Arc<Pool>,
    at_start: Buffers,
}

/// How many buffers a pool has of how many: ordinary ones, large ones.
type Buffers = ((usize, usize), (usize, usize));

impl Rig {
    /// A device that offers what every device here does and `features`.
    pub(crate) fn new(kind: usize, features: u64, sizes: &Sizes) -> Self {
        let Sizes { mtu, queue_size, buffers, n_large } = *sizes;
        let common = feature::VERSION_1 | feature::MTU | feature::MAC | feature::STATUS;
        let mut config_space = vec![2, 0, 0, 0, 0, 1, 1, 0, 1, 0];
        config_space.extend(mtu.to_le_bytes());
        config_space.extend([0; 8]);
        let dma = FakeDma::new(0x7000_0000_0000);
        let features = features | common;
        let device = FakeDevice::new(
            FakeConfig { features, config_space, ..FakeConfig::default() },
            dma.clone(),
        );
        let region = Region::leak_heap(Pool::required_bytes_with_large(&buffers, n_large));
        dma.allow(region.start(), region.len());
        let region = region.with_device_offset(dma.device_offset());
        let pool = Pool::with_large(buffers, n_large, region).expect("the region is large enough");
        let netdev = VirtioNet::new(format!("fuzz{kind}"), device.transport(), dma, 0)
            .expect("a modern device")
            .with_queue_size(queue_size);
        let at_start = available(&pool);
        Self { device, netdev, pool, at_start }
    }

    /// The queues, and a stock of buffers.
    pub(crate) fn open(&mut self) -> (Vec<QueuePair>, PoolCache) {
        let pairs = self.netdev.open(1, &self.pool).expect("opens");
        (pairs, PoolCache::new(self.pool.clone()))
    }

    /// Takes the queues back; with them come all buffers.
    pub(crate) fn close(&mut self, pairs: Vec<QueuePair>, cache: PoolCache) {
        drop(cache);
        assert_eq!(self.netdev.reset(pairs), Ok(()));
        assert_eq!(available(&self.pool), self.at_start, "buffers were lost");
    }
}

fn available(pool: &Pool) -> Buffers {
    (pool.available(), pool.available_large())
}
