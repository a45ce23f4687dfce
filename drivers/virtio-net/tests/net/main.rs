//! The driver against the network device in software.

#![expect(clippy::cast_possible_truncation, reason = "lengths and numbers of test frames")]

mod common;

/// Every test runs with each layout of the rings, and with a device that uses buffers in order.
macro_rules! layouts {
    ($($name:ident: $extra:expr;)*) => {
        $(#[path = "."]
        mod $name {
            use virtio_net::feature;

            /// What the device offers.
            pub(crate) const ALL: u64 = crate::common::ALL | $extra;

            #[path = "driver.rs"]
            #[expect(clippy::duplicate_mod, reason = "the same tests with other features")]
            mod driver;
            #[path = "hostile.rs"]
            #[expect(clippy::duplicate_mod, reason = "the same tests with other features")]
            mod hostile;
            #[path = "offload.rs"]
            #[expect(clippy::duplicate_mod, reason = "the same tests with other features")]
            mod offload;
        })*
    };
}

layouts! {
    split: feature::EVENT_IDX;
    packed: feature::RING_PACKED;
    split_in_order: feature::IN_ORDER;
    packed_in_order: feature::RING_PACKED | feature::IN_ORDER;
}
