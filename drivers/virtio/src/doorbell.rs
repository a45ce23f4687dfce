//! Notifying the device with one store.
//!
//! A transport's own `notify` may cost several accesses to device registers, each of which leaves
//! the virtual machine, and needs the transport exclusively, though every core notifies its own
//! queues. A doorbell is found once per queue and rung without either.
//!
//! The other direction, in which a device wakes a core that rests, is [`crate::interrupt`].

use crate::interrupt::{Message, Table};
use core::ptr::NonNull;
use virtio_drivers::Hal;
use virtio_drivers::transport::mmio::VirtIOHeader;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

/// Rings for one queue (virtio 1.2 §4.1.5.2, §4.2.3.3).
#[derive(Debug)]
pub struct Doorbell {
    register: Register,
    queue: u16,
}

#[derive(Debug)]
enum Register {
    /// PCI: 16 bits.
    Half(NonNull<u16>),
    /// MMIO: 32 bits.
    Word(NonNull<u32>),
}

// SAFETY: a device register may be written from any core; a write is one access.
unsafe impl Send for Doorbell {}
// SAFETY: as for `Send`.
unsafe impl Sync for Doorbell {}

impl Doorbell {
    /// Tells the device to look at the queue.
    #[inline]
    pub fn ring(&self) {
        match self.register {
            // SAFETY: a mapped notification register, by whoever made this doorbell.
            Register::Half(register) => unsafe { register.write_volatile(self.queue.to_le()) },
            Register::Word(register) => {
                // SAFETY: as above.
                unsafe { register.write_volatile(u32::from(self.queue).to_le()) }
            }
        }
    }
}

/// Finds the doorbells of one device.
pub trait Doorbells: Send + core::fmt::Debug {
    /// The doorbell of `queue`, if it can be had; the transport's `notify` serves otherwise. Called
    /// while no one else uses the transport.
    fn doorbell(&mut self, queue: u16) -> Option<Doorbell>;

    /// Gives `queue` the device's interrupt number `entry`; whether it can be had. Called while no one
    /// else uses the transport, between setting the queue up and starting the device.
    fn interrupt(&mut self, queue: u16, entry: u16) -> bool {
        let _ = (queue, entry);
        false
    }
}

/// Doorbells of a device on MMIO: one register for all queues.
#[derive(Debug)]
pub struct MmioDoorbells {
    notify: NonNull<u32>,
}

// SAFETY: as for `Doorbell`.
unsafe impl Send for MmioDoorbells {}

impl MmioDoorbells {
    /// `QueueNotify` in the register layout (§4.2.2).
    const NOTIFY: usize = 0x50;

    /// The doorbells of the device whose registers are at `header`.
    ///
    /// # Safety
    ///
    /// `header` is a mapped virtio MMIO register block, for ever.
    #[must_use]
    pub unsafe fn new(header: NonNull<VirtIOHeader>) -> Self {
        // SAFETY: the register block is 0x100 bytes and mapped, says the caller.
        let notify = unsafe { header.cast::<u8>().add(Self::NOTIFY) };
        Self { notify: notify.cast() }
    }
}

impl Doorbells for MmioDoorbells {
    fn doorbell(&mut self, queue: u16) -> Option<Doorbell> {
        Some(Doorbell { register: Register::Word(self.notify), queue })
    }
}

/// Doorbells of a modern PCI device: a notification area, and in the common configuration each
/// queue's place in it (§4.1.4.3, §4.1.4.4).
#[derive(Debug)]
pub struct PciDoorbells {
    common: NonNull<u8>,
    area: NonNull<u8>,
    area_len: usize,
    multiplier: usize,
    interrupts: Option<Table>,
}

// SAFETY: as for `Doorbell`.
unsafe impl Send for PciDoorbells {}

/// Where the capability list starts, in PCI configuration space.
const CAPABILITIES: u8 = 0x34;
/// Where the base address registers start.
const BARS: u8 = 0x10;
/// PCI capability id of vendor-specific ones.
const CAP_VENDOR: u8 = 9;
/// PCI capability id of MSI-X.
const CAP_MSIX: u8 = 0x11;
/// `cfg_type` of the common configuration (§4.1.4).
const CFG_COMMON: u8 = 1;
/// `cfg_type` of the notification area.
const CFG_NOTIFY: u8 = 2;
/// `queue_select` in the common configuration (§4.1.4.3).
const QUEUE_SELECT: usize = 0x16;
/// `queue_msix_vector` in the common configuration.
const QUEUE_MSIX_VECTOR: usize = 0x1a;
/// `queue_notify_off` in the common configuration.
const QUEUE_NOTIFY_OFF: usize = 0x1e;
/// Bytes of the common configuration that we need.
const COMMON_LEN: usize = 0x38;

