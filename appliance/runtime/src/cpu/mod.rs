//! The CPUs of the machine: who am I, how many are there, start one, wait, wake.
//!
//! # Numbers
//! CPU 0 is the one that boots; the others are numbered as firmware lists them. A CPU that is
//! never given work is never started.
//!
//! # Concurrency
//! A `Cpu` is written by the CPU that prepares it, before it is published in `CPUS` (release)
//! and before the CPU it describes runs; from then on it is only read. It lives forever.

pub(crate) mod apic;
pub(crate) mod features;
mod segments;
pub mod stacks;
mod start;

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

pub use self::features::{Features, is_emulated};
use self::segments::SegmentTables;
pub(crate) use self::segments::{CODE, TablePointer};
use self::stacks::{BOOT_STACKS, Stacks};
pub(crate) use self::start::install_trampoline;
pub use self::start::{StartError, start};
use crate::acpi::Topology;
use crate::io::{read_msr, write_msr};
use crate::{time, trap};

/// The most CPUs that are used.
pub const MAX_CPUS: usize = 64;

/// `IA32_GS_BASE`: where this CPU's own [`Cpu`] is.
const MSR_GS_BASE: u32 = 0xc000_0101;

/// What there is once per CPU.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Cpu {
    /// First, so that `gs:[0]` reads it.
    number: usize,
    stacks: &'static Stacks,
    tables: UnsafeCell<SegmentTables>,
}

// SAFETY: `tables` is changed only before the CPU is published and run; see the module's head.
unsafe impl Sync for Cpu {}

static BOOT_CPU: Cpu =
    Cpu { number: 0, stacks: &BOOT_STACKS, tables: UnsafeCell::new(SegmentTables::empty()) };

/// The CPUs that run or are being started, by number.
static CPUS: [AtomicPtr<Cpu>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];
/// APIC ids by number, and how many there are.
static TOPOLOGY: spin::Once<Topology> = spin::Once::new();
static IS_READY: AtomicBool = AtomicBool::new(false);
/// Of each CPU, whether it was woken since it began to wait; nobody else touches it.
static WOKEN: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
/// How many CPUs have run so far.
static STARTED: AtomicUsize = AtomicUsize::new(1);

/// Gives the boot CPU its tables, traps and extended registers. Once, before all else.
pub fn init_boot_cpu() {
    let tables = BOOT_CPU.tables.get();
    // SAFETY: the first code of the image runs alone; nothing else refers to the tables yet.
    let tables = unsafe { &mut *tables };
    tables.fill(BOOT_CPU.stacks);
    publish(&BOOT_CPU);
    trap::fill_table();
    enter(&BOOT_CPU);
    IS_READY.store(true, Ordering::Release);
}

/// Says which CPUs there are, and enables the local interrupt controller.
pub fn init_topology(topology: &Topology) -> Result<(), crate::memory::MapError> {
    apic::init(topology.apic_address)?;
    let boot_id = apic::id();
    TOPOLOGY.call_once(|| topology.starting_with(boot_id));
    Ok(())
}

/// The number of the CPU that runs this code.
#[must_use]
pub fn current() -> usize {
    if !IS_READY.load(Ordering::Relaxed) {
        return 0;
    }
    let number: usize;
    // SAFETY: once ready, the GS base of every running CPU points to its `Cpu`, whose first word
    // is the number.
    unsafe { asm!("mov {}, gs:[0]", out(reg) number, options(nostack, readonly, pure)) };
    number
}

/// How many CPUs the machine has for us.
#[must_use]
pub fn count() -> usize {
    TOPOLOGY.get().map_or(1, |topology| topology.apic_ids().len().max(1))
}

/// How many CPUs have been started, the boot CPU among them.
#[must_use]
pub fn started() -> usize {
    STARTED.load(Ordering::Relaxed)
}

/// Waits a moment in a polling loop.
pub fn pause() {
    core::hint::spin_loop();
}

