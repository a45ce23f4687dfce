//! Doorbells are found where the device's capabilities say, and nowhere else.

use core::ptr::NonNull;
use std::cell::Cell;
use virtio::virtio_drivers::transport::mmio::VirtIOHeader;
use virtio::virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use virtio::virtio_drivers::{BufferDirection, Hal, PhysAddr};
use virtio::{Doorbells, Message, MmioDoorbells, PciDoorbells};

/// Where the device's BAR 4 is.
const BAR: u64 = (BAR_HIGH as u64) << 32 | BAR_LOW as u64;
const BAR_HIGH: u32 = 8;
const BAR_LOW: u32 = 0x1234_0000;
const WORDS: usize = 0x1000;
const MESSAGE: Message = Message { address: 0xfee0_1000, data: 0xf0 };

thread_local! {
    /// The registers behind BAR 4 of this test's device.
    static REGISTERS: Cell<NonNull<u32>> = Cell::new(
        NonNull::from(Box::leak(Box::new([0_u32; WORDS]))).cast()
    );
    /// What was written last to configuration space.
    static WRITTEN: Cell<Option<u32>> = const { Cell::new(None) };
}

fn register(at: usize) -> NonNull<u16> {
    assert!(at + 2 <= 4 * WORDS);
    // SAFETY: within the leaked allocation.
    unsafe { REGISTERS.get().cast::<u8>().add(at) }.cast()
}

fn read(at: usize) -> u16 {
    // SAFETY: a leaked allocation of this thread alone.
    unsafe { register(at).read_volatile() }
}

fn write(at: usize, value: u16) {
    // SAFETY: as above.
    unsafe { register(at).write_volatile(value) }
}

struct Window;

// SAFETY: maps only the test's registers; the rest is not called.
unsafe impl Hal for Window {
    fn dma_alloc(_: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        unreachable!("only windows are mapped")
    }
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        unreachable!("only windows are mapped")
    }
    unsafe fn mmio_phys_to_virt(address: PhysAddr, size: usize) -> NonNull<u8> {
        let at = usize::try_from(address - BAR).unwrap();
        assert!(at + size <= 4 * WORDS);
        register(at).cast()
    }
    unsafe fn share(_: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        unreachable!("only windows are mapped")
    }
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// Configuration space: 64 words.
#[derive(Clone)]
struct Config([u32; 64]);

impl Config {
    /// As QEMU lays it out: common configuration at 0, notification area at 0x3000; four interrupts,
    /// in the same window at 0x2000 (QEMU has them in one of their own).
    fn good() -> Self {
        let mut words = [0; 64];
        words[0x34 / 4] = 0x98;
        (words[0x20 / 4], words[0x24 / 4]) = (BAR_LOW | 0xc, BAR_HIGH);
        let mut cap = |at: usize, next: u32, len: u32, kind: u32, place: (u32, u32), last: u32| {
            words[at / 4] = 0x09 | next << 8 | len << 16 | kind << 24;
            (words[at / 4 + 1], words[at / 4 + 2]) = (4, place.0);
            words[at / 4 + 3] = place.1;
            if len > 16 {
                words[at / 4 + 4] = last;
            }
        };
        cap(0x84, 0x70, 20, 2, (0x3000, 0x1000), 4);
        cap(0x70, 0x60, 16, 3, (0x1000, 0x1000), 0);
        cap(0x60, 0x40, 16, 1, (0, 0x1000), 0);
        (words[0x98 / 4], words[0x9c / 4]) = (0x11 | 0x84 << 8 | 3 << 16, 0x2000 | 4);
        words[0x40 / 4] = 0x05;
        Self(words)
    }

    fn with(mut self, at: usize, value: u32) -> Self {
        self.0[at / 4] = value;
        self
    }

    fn doorbells(&self) -> Option<PciDoorbells> {
        let function = DeviceFunction { bus: 0, device: 3, function: 0 };
        // SAFETY: `Window` maps the registers behind the BAR.
        unsafe { PciDoorbells::new::<Window, _>(&mut self.clone(), function, Some(MESSAGE)) }
    }
}

