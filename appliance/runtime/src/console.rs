//! The serial console: a 16550 UART at the first PC serial port.
//!
//! # Two ways to write
//! At once, or *deferred*: text goes to a ring in memory and [`flush`] moves it to the device
//! whenever the device takes bytes without waiting. A virtual UART costs a VM exit per byte, so
//! deferring keeps the log out of the boot time and out of the loops. Nothing is lost silently: a
//! full ring is first drained with bounded patience, then text is dropped and the loss is reported.
//!
//! # Concurrency
//! One spin lock over ring and device. The lock is never taken from a trap handler: reports of
//! faults and panics use an emergency console, which takes over the device after asking for the lock with
//! bounded patience, so a CPU that died inside the console cannot silence the report.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

use crate::io::{in8, out8};

/// First PC serial port.
const BASE: u16 = 0x3f8;
/// Line status register: a byte has come; the transmitter is empty.
const LINE_STATUS: u16 = BASE + 5;
const DATA_READY: u8 = 1 << 0;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// What the transmitter takes at once when it is empty.
const FIFO_BYTES: usize = 16;
/// How often to ask a busy transmitter before giving the text up.
const PATIENCE: u32 = 200_000;
/// Room for deferred text.
const RING_BYTES: usize = 32 * 1024;

static CONSOLE: Mutex<Console> = Mutex::new(Console::new());
/// Set by the first CPU that reports its end; ordinary writers keep quiet from then on.
static EMERGENCY: AtomicBool = AtomicBool::new(false);

/// When text goes to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// While it is written.
    Immediate,
    /// When [`flush`] is called.
    Deferred,
}

struct Console {
    ring: [u8; RING_BYTES],
    /// Position of the oldest byte; positions count up and wrap over the ring.
    head: usize,
    /// How many bytes wait.
    len: usize,
    /// Bytes that found no room since the last report.
    lost: usize,
    delivery: Delivery,
    is_present: bool,
}

impl Console {
    const fn new() -> Self {
        Self {
            ring: [0; RING_BYTES],
            head: 0,
            len: 0,
            lost: 0,
            delivery: Delivery::Immediate,
            is_present: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.push_byte(b'\r');
            }
            self.push_byte(byte);
        }
    }

    fn push_byte(&mut self, byte: u8) {
        if self.len == RING_BYTES {
            self.drain(PATIENCE);
        }
        if self.len == RING_BYTES {
            self.lost += 1;
            return;
        }
        self.ring[(self.head + self.len) % RING_BYTES] = byte;
        self.len += 1;
    }

    /// Moves bytes to the device, one transmitter full at a time, while its patience lasts.
    fn drain(&mut self, patience: u32) {
        while self.len > 0 && wait_for_transmitter(patience) {
            for _ in 0..self.len.min(FIFO_BYTES) {
                out8(BASE, self.ring[self.head]);
                self.head = (self.head + 1) % RING_BYTES;
                self.len -= 1;
            }
        }
    }
}

fn wait_for_transmitter(patience: u32) -> bool {
    (0..=patience).any(|_| in8(LINE_STATUS) & TRANSMITTER_EMPTY != 0)
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Programs the UART: 115,200 baud, 8 bits, no parity, FIFOs on, no interrupts.
pub fn init() {
    const DIVISOR_LATCH: u8 = 0x80;
    const EIGHT_BITS: u8 = 0x03;
    const SCRATCH: u16 = BASE + 7;
    out8(SCRATCH, 0x5a);
    let is_present = in8(SCRATCH) == 0x5a;
    if is_present {
        out8(BASE + 1, 0);
        out8(BASE + 3, DIVISOR_LATCH | EIGHT_BITS);
        out8(BASE, 1);
        out8(BASE + 1, 0);
        out8(BASE + 3, EIGHT_BITS);
        out8(BASE + 2, 0x07);
        out8(BASE + 4, 0x03);
    }
    CONSOLE.lock().is_present = is_present;
}

/// Chooses when text goes to the device.
pub fn set_delivery(delivery: Delivery) {
    CONSOLE.lock().delivery = delivery;
}

/// Writes formatted text.
pub fn write(text: fmt::Arguments<'_>) {
    if EMERGENCY.load(Ordering::Relaxed) {
        return;
    }
    let mut console = CONSOLE.lock();
    if !console.is_present {
        return;
    }
    if console.lost > 0 && console.len < RING_BYTES / 2 {
        let lost = core::mem::take(&mut console.lost);
        let _ = fmt::Write::write_fmt(&mut *console, format_args!("[{lost} bytes of log lost]\n"));
    }
    // Writing to the console cannot fail; a formatter that does has written what it could.
    let _ = fmt::Write::write_fmt(&mut *console, text);
    if console.delivery == Delivery::Immediate {
        console.drain(PATIENCE);
    }
}

/// Takes bytes of text as far as there is room for them without waiting, half of the room at the most, so
/// that a long answer leaves room for the log. Returns how many.
pub fn offer(bytes: &[u8]) -> usize {
    let Some(mut console) = CONSOLE.try_lock() else { return 0 };
    if !console.is_present || EMERGENCY.load(Ordering::Relaxed) {
        return bytes.len();
    }
    // A line's end becomes two bytes.
    let room = (RING_BYTES / 2).saturating_sub(console.len) / 2;
    let taken = bytes.get(..room).unwrap_or(bytes);
    console.push(taken);
    taken.len()
}

/// Moves deferred text to the device as far as it takes it without waiting, but no more than
/// `max_bytes`. Returns whether text is left.
pub fn flush(max_bytes: usize) -> bool {
    let Some(mut console) = CONSOLE.try_lock() else { return true };
    let mut left = max_bytes;
    while console.len > 0 && left > 0 && wait_for_transmitter(0) {
        for _ in 0..console.len.min(FIFO_BYTES).min(left) {
            out8(BASE, console.ring[console.head]);
            console.head = (console.head + 1) % RING_BYTES;
            console.len -= 1;
            left -= 1;
        }
    }
    console.len > 0
}

/// Moves all deferred text to the device, waiting with bounded patience.
pub fn flush_all() {
    CONSOLE.lock().drain(PATIENCE);
}

/// A byte that was typed, if there is one.
#[must_use]
pub fn read() -> Option<u8> {
    let console = CONSOLE.try_lock()?;
    (console.is_present && in8(LINE_STATUS) & DATA_READY != 0).then(|| in8(BASE))
}

/// The console of a CPU that reports its end: unlocked, unbuffered, after what was deferred.
#[derive(Debug)]
pub(crate) struct Emergency(());

impl Emergency {
    /// Takes the console over. `None` when another CPU already did.
    pub(crate) fn take() -> Option<Self> {
        if EMERGENCY.swap(true, Ordering::SeqCst) {
            return None;
        }
        for _ in 0..PATIENCE {
            if let Some(mut console) = CONSOLE.try_lock() {
                console.drain(PATIENCE);
                break;
            }
            core::hint::spin_loop();
        }
        Some(Self(()))
    }

    /// The console for a second report of the CPU that already took it (a fault in the report).
    pub(crate) fn again() -> Self {
        Self(())
    }
}

impl fmt::Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                wait_for_transmitter(PATIENCE);
                out8(BASE, b'\r');
            }
            wait_for_transmitter(PATIENCE);
            out8(BASE, byte);
        }
        Ok(())
    }
}
