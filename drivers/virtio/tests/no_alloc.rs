//! Frames go in and out without a single allocation.

use netdev::{Netdev, QueuePair};
use packet::{Batch, Pool, PoolCache, PoolConfig, Region};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use virtio::fake::{FakeConfig, FakeDevice, FakeDma};
use virtio_net::{VirtioNet, feature};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, asked for the same things; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's duties are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and releases during `work`.
fn count(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn forwarding_allocates_nothing() {
    assert_eq!(count(|| drop(std::hint::black_box(vec![1]))), 2, "the counter counts");

    let dma = FakeDma::default();
    let buffers = PoolConfig { small: 512, jumbo: 32 };
    let region = Region::leak_heap(Pool::required_bytes(&buffers));
    dma.allow(region.start(), region.len());
    let pool = Pool::new(buffers, region).unwrap();
    let features =
        feature::VERSION_1 | feature::MTU | feature::MRG_RXBUF | feature::EVENT_IDX | feature::MAC;
    let mut config_space = vec![2; 10];
    config_space.extend(9000_u16.to_le_bytes());
    let config = FakeConfig { features, config_space, ..FakeConfig::default() };
    let device = FakeDevice::new(config, dma.clone());
    let mut net = VirtioNet::new("net".into(), device.transport(), dma, 0).unwrap();
    let mut pairs = net.open(1, &pool).unwrap();
    let QueuePair { rx, tx } = &mut pairs[0];
    let mut cache = PoolCache::new(pool);
    let mut batch = Batch::new();

    let mut allocations = 0;
    for round in 0..300_u32 {
        // Sometimes a frame over two buffers; sometimes the device does not take what was sent.
        let len = if round.is_multiple_of(7) { 2500 } else { 60 };
        let mut bytes = vec![0; 12 + len];
        let first = device.pop(0).unwrap();
        let mut chains = vec![(first, 0)];
        if len > 1972 {
            chains.push((device.pop(0).unwrap(), 0));
        }
        bytes[10] = u8::try_from(chains.len()).unwrap();
        let mut rest = &bytes[..];
        for (chain, written) in &mut chains {
            let n = device.write(chain, rest);
            rest = &rest[n..];
            *written = u32::try_from(n).unwrap();
        }
        device.push_all(0, &chains);
        allocations += count(|| {
            assert_eq!(rx.receive(&mut batch, &mut cache), Ok(1));
            assert_eq!(tx.transmit(&mut batch, &mut cache), Ok(1));
        });
        while !round.is_multiple_of(5) && device.consume(1).is_some() {}
    }
    assert_eq!(allocations, 0);
}
