#![doc = include_str!("../README.md")]
#![no_std]
#![no_main]

extern crate alloc;

use core::convert::Infallible;
use core::fmt;
use core::panic::PanicInfo;
use core::ptr::NonNull;

use runtime::acpi::AcpiFacts;
use runtime::boot::command_line::CommandLine;
use runtime::boot::{BootInfo, BootInfoError};
use runtime::console::{self, Delivery};
use runtime::memory::{self, MemoryError};
use runtime::panic::OnPanic;
use runtime::physical::BootMapping;
use runtime::selftest::SelfTest;
use runtime::{cpu, logger, pci, power, symbols, time};
use spin::mutex::Mutex;
use talc::TalcLock;
use talc::source::Manual;

mod configure;
mod console_port;
mod devices;
mod disk;
mod dma;
mod rest;
mod room;
mod serial_line;
mod switching;

use disk::Disks;

/// All memory that is not the image's own.
#[global_allocator]
static HEAP: TalcLock<Mutex<()>, Manual> = TalcLock::new(Manual);

runtime::entry_point!(start);

/// The boot story: what the entry's assembly calls, on the boot stack, with SSE and nothing else.
extern "C" fn start(magic: u32, information: u32) -> ! {
    console::init();
    logger::init(log::LevelFilter::Info);
    cpu::init_boot_cpu();
    symbols::init(image_layout().code(), symbol_section());
    match run(magic, information) {
        Ok(never) => match never {},
        Err(error) => {
            log::error!("cannot start: {error}");
            console::flush_all();
            power::off()
        }
    }
}

/// The same story from where it can fail.
fn run(magic: u32, information: u32) -> Result<Infallible, StartError> {
    // What loader and firmware left behind is copied out while the boot page tables map it.
    // SAFETY: the boot page tables are in force until `memory::init`, the last use being before.
    let physical = unsafe { BootMapping::new() };
    let info = BootInfo::collect(magic, information, &physical)?;
    configure(&info);
    let acpi = AcpiFacts::collect(&info, &physical);
    let clock = time::init(acpi.power.timer_port);
    log::info!(
        "started by {}, clock {} MHz {}",
        info.protocol,
        clock.hertz / 1_000_000,
        clock.source
    );

    let image = image_layout();
    // SAFETY: the layout is the linker's, the memory map the loader's; the heap keeps what it gets,
    // and nothing outside the image is in use: the facts above are copies.
    let memory = unsafe { memory::init(&info.memory, &image, &mut give_to_heap)? };
    log::info!(
        "memory {} MiB, heap {} KiB, image {} KiB",
        memory.ram_bytes >> 20,
        memory.heap_bytes >> 10,
        memory.image_bytes >> 10,
    );
    power::init(&acpi.power);
    cpu::init_topology(&acpi.topology).map_err(MemoryError::Map)?;
    if let Some(space) = acpi.pci {
        pci::init(space).map_err(MemoryError::Map)?;
    }

    log::debug!("{acpi:?}");
    let mut devices = devices::find(&info, &acpi);
    for device in &devices {
        log::info!("{device}");
    }
    let harm = Harm::from_command_line(&info.command_line);
    let Disks { database, spares } = Disks::take(&mut devices, switching::breathe);
    let found = configure::find(&info, spares)?;
    configure::apply(&found.config);
    let switch = switching::build(found, devices, database, memory.ram_bytes)?;
    switching::run(switch, harm)
}

/// The harm that `selftest=NAME` and `selftest-cpu=N` on the kernel command line ask for.
#[derive(Clone, Copy, Debug)]
struct Harm {
    test: Option<SelfTest>,
    cpu: usize,
}

impl Harm {
    fn from_command_line(line: &CommandLine) -> Self {
        let cpu = line.get("selftest-cpu").and_then(|cpu| cpu.parse().ok()).unwrap_or(0);
        Self { test: line.get("selftest").and_then(SelfTest::from_name), cpu }
    }

    fn do_on(self, cpu: usize) {
        if let Some(test) = self.test.filter(|_| self.cpu == cpu) {
            test.run();
        }
    }
}

/// What the kernel command line says about log and panics; the rest is the switch's configuration.
fn configure(info: &BootInfo) {
    if let Some(level) = info.command_line.get("log").and_then(|level| level.parse().ok()) {
        logger::init(level);
    }
    if let Some(policy) = info.command_line.get("on-panic").and_then(OnPanic::from_name) {
        runtime::panic::set_policy(policy);
    }
    if info.command_line.get("console") != Some("immediate") {
        console::set_delivery(Delivery::Deferred);
    }
}

/// Gives a range of memory to the global allocator.
fn give_to_heap(memory: NonNull<u8>, len: usize) {
    // SAFETY: `memory::init` gives usable RAM that nothing else refers to, each range once.
    let heap = unsafe { HEAP.lock().claim(memory.as_ptr(), len) };
    if heap.is_none() {
        log::debug!("{len} bytes at {memory:p} are too few to use");
    }
}

/// Why the image does not start.
#[derive(Debug)]
enum StartError {
    Boot(BootInfoError),
    Memory(MemoryError),
    Config(configure::ConfigError),
    Build(switching::BuildError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
        }
    }
}

impl From<BootInfoError> for StartError {
    fn from(error: BootInfoError) -> Self {
        Self::Boot(error)
    }
}

impl From<MemoryError> for StartError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<configure::ConfigError> for StartError {
    fn from(error: configure::ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<switching::BuildError> for StartError {
    fn from(error: switching::BuildError) -> Self {
        Self::Build(error)
    }
}

/// Bytes of the heap in use, and in all.
fn heap_use() -> (usize, usize) {
    let heap = HEAP.lock();
    let counters = heap.counters();
    (counters.allocated_bytes, counters.claimed_bytes)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    runtime::panic::report(info)
}