impl PciDoorbells {
    /// The doorbells of a device, or `None` when its capabilities do not describe them rightly. With
    /// a message for them, its interrupts are switched on.
    ///
    /// # Safety
    ///
    /// The device's BARs are assigned, and `H` maps them; as for `PciTransport::new`.
    pub unsafe fn new<H: Hal, C: ConfigurationAccess>(
        access: &mut C,
        function: DeviceFunction,
        message: Option<Message>,
    ) -> Option<Self> {
        let (mut common, mut area, mut multiplier, mut msix) = (None, None, 0, None);
        let [mut at, ..] = access.read_word(function, CAPABILITIES).to_le_bytes();
        // A list longer than the configuration space holds is a loop.
        for _ in 0..48 {
            at &= 0xfc;
            if !(0x40..=0xec).contains(&at) {
                break;
            }
            let [id, next, cap_len, cfg_type] = access.read_word(function, at).to_le_bytes();
            if id == CAP_VENDOR && cap_len >= 16 {
                let [bar, ..] = access.read_word(function, at + 4).to_le_bytes();
                let offset = access.read_word(function, at + 8);
                let len = usize::try_from(access.read_word(function, at + 12)).ok()?;
                let place = bar_address(access, function, bar)
                    .and_then(|base| base.checked_add(offset.into()))
                    .map(|address| (address, len));
                match cfg_type {
                    CFG_COMMON if common.is_none() => common = place,
                    CFG_NOTIFY if area.is_none() && cap_len >= 20 => {
                        area = place;
                        multiplier = access.read_word(function, at + 16);
                    }
                    _ => {}
                }
            }
            if id == CAP_MSIX {
                msix = Some(at);
            }
            at = next;
        }
        let (common, common_len) = common?;
        let (area, area_len) = area?;
        if common_len < COMMON_LEN || !common.is_multiple_of(4) || !area.is_multiple_of(2) {
            return None;
        }
        // SAFETY: an area in an assigned BAR, says the caller.
        let common = unsafe { H::mmio_phys_to_virt(common, common_len) };
        // SAFETY: as above.
        let area = unsafe { H::mmio_phys_to_virt(area, area_len) };
        let interrupts = msix.zip(message).and_then(|(at, message)| {
            // SAFETY: the BARs are assigned and `H` maps them, says the caller.
            unsafe { Table::enable::<H, C>(access, function, at, message) }
        });
        let multiplier = usize::try_from(multiplier).ok()?;
        Some(Self { common, area, area_len, multiplier, interrupts })
    }
}

/// Base of a memory BAR (PCI 3.0 §6.2.5.1); `None` for I/O, unassigned or impossible ones.
pub(crate) fn bar_address<C: ConfigurationAccess>(
    access: &C,
    function: DeviceFunction,
    bar: u8,
) -> Option<u64> {
    if bar > 5 {
        return None;
    }
    let low = access.read_word(function, BARS + 4 * bar);
    if low & 1 != 0 {
        return None;
    }
    let high = match low >> 1 & 3 {
        0 => 0,
        2 if bar < 5 => access.read_word(function, BARS + 4 * bar + 4),
        _ => return None,
    };
    let address = u64::from(high) << 32 | u64::from(low & !0xf);
    (address != 0).then_some(address)
}

impl PciDoorbells {
    /// A register of 16 bits in the common configuration.
    fn register(&self, at: usize) -> NonNull<u16> {
        // SAFETY: the registers named here lie within the common configuration, whose length was
        // checked.
        unsafe { self.common.add(at) }.cast()
    }

    fn select(&self, queue: u16) {
        // SAFETY: a mapped register; the area starts at a multiple of 4.
        unsafe { self.register(QUEUE_SELECT).write_volatile(queue.to_le()) };
    }
}

impl Doorbells for PciDoorbells {
    fn doorbell(&mut self, queue: u16) -> Option<Doorbell> {
        self.select(queue);
        // SAFETY: a mapped register; the area starts at a multiple of 4.
        let offset = unsafe { self.register(QUEUE_NOTIFY_OFF).read_volatile() };
        let offset = u16::from_le(offset);
        let at = usize::from(offset).checked_mul(self.multiplier)?;
        if !at.is_multiple_of(2) || at.checked_add(2)? > self.area_len {
            return None;
        }
        // SAFETY: within the area, just checked.
        let register = unsafe { self.area.add(at) };
        Some(Doorbell { register: Register::Half(register.cast()), queue })
    }

    fn interrupt(&mut self, queue: u16, entry: u16) -> bool {
        if !self.interrupts.as_mut().is_some_and(|table| table.use_entry(entry)) {
            return false;
        }
        self.select(queue);
        let register = self.register(QUEUE_MSIX_VECTOR);
        // SAFETY: a mapped register; the area starts at a multiple of 4.
        unsafe { register.write_volatile(entry.to_le()) };
        // A device without room for the vector says so by another value (virtio 1.2 §4.1.5.1.2.1).
        // SAFETY: as above.
        let kept = u16::from_le(unsafe { register.read_volatile() });
        kept == entry
    }
}
