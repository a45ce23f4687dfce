//! Bringing a device up and down (virtio 1.2 §3.1.1, §2.4), without ever waiting for long.
//!
//! Waits are bounded by a number of status reads. Each read leaves the virtual machine, so the
//! device gets its turn, and ten thousand of them are far longer than any honest device needs.

use crate::feature;
use virtio_drivers::transport::{DeviceStatus, Transport};

/// Status reads to wait for a reset.
const RESET_POLLS: u32 = 10_000;

/// Why a device did not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitError {
    /// The status did not return to 0 after a reset.
    NotResetting,
    /// It does not offer a feature that is required; these bits are missing.
    Missing(u64),
    /// It did not accept the features that it had offered.
    Refused,
}

/// Stops the device. After `Ok` it owns no memory of ours any more.
///
/// # Errors
///
/// When it does not answer: it may still own memory.
pub fn reset<T: Transport>(transport: &mut T) -> Result<(), InitError> {
    transport.set_status(DeviceStatus::empty());
    for _ in 0..RESET_POLLS {
        // Any bit left (also an unknown one, which reads as none here) means "not yet" (§2.4.2).
        if transport.get_status() == DeviceStatus::empty() {
            return Ok(());
        }
        core::hint::spin_loop();
    }
    Err(InitError::NotResetting)
}

/// Steps 1 to 3: resets the device, says that a driver is here, and reads what the device offers.
/// The configuration space may be read after it.
///
/// # Errors
///
/// When the device does not reset.
pub fn offered<T: Transport>(transport: &mut T) -> Result<u64, InitError> {
    reset(transport)?;
    transport.set_status(DeviceStatus::ACKNOWLEDGE);
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
    Ok(transport.read_device_features())
}

/// Steps 1 to 6: as [`offered`], then accepts what is both offered and `wanted`, all of `required`
/// included, and hears whether the device agrees. Gives the features in force.
///
/// # Errors
///
/// When the device does not reset, lacks something required, or does not agree.
pub fn negotiate<T: Transport>(
    transport: &mut T,
    wanted: u64,
    required: u64,
) -> Result<u64, InitError> {
    let offered = offered(transport)?;
    let required = required | feature::VERSION_1;
    if offered & required != required {
        transport.set_status(DeviceStatus::FAILED);
        return Err(InitError::Missing(required & !offered));
    }
    let accepted = offered & (wanted | required);
    transport.write_driver_features(accepted);
    transport.set_status(FEATURES_OK);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        transport.set_status(DeviceStatus::FAILED);
        return Err(InitError::Refused);
    }
    Ok(accepted)
}

/// Step 8: the queues are set up; the device may use them.
pub fn start<T: Transport>(transport: &mut T) {
    transport.set_status(FEATURES_OK | DeviceStatus::DRIVER_OK);
}

const FEATURES_OK: DeviceStatus =
    DeviceStatus::ACKNOWLEDGE.union(DeviceStatus::DRIVER).union(DeviceStatus::FEATURES_OK);