/// Halts this CPU until another CPU calls [`wake`], a device sends its [`wake_message`], or `max_ns` have
/// passed, whichever is first. It may return earlier. Whether it was woken: by its time alone, it was not.
pub fn wait(max_ns: u64) -> bool {
    apic::arm_timer(max_ns);
    // SAFETY: every vector has a handler on its own stack. `sti` takes effect after the next
    // instruction, so an interrupt that came before ends the halt at once.
    unsafe { asm!("sti", "hlt", "cli", options(nomem, nostack)) };
    apic::disarm_timer();
    WOKEN.get(current()).is_some_and(|woken| woken.swap(false, Ordering::Relaxed))
}

/// Notes on the executing CPU that it was woken.
pub(crate) fn note_wake() {
    if let Some(woken) = WOKEN.get(current()) {
        woken.store(true, Ordering::Relaxed);
    }
}

/// Ends the [`wait`] of another CPU. Nothing happens if it does not wait or does not exist; a wake
/// that comes while it is awake ends its next wait.
pub fn wake(number: usize) {
    if let Some(&id) = TOPOLOGY.get().and_then(|topology| topology.apic_ids().get(number)) {
        apic::send_wake(id);
    }
}

/// What a device writes where to end the [`wait`] of the executing CPU (Intel SDM 3A §11.11), if it can.
#[must_use]
pub fn wake_message() -> Option<(u64, u32)> {
    /// The interrupt controllers' window; the destination's id stands in bits 12 to 19.
    const WINDOW: u64 = 0xfee0_0000;
    // Ids beyond need interrupt remapping; 255 is all of them.
    let id = u8::try_from(apic::id()).ok().filter(|id| *id != u8::MAX)?;
    Some((WINDOW | u64::from(id) << 12, u32::from(trap::VECTOR_WAKE)))
}

/// The started CPUs.
fn all() -> impl Iterator<Item = &'static Cpu> {
    CPUS.iter().filter_map(|slot| {
        let cpu = NonNull::new(slot.load(Ordering::Acquire))?;
        // SAFETY: only `publish` fills slots, with references that live forever.
        Some(unsafe { cpu.as_ref() })
    })
}

/// Whose guard page this address lies in: the CPU's number and the name of the stack.
pub(crate) fn guard_at(address: u64) -> Option<(usize, &'static str)> {
    all().find_map(|cpu| {
        let (_, name) = cpu.stacks.guards().find(|(guard, _)| address & !0xfff == *guard)?;
        Some((cpu.number, name))
    })
}

/// The mapped bytes of the stack that contains this address.
pub(crate) fn stack_containing(address: u64) -> Option<core::ops::Range<u64>> {
    all().find_map(|cpu| cpu.stacks.containing(address))
}

fn publish(cpu: &'static Cpu) {
    CPUS[cpu.number].store(ptr::from_ref(cpu).cast_mut(), Ordering::Release);
}

/// Makes the executing CPU the one described.
fn enter(cpu: &'static Cpu) {
    features::enable_extended_state();
    // SAFETY: no one writes the tables any more; see the module's head.
    let tables = unsafe { &*cpu.tables.get() };
    // SAFETY: the tables are filled and live in a `Cpu`, forever.
    unsafe { tables.load() };
    // SAFETY: GS is used for nothing but finding this structure.
    unsafe { write_msr(MSR_GS_BASE, ptr::from_ref(cpu).addr() as u64) };
    trap::load_table();
}

/// The time-stamp counters of CPUs are taken to be equal: so virtual machines have them. This
/// brings one that counts apart in line where the register for it exists.
fn align_tsc_with(reference: u64) {
    const MSR_TSC_ADJUST: u32 = 0x3b;
    const LEAF7_EBX_TSC_ADJUST: u32 = 1 << 1;
    let behind = reference.saturating_sub(time::tsc());
    if behind > 0 && features::leaf(7).ebx & LEAF7_EBX_TSC_ADJUST != 0 {
        let adjusted = read_msr(MSR_TSC_ADJUST).wrapping_add(behind);
        // SAFETY: the register exists and only shifts this CPU's counter.
        unsafe { write_msr(MSR_TSC_ADJUST, adjusted) };
    }
}
