//! Having a device wake a core that rests: message-signalled interrupts (MSI-X, PCI 3.0 §6.8.2).
//!
//! The switch polls. Only a core that has had nothing to do for a while asks each of its queues for
//! one interrupt ([`crate::SplitQueue::arm`]) and halts. An interrupt is a write that the device does:
//! a word of data to an address, which the machine turns into an interrupt of a processor. What is
//! written where is for the machine to know; here it is a [`Message`].
//!
//! # Cost
//! An entry of the table is rewritten only when the core changes that its queue wakes: each register
//! write leaves the virtual machine. Otherwise arming is two stores to the ring.

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

/// The interrupt of one queue: nobody's at first.
#[derive(Debug)]
pub struct Interrupt {
    /// Its entry of the table: address (low, high), data, control.
    entry: NonNull<u32>,
    aim: Option<Message>,
}

// SAFETY: device registers may be written from any core, and an entry has one `Interrupt` at a time
// that is used: that of the queue's newest life.
unsafe impl Send for Interrupt {}
// SAFETY: as for `Send`; writing needs `&mut`.
unsafe impl Sync for Interrupt {}

/// Words of an entry.
const WORDS: usize = 4;
/// Bit of the control word: the entry sends nothing.
const MASKED: u32 = 1;

impl Interrupt {
    /// Has the interrupt delivered as `message` from now on.
    pub fn aim(&mut self, message: Message) {
        if self.aim == Some(message) {
            return;
        }
        self.aim = Some(message);
        let address = message.address.to_le_bytes();
        let [low, high] = [0, 4].map(|at| {
            u32::from_le_bytes([address[at], address[at + 1], address[at + 2], address[at + 3]])
        });
        // Masked in between, so that no message goes half here and half there (§6.8.3.5).
        for (word, value) in [(3, MASKED), (0, low), (1, high), (2, message.data), (3, 0)] {
            // SAFETY: an entry has four words.
            let register = unsafe { self.entry.add(word) };
            // SAFETY: a mapped register of the table, for ever.
            unsafe { register.write_volatile(value.to_le()) };
        }
    }
}

/// The interrupts of one device.
#[derive(Debug)]
pub(crate) struct Table {
    start: NonNull<u32>,
    entries: u16,
}

// SAFETY: as for `Interrupt`.
unsafe impl Send for Table {}

impl Table {
    /// Switches on the interrupts that the capability at `at` describes, each of them masked until
    /// it is aimed; `None` when the table is not where it can be.
    ///
    /// # Safety
    ///
    /// As for [`crate::PciDoorbells::new`].
    pub(crate) unsafe fn enable<H: Hal, C: ConfigurationAccess>(
        access: &mut C,
        function: DeviceFunction,
        at: u8,
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
        let start = unsafe { H::mmio_phys_to_virt(address, len) };
        access.write_word(function, at, (head | ON) & !ALL_MASKED);
        start.cast::<u32>().is_aligned().then(|| Self { start: start.cast(), entries })
    }

    /// The interrupt behind an entry.
    pub(crate) fn interrupt(&self, entry: u16) -> Option<Interrupt> {
        if entry >= self.entries {
            return None;
        }
        // SAFETY: within the table, just checked.
        let entry = unsafe { self.start.add(WORDS * usize::from(entry)) };
        Some(Interrupt { entry, aim: None })
    }
}
