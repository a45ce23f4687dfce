//! A ring with a device in software behind it.

use virtio::fake::{FakeConfig, FakeDevice, FakeDma, FakeTransport};
use virtio::{Buffer, PackedQueue, Ring, RingTerms, SplitQueue, Transport as _, feature, init};

/// A ring and the feature that asks for it.
pub(crate) trait Kind: Ring {
    const FEATURE: u64;
}

impl Kind for SplitQueue {
    const FEATURE: u64 = 0;
}

impl Kind for PackedQueue {
    const FEATURE: u64 = feature::RING_PACKED;
}

/// What can be negotiated beside the layout.
pub(crate) const TERMS: [u64; 4] =
    [0, feature::EVENT_IDX, feature::IN_ORDER, feature::EVENT_IDX | feature::IN_ORDER];

pub(crate) fn terms(features: u64) -> RingTerms {
    RingTerms {
        has_event_idx: features & feature::EVENT_IDX != 0,
        is_in_order: features & feature::IN_ORDER != 0,
    }
}

/// A ring of `size` that a device works on.
pub(crate) fn ring<R: Kind>(size: u16, features: u64) -> (R, FakeDevice, FakeTransport, FakeDma) {
    let dma = FakeDma::new(0x7000_0000_0000);
    let features = feature::VERSION_1 | features | R::FEATURE;
    let device = FakeDevice::new(FakeConfig { features, ..FakeConfig::default() }, dma.clone());
    let mut transport = device.transport();
    init::negotiate(&mut transport, features, features).unwrap();
    let queue = R::new(size, terms(features), &dma).unwrap();
    let (descriptors, driver, used) = queue.device_addresses();
    transport.queue_set(0, size.into(), descriptors, driver, used);
    init::start(&mut transport);
    (queue, device, transport, dma)
}

pub(crate) fn written(device_address: u64, len: u32) -> Buffer {
    Buffer { device_address, len, is_device_written: true }
}

pub(crate) fn read(device_address: u64, len: u32) -> Buffer {
    Buffer { device_address, len, is_device_written: false }
}
