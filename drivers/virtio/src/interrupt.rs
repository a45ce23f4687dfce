//! Having a device wake a core that rests: message-signalled interrupts (MSI-X, PCI 3.0 §6.8.2).
//!
//! The switch polls. Only a core that has had nothing to do for a while asks each of its queues for
//! one interrupt ([`crate::Ring::arm`]) and halts. An interrupt is a write that the device does:
//! a word of data to an address, which the machine turns into an interrupt of a processor. What is
//! written where is for the machine to know; here it is a [`Message`].
//!
//! # One message, before the start
//! All queues have the same message, and the table of messages is written before a device is started and
//! not again: each register write leaves the virtual machine. Which core is to wake is settled between
//! the cores.

use crate::doorbell::bar_address;
use core::ptr::NonNull;
use virtio_drivers::Hal;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

/// What a device writes, and where, to interrupt a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub address: u64,
    /// What.
    pub data: u32,
}

/// The interrupts of one device.
#[derive(Debug)]
pub(crate) struct Table {
    start: NonNull<u32>,
    entries: u16,
    message: Message,
}

// SAFETY: device registers may be written from any core; writing needs `&mut`.
unsafe impl Send for Table {}

/// Words of an entry: address (low, high), data, control.
const WORDS: usize = 4;

impl Table {
    /// Switches on the interrupts that the capability at `at` describes, each of them masked until it is
    /// [`used`](Self::use_entry); `None` when the table is not where it can be.
    ///
    /// # Safety
    ///
    /// As for [`crate::PciDoorbells::new`].
    pub(crate) unsafe fn enable<H: Hal, C: ConfigurationAccess>(
        access: &mut C,
        function: DeviceFunction,
        at: u8,
        message: Message,
    ) -> Option<Self> {
        /// Bits of the word with the capability's head: interrupts on, all of them masked.
        const ON: u32 = 1 << 31;
        const ALL_MASKED: u32 = 1 << 30;
        const LAST_ENTRY: u32 = 0x7ff;

        let head = access.read_word(function, at);
        let entries = u16::try_from((head >> 16 & LAST_ENTRY) + 1).ok()?;
        let place = access.read_word(function, at + 4);
        let [bar, ..] = (place & 7).to_le_bytes();
        let base = bar_address(access, function, bar)?;
        let address = base.checked_add(u64::from(place & !7))?;
        let len = usize::from(entries) * WORDS * 4;
        // SAFETY: a table in an assigned BAR, says the caller.
        let start = unsafe { H::mmio_phys_to_virt(address, len) }.cast::<u32>();
        if !start.is_aligned() {
            return None;
        }
        access.write_word(function, at, (head | ON) & !ALL_MASKED);
        Some(Self { start, entries, message })
    }

    /// Has an entry send the message; whether there is one. Only while the device is not started.
    pub(crate) fn use_entry(&mut self, entry: u16) -> bool {
        if entry >= self.entries {
            return false;
        }
        let address = self.message.address.to_le_bytes();
        let [low, high] = [0, 4].map(|at| {
            u32::from_le_bytes([address[at], address[at + 1], address[at + 2], address[at + 3]])
        });
        // Control comes last: zero is not masked.
        for (word, value) in [low, high, self.message.data, 0].into_iter().enumerate() {
            // SAFETY: within the table, just checked; an entry has four words.
            let register = unsafe { self.start.add(WORDS * usize::from(entry) + word) };
            // SAFETY: a mapped register of the table, for ever.
            unsafe { register.write_volatile(value.to_le()) };
        }
        true
    }
}
