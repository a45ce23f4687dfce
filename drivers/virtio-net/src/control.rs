//! The control queue (virtio 1.2 §5.1.6.5): one command at a time, with a bounded wait.

use netdev::OpenError;
use virtio::{Buffer, DmaRegion, Ring, Transport};

/// Command class: queue pairs (§5.1.6.5.5).
const CLASS_MQ: u8 = 4;
/// Command: set the number of pairs.
const MQ_PAIRS_SET: u8 = 0;
/// Answer: done.
const OK: u8 = 0;
/// Where the answer is in our memory; the command is at 0.
const ANSWER: usize = 16;
/// Bytes of memory for command and answer.
pub(crate) const BYTES: usize = 64;
/// Descriptors that suffice for one command.
pub(crate) const SIZE: u16 = 4;

/// Rounds to wait for an answer, each with one status read, which lets the device's side run.
const ROUNDS: u32 = 20_000;
/// Looks at the ring in each round.
const SPINS: u32 = 200;

/// The control queue.
#[derive(Debug)]
pub(crate) struct Control<R: Ring> {
    pub(crate) ring: R,
    pub(crate) memory: DmaRegion,
    pub(crate) number: u16,
}

/// The memory of a control queue that is not used any more: the device's until it is reset.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) ring: DmaRegion,
    pub(crate) memory: DmaRegion,
    pub(crate) number: u16,
}

impl<R: Ring> Control<R> {
    /// Keeps what the device may still write to.
    pub(crate) fn retire(self) -> Retired {
        Retired { ring: self.ring.into_region(), memory: self.memory, number: self.number }
    }

    /// Tells the device how many queue pairs are in use.
    pub(crate) fn set_pairs<T: Transport>(
        &mut self,
        pairs: u16,
        transport: &mut T,
    ) -> Result<(), OpenError> {
        let [low, high] = pairs.to_le_bytes();
        self.command(&[CLASS_MQ, MQ_PAIRS_SET, low, high], transport)
    }

    fn command<T: Transport>(
        &mut self,
        command: &[u8],
        transport: &mut T,
    ) -> Result<(), OpenError> {
        self.memory.write(0, command);
        self.memory.write(ANSWER, &[!OK]);
        let base = self.memory.device_address();
        let len = u32::try_from(command.len()).map_err(|_| OpenError::CommandFailed)?;
        let chain = [
            Buffer { device_address: base, len, is_device_written: false },
            Buffer { device_address: base + ANSWER as u64, len: 1, is_device_written: true },
        ];
        self.ring.add(&chain).ok_or(OpenError::CommandFailed)?;
        if self.ring.publish() {
            transport.notify(self.number);
        }
        for _ in 0..ROUNDS {
            for _ in 0..SPINS {
                match self.ring.pop() {
                    Ok(Some(_)) if self.memory.read(ANSWER) == OK => return Ok(()),
                    Ok(Some(_)) | Err(_) => return Err(OpenError::CommandFailed),
                    Ok(None) => core::hint::spin_loop(),
                }
            }
            if transport.get_status().contains(virtio::DeviceStatus::DEVICE_NEEDS_RESET) {
                break;
            }
        }
        Err(OpenError::CommandFailed)
    }
}
