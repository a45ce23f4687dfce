#![doc = include_str!("../README.md")]
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use runtime::boot::BootInfo;
use runtime::physical::BootMapping;
use spin::mutex::Mutex;
use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static HEAP: TalcLock<Mutex<()>, Manual> = TalcLock::new(Manual);

runtime::entry_point!(start);

extern "C" fn start(magic: u32, information: u32) -> ! {
    runtime::console::init();
    runtime::logger::init(log::LevelFilter::Info);
    // SAFETY: the entry's page tables are in force until the final ones are built below.
    let physical = unsafe { BootMapping::new() };
    let info = BootInfo::collect(magic, information, &physical);
    log::info!("hello {info:?}");
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    log::error!("{info}");
    loop {
        core::hint::spin_loop();
    }
}
