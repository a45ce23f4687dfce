//! The driver's side of the fake device.

use super::device::SharedState;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A transport to a [`FakeDevice`](super::FakeDevice).
#[derive(Debug)]
pub struct FakeTransport {
    pub(super) state: SharedState,
}

impl Transport for FakeTransport {
    fn device_type(&self) -> DeviceType {
        self.state.lock().config.device_type
    }

    fn read_device_features(&mut self) -> u64 {
        self.state.lock().config.features
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.state.lock().driver_features = driver_features;
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        let state = self.state.lock();
        if usize::from(queue) < state.queues.len() { state.config.queue_size_max } else { 0 }
    }

    fn notify(&mut self, queue: u16) {
        let mut state = self.state.lock();
        if let Some(queue) = state.queues.get_mut(usize::from(queue)) {
            queue.notified += 1;
        }
        let hook = state.on_notify.clone();
        drop(state);
        if let Some(hook) = hook {
            hook(queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        self.state.lock().status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.state.lock().set_status(status);
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.state.lock().queue_set(queue, size, [descriptors, driver_area, device_area]);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.state.lock().queue_set(queue, 0, [0; 3]);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.state.lock().queues.get(usize::from(queue)).is_some_and(|queue| queue.size != 0)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        self.state.lock().config_generation
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let state = self.state.lock();
        let bytes = state.config.config_space.get(offset..).ok_or(Error::ConfigSpaceTooSmall)?;
        let (value, _) = T::read_from_prefix(bytes).map_err(|_| Error::ConfigSpaceTooSmall)?;
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        let bytes = value.as_bytes();
        let room =
            state.config.config_space.get_mut(offset..).and_then(|b| b.get_mut(..bytes.len()));
        room.ok_or(Error::ConfigSpaceTooSmall)?.copy_from_slice(bytes);
        Ok(())
    }
}
