//! Counters of one queue: plain words, owned by the core that polls it.

/// What a receive queue has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxStats {
    /// Frames handed to the switch.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames dropped because they were longer than the device's MTU allows.
    pub truncated: u64,
    /// Frames dropped because there was no packet buffer to hold them.
    pub no_buffer: u64,
    /// Frames dropped because they were shorter than an Ethernet header or the device's header.
    pub malformed: u64,
    /// Frames dropped because what their sender left to the device made no sense.
    pub bad_offload: u64,
    /// Times the ring could not be refilled for want of buffers (no frame was lost by it yet).
    pub starved: u64,
    /// Protocol breaches of the device.
    pub faults: u64,
}

impl RxStats {
    /// Frames that came in and were dropped before the switch saw them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.truncated + self.no_buffer + self.malformed + self.bad_offload
    }
}

/// What a transmit queue has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxStats {
    /// Frames given to the device.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Times packets were left in the batch because the ring was full.
    pub full: u64,
    /// Frames longer than the MTU allows, freed and not counted as sent.
    pub too_long: u64,
    /// Frames that cannot be sent for another reason (empty, or not finished and the device does not do
    /// it), freed and not counted as sent.
    pub refused: u64,
    /// Times the device was notified.
    pub notifies: u64,
    /// Protocol breaches of the device.
    pub faults: u64,
}
