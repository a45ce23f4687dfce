#![doc = include_str!("../README.md")]
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::panic::PanicInfo;
use core::ptr::NonNull;

use runtime::acpi::AcpiFacts;
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
use virtio_drivers::transport::DeviceType;

use crate::console_port::BytePort;
use crate::devices::Device;

mod console_port;
mod devices;
mod dma;

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
    log::info!("started by {}, clock {} MHz {}", info.protocol, clock.hertz / 1_000_000, clock.source);

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
    let devices = devices::find(&info, &acpi);
    for device in &devices {
        log::info!("{device}");
    }
    let ports = open_consoles(devices);

    for number in 1..cpu::count() {
        // What a poll core does is the switch's to say.
        let poll = move || loop {
            cpu::wait(1_000_000_000);
        };
        if let Err(error) = cpu::start(number, poll) {
            log::error!("cpu{number} does not start: {error}");
        }
    }
    log::info!("{} of {} CPUs run", cpu::started(), cpu::count());

    if let Some(test) = info.command_line.get("selftest").and_then(SelfTest::from_name) {
        test.run();
    }
    if info.command_line.words().any(|word| word == "poweroff") {
        log::info!("done");
        console::flush_all();
        power::off();
    }
    // The switch begins here: its control body takes over the boot CPU.
    serve(ports)
}

/// Until there is a switch: moves the log out and answers each byte on the consoles with itself.
fn serve(mut ports: Vec<BytePort>) -> ! {
    loop {
        let mut is_busy = console::flush(64);
        for port in &mut ports {
            let mut bytes = [0; 256];
            let len = port.read(&mut bytes);
            is_busy |= len > 0;
            let mut left = bytes.get(..len).unwrap_or(&[]);
            while !left.is_empty() && !port.is_broken() {
                left = left.get(port.write(left)..).unwrap_or(&[]);
            }
        }
        if !is_busy {
            cpu::wait(10_000_000);
        }
    }
}

/// Opens the byte channels among the devices.
fn open_consoles(devices: Vec<Device>) -> Vec<BytePort> {
    let consoles = devices.into_iter().filter(|device| device.kind() == DeviceType::Console);
    consoles
        .filter_map(|Device { location, transport }| match BytePort::new(transport) {
            Ok(port) => Some(port),
            Err(error) => {
                log::warn!("console at {location}: {error}");
                None
            }
        })
        .collect()
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
#[derive(Clone, Copy, Debug)]
enum StartError {
    Boot(BootInfoError),
    Memory(MemoryError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
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

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    runtime::panic::report(info)
}
