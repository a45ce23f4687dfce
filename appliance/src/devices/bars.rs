//! The address windows (BARs) of one virtio function, and configuration space without side effects.
//!
//! Asking a window's size the usual way means switching the device's decoding off, writing ones,
//! and switching it on again; each of these makes a VMM rebuild its map of the machine, and
//! `virtio-drivers` asks for every structure anew: milliseconds of boot time. It is not needed: the
//! device's capabilities say how far into each window its registers reach. So sizes come from
//! there, and [`Configuration`] answers questions about windows from memory.
//!
//! Only where no firmware has placed the windows are they sized and placed here; decoding is off
//! then anyway.

use runtime::boot::memory_map::{MemoryMap, PhysicalRange};
use runtime::pci::{self, Location};
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

/// Registers of configuration space (PCI 3.0 §6.1), by the word they are in.
pub(super) mod register {
    pub(in crate::devices) const ID: u8 = 0x00;
    pub(in crate::devices) const HEADER: u8 = 0x0c;
    pub(in crate::devices) const FIRST_BAR: u8 = 0x10;
    pub(in crate::devices) const BUSES: u8 = 0x18;
    pub(in crate::devices) const STATUS: u8 = 0x04;
    pub(in crate::devices) const CAPABILITIES: u8 = 0x34;
}

const COUNT: usize = 6;
const IO: u32 = 1 << 0;
const WIDTH: u32 = 0b110;
const WIDTH_64: u32 = 0b100;
const FLAGS: u32 = 0b1111;
const STATUS_CAPABILITIES: u32 = 1 << 20;
const CAPABILITY_VENDOR: u8 = 0x09;
const CAPABILITY_MSIX: u8 = 0x11;
/// A chain of capabilities fits in 192 bytes of configuration space.
const MAX_CAPABILITIES: usize = 48;
/// Common, notification, interrupt status and device structures (virtio 1.2 §4.1.4): what is read.
const STRUCTURES: core::ops::RangeInclusive<u8> = 1..=4;

/// The windows of a function.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bars {
    /// The registers, as they stand.
    words: [u32; COUNT],
    /// How many bytes are used of each window, rounded up to what a window can have.
    sizes: [u64; COUNT],
    /// Which registers were written with ones, to be asked for their size.
    is_asked: [bool; COUNT],
}

impl Bars {
    /// Reads registers and capabilities.
    pub(super) fn read(location: Location) -> Self {
        let mut bars = Self::default();
        for (word, index) in bars.words.iter_mut().zip(0_u8..) {
            *word = pci::read(location, register::FIRST_BAR + 4 * index);
        }
        bars.read_sizes(location);
        bars
    }

    fn read_sizes(&mut self, location: Location) {
        if pci::read(location, register::STATUS) & STATUS_CAPABILITIES == 0 {
            return;
        }
        let [mut at, ..] = pci::read(location, register::CAPABILITIES).to_le_bytes();
        for _ in 0..MAX_CAPABILITIES {
            at &= !3;
            // Room for the 16 bytes of the structure that is looked for.
            if !(0x40..=0xf0).contains(&at) {
                return;
            }
            let [id, next, _len, structure] = pci::read(location, at).to_le_bytes();
            if id == CAPABILITY_VENDOR && STRUCTURES.contains(&structure) {
                let [bar, ..] = pci::read(location, at + 4).to_le_bytes();
                let offset = u64::from(pci::read(location, at + 8));
                let len = u64::from(pci::read(location, at + 12));
                self.need(bar, offset + len);
            }
            if id == CAPABILITY_MSIX {
                // The table of interrupts: 16 bytes an entry, the last one's number in the head.
                let entries = (u64::from(pci::read(location, at)) >> 16 & 0x7ff) + 1;
                let [place, ..] = pci::read(location, at + 4).to_le_bytes();
                let offset = u64::from(pci::read(location, at + 4) & !7);
                self.need(place & 7, offset + 16 * entries);
            }
            at = next;
        }
    }

    /// So many bytes of a window are used.
    fn need(&mut self, bar: u8, bytes: u64) {
        if let Some(size) = self.sizes.get_mut(usize::from(bar)) {
            *size = bytes.next_power_of_two().max(16).max(*size);
        }
    }

