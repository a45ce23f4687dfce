//! The way up and down of a device.

use virtio::fake::{FakeConfig, FakeDevice, FakeDma};
use virtio::init::{self, InitError};
use virtio::{DeviceStatus, Transport, feature};

fn device(config: FakeConfig) -> FakeDevice {
    FakeDevice::new(config, FakeDma::default())
}

#[test]
fn only_what_both_want_is_accepted() {
    let features = feature::VERSION_1 | 1 << 3 | 1 << 5;
    let device = device(FakeConfig { features, ..FakeConfig::default() });
    let mut transport = device.transport();
    let accepted = init::negotiate(&mut transport, 1 << 5 | 1 << 6, 0);
    assert_eq!(accepted, Ok(feature::VERSION_1 | 1 << 5));
    assert_eq!(device.driver_features(), feature::VERSION_1 | 1 << 5);
    assert!(!device.is_running());
    init::start(&mut transport);
    assert!(device.is_running());
}

#[test]
fn devices_that_do_not_follow() {
    let base = FakeConfig::default();
    let cases = [
        (FakeConfig { features: 1 << 5, ..base.clone() }, InitError::Missing(feature::VERSION_1)),
        (FakeConfig { refuses_features: true, ..base.clone() }, InitError::Refused),
    ];
    for (config, error) in cases {
        let mut transport = device(config).transport();
        assert_eq!(init::negotiate(&mut transport, 0, 0), Err(error));
        assert!(transport.get_status().contains(DeviceStatus::FAILED));
    }
    let stuck = device(FakeConfig { is_stuck: true, ..base });
    let mut transport = stuck.transport();
    transport.set_status(DeviceStatus::DRIVER);
    assert_eq!(init::negotiate(&mut transport, 0, 0), Err(InitError::NotResetting));
}
