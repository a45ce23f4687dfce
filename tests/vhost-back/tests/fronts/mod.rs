//! Our driver in front of two back ends.

use netdev::{Netdev, QueuePair};
use packet::{Pool, PoolCache, PoolConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vhost_front::{Device, Front, Memory};
use virtio_net::VirtioNet;

const BUFFERS: PoolConfig = PoolConfig { small: 4_096, jumbo: 16 };

/// Two ports, and what they need.
pub(crate) struct Fronts {
    pub(crate) netdevs: Vec<VirtioNet<Front, Memory>>,
    pub(crate) queues: Vec<QueuePair>,
    pub(crate) cache: PoolCache,
}

impl Fronts {
    /// Those of the back ends that listen in `dir`.
    pub(crate) fn open(dir: &Path) -> Self {
        let bytes = Pool::required_bytes(&BUFFERS);
        let memory = Memory::new(bytes + (4 << 20)).expect("memory");
        let region = memory.region(bytes).expect("room");
        let pool: Arc<Pool> = Pool::new(BUFFERS, region).expect("a pool");
        let (mut netdevs, mut queues) = (Vec::new(), Vec::new());
        for k in 0..2 {
            let device =
                Device { mac: [2, 0, 0, 0, 2, k], mtu: 1500, pairs: 1, is_mergeable: true };
            let front = Front::connect(&socket(dir, k), memory.clone(), device);
            let front = front.expect("a back end");
            let mut netdev =
                VirtioNet::new(format!("v{k}"), front, memory.clone(), 0).expect("a device");
            queues.extend(netdev.open(1, &pool).expect("queues"));
            netdevs.push(netdev);
        }
        Self { netdevs, queues, cache: PoolCache::new(pool) }
    }
}

/// Where the back end of this number listens.
pub(crate) fn socket(dir: &Path, k: u8) -> PathBuf {
    dir.join(format!("v{k}"))
}