    /// Gives addresses to used windows that have none; `None` when no more are free.
    pub(super) fn place(&mut self, location: Location, free: &mut FreeAddresses) -> Option<()> {
        for (index, number) in (0..COUNT).zip(0_u8..) {
            if self.size(index) == 0 || self.address(index) != 0 || self.words[index] & IO != 0 {
                continue;
            }
            let register = register::FIRST_BAR + 4 * number;
            pci::write(location, register, u32::MAX);
            let whole = u64::from(!(pci::read(location, register) & !FLAGS)) + 1;
            let address = free.take(whole)?;
            pci::write(location, register, address);
            self.words[index] = address | self.words[index] & FLAGS;
            if self.is_64_bit(index) {
                pci::write(location, register + 4, 0);
            }
        }
        Some(())
    }

    /// The windows into memory that the device's registers are in.
    pub(super) fn windows(&self) -> impl Iterator<Item = PhysicalRange> + '_ {
        (0..COUNT)
            .filter(|&index| self.size(index) > 0 && self.words[index] & IO == 0)
            .map(|index| PhysicalRange::new(self.address(index), self.size(index)))
    }

    fn size(&self, index: usize) -> u64 {
        self.sizes.get(index).copied().unwrap_or(0)
    }

    fn is_64_bit(&self, index: usize) -> bool {
        let word = self.words.get(index).copied().unwrap_or(IO);
        word & IO == 0 && word & WIDTH == WIDTH_64 && index + 1 < COUNT
    }

    fn address(&self, index: usize) -> u64 {
        let low = self.words.get(index).copied().unwrap_or(0) & !FLAGS;
        let high = if self.is_64_bit(index) { self.words.get(index + 1).copied() } else { None };
        u64::from(high.unwrap_or(0)) << 32 | u64::from(low)
    }

    /// What the device would answer to a read of a register.
    fn answer(&self, index: usize) -> u32 {
        if !self.is_asked[index] {
            return self.words[index];
        }
        match index.checked_sub(1) {
            // Sizes are below 4 GiB: the upper half of a mask is all ones.
            Some(below) if self.is_64_bit(below) => u32::MAX,
            _ if self.size(index) == 0 => 0,
            _ => {
                let mask = u32::try_from(self.size(index) - 1).unwrap_or(u32::MAX);
                !mask | self.words[index] & FLAGS
            }
        }
    }
}

/// Configuration space of one function as `virtio-drivers` wants it; its windows stay as they are.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) bars: Bars,
}

impl ConfigurationAccess for Configuration {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        match bar_index(register) {
            Some(index) => self.bars.answer(index),
            None => pci::read(location(function), register),
        }
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, data: u32) {
        /// Memory decoding and bus mastering: once on, they stay on.
        const COMMAND_ON: u32 = 0b110;
        match bar_index(register) {
            Some(index) => self.bars.is_asked[index] = data == u32::MAX,
            None if register == register::STATUS && data & COMMAND_ON != COMMAND_ON => {}
            None => pci::write(location(function), register, data),
        }
    }

    unsafe fn unsafe_clone(&self) -> Self {
        self.clone()
    }
}

fn bar_index(register: u8) -> Option<usize> {
    let index = usize::from(register.checked_sub(register::FIRST_BAR)? / 4);
    (index < COUNT).then_some(index)
}

const fn location(function: DeviceFunction) -> Location {
    Location { bus: function.bus, device: function.device, function: function.function }
}

/// Addresses below 4 GiB that no one uses, for windows that no firmware placed.
#[derive(Debug)]
pub(super) struct FreeAddresses {
    next: u32,
    end: u32,
}

impl FreeAddresses {
    /// Firmware decides.
    pub(super) const fn none() -> Self {
        Self { next: 0, end: 0 }
    }

    /// Between RAM and the row of fixed devices; PCs keep 3 GiB to 3.5 GiB clear for this.
    pub(super) fn above(ram: &MemoryMap) -> Self {
        const FIRST: u32 = 0xc000_0000;
        const END: u32 = 0xe000_0000;
        let ram_end = u32::try_from(ram.end_below_4_gib()).unwrap_or(u32::MAX);
        Self { next: ram_end.max(FIRST), end: END }
    }

    /// An address for a window, which has to be a multiple of its size.
    fn take(&mut self, size: u64) -> Option<u32> {
        let size = u32::try_from(size).ok().filter(|size| size.is_power_of_two())?;
        let address = self.next.checked_next_multiple_of(size.max(4096))?;
        let next = address.checked_add(size).filter(|&next| next <= self.end)?;
        self.next = next;
        Some(address)
    }
}