impl ConfigurationAccess for Config {
    fn read_word(&self, _: DeviceFunction, at: u8) -> u32 {
        self.0[usize::from(at) / 4]
    }
    fn write_word(&mut self, _: DeviceFunction, at: u8, value: u32) {
        let at = usize::from(at);
        assert_eq!(self.0[at / 4] & 0xff, 0x11, "nothing is to be written but how to interrupt");
        self.0[at / 4] = value;
        WRITTEN.set(Some(value));
    }
    unsafe fn unsafe_clone(&self) -> Self {
        self.clone()
    }
}

#[test]
fn a_pci_doorbell_writes_the_queue_at_its_place() {
    let mut doorbells = Config::good().doorbells().unwrap();
    write(0x1e, 5);
    let doorbell = doorbells.doorbell(3).unwrap();
    assert_eq!(read(0x16), 3, "the place is asked for this queue");
    doorbell.ring();
    assert_eq!(read(0x3000 + 5 * 4), 3);
}

#[test]
fn a_place_outside_the_area_is_refused() {
    let mut doorbells = Config::good().doorbells().unwrap();
    for (place, is_inside) in [(0x3ff, true), (0x400, false), (0xffff, false)] {
        write(0x1e, place);
        assert_eq!(doorbells.doorbell(0).is_some(), is_inside, "{place:#x}");
    }
}

#[test]
fn wrong_capabilities_give_no_doorbells() {
    let good = Config::good();
    let cases = [
        ("no list", good.clone().with(0x34, 0)),
        ("no notification area", good.clone().with(0x84, 0x09 | 0x70 << 8)),
        ("no multiplier", good.clone().with(0x84, 0x09 | 0x70 << 8 | 16 << 16 | 2 << 24)),
        ("I/O window", good.clone().with(0x20, 0xc001)),
        ("no address", good.clone().with(0x20, 0xc).with(0x24, 0)),
        ("window 6", good.clone().with(0x64, 6)),
        ("short common configuration", good.clone().with(0x6c, 0x20)),
        ("a list that bites its tail", good.clone().with(0x98, 0x11 | 0x98 << 8)),
    ];
    for (what, config) in cases {
        assert!(config.doorbells().is_none(), "{what}");
    }
}

#[test]
fn an_mmio_doorbell_writes_the_queue_to_the_notification_register() {
    let header = register(0).cast::<VirtIOHeader>();
    // SAFETY: the test's registers, there for ever.
    let mut doorbells = unsafe { MmioDoorbells::new(header) };
    doorbells.doorbell(7).unwrap().ring();
    assert_eq!((read(0x50), read(0x52)), (7, 0));
}

#[test]
fn an_interrupt_sends_the_message() {
    let mut doorbells = Config::good().doorbells().unwrap();
    assert_eq!(WRITTEN.get(), Some(0x8003_8411), "interrupts on, none masked as a whole");
    let control = 0x2000 + 3 * 16 + 12;
    write(control, 1);
    assert!(doorbells.interrupt(6, 3));
    assert_eq!((read(0x16), read(0x1a)), (6, 3), "the queue has the interrupt");
    let entry = [0, 2, 4, 8, 12].map(|at| read(0x2000 + 3 * 16 + at));
    assert_eq!(entry, [0x1000, 0xfee0, 0, 0xf0, 0], "and it is not masked");
}

#[test]
fn an_interrupt_that_is_not_there_is_not_given() {
    let good = Config::good();
    assert!(!good.doorbells().unwrap().interrupt(0, 4), "the table has four");
    let none = good.clone().with(0x98, 0x05 | 0x84 << 8);
    assert!(!none.doorbells().unwrap().interrupt(0, 0), "no table");
    let unplaced = good.with(0x9c, 0x2000 | 2);
    assert!(!unplaced.doorbells().unwrap().interrupt(0, 0), "a window without address");
}
