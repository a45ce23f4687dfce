//! Starting another CPU: INIT, start-up interrupt, trampoline, Rust.
//!
//! A started CPU wakes in 16-bit mode at a page below 1 MiB. The code there (position-independent,
//! copied once) goes through 32-bit to 64-bit mode on the final page tables and takes stack,
//! argument and function from a mailbox. CPUs are started one at a time: the mailbox is one.
//!
//! The architecture's advice of fixed waits (10 ms after INIT, 200 us after the first start-up
//! interrupt) is for chips of the nineties; we ask whether the CPU lives and repeat the start-up
//! interrupt once if it does not, so nothing waits longer than the CPU needs.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Mutex;

use super::segments::SegmentTables;
use super::stacks::Stacks;
use super::{Cpu, MAX_CPUS, STARTED, TOPOLOGY, align_tsc_with, apic, enter, publish};
use crate::memory::{self, TRAMPOLINE_BYTES};
use crate::time;

/// What a started CPU runs.
type Work = Box<dyn FnOnce() + Send>;

/// Why a CPU could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// There is no CPU with this number.
    NoSuchCpu,
    /// It runs already.
    AlreadyRuns,
    /// There is no memory for its stacks, or none below 1 MiB for the trampoline.
    NoMemory,
    /// It did not answer.
    NoAnswer,
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoSuchCpu => "there is no such CPU",
            Self::AlreadyRuns => "it runs already",
            Self::NoMemory => "there is no memory for it",
            Self::NoAnswer => "it does not answer",
        })
    }
}

/// What the trampoline takes before it calls Rust; the order is known to the assembly below.
#[repr(C)]
struct Mailbox {
    stack_top: AtomicU64,
    argument: AtomicU64,
    function: AtomicU64,
}

static MAILBOX: Mailbox = Mailbox {
    stack_top: AtomicU64::new(0),
    argument: AtomicU64::new(0),
    function: AtomicU64::new(0),
};

/// Held while a CPU is being started.
static STARTING: Mutex<()> = Mutex::new(());

/// What is handed to a new CPU.
struct Arrival {
    cpu: &'static Cpu,
    work: Mutex<Option<Work>>,
    /// The starter's time-stamp counter.
    tsc: AtomicU64,
    has_arrived: AtomicBool,
}

/// Starts CPU `number` and has it run `work`. When `work` returns, the CPU halts for good.
pub fn start(number: usize, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    let _one_at_a_time = STARTING.lock();
    let topology = TOPOLOGY.get().ok_or(StartError::NoSuchCpu)?;
    let &apic_id = topology.apic_ids().get(number).ok_or(StartError::NoSuchCpu)?;
    if number >= MAX_CPUS {
        return Err(StartError::NoSuchCpu);
    }
    if !super::CPUS[number].load(Ordering::Acquire).is_null() {
        return Err(StartError::AlreadyRuns);
    }
    let page = memory::trampoline().ok_or(StartError::NoMemory)?;

    let stacks = memory::allocate_stacks().ok_or(StartError::NoMemory)?;
    let cpu = prepare(number, stacks);
    let arrival: &'static Arrival = Box::leak(Box::new(Arrival {
        cpu,
        work: Mutex::new(Some(Box::new(work))),
        tsc: AtomicU64::new(0),
        has_arrived: AtomicBool::new(false),
    }));
    publish(cpu);
    MAILBOX.stack_top.store(stacks.main_top(), Ordering::Relaxed);
    MAILBOX.argument.store(ptr::from_ref(arrival).addr() as u64, Ordering::Relaxed);
    MAILBOX.function.store(arrive as *const () as usize as u64, Ordering::Release);

    arrival.tsc.store(time::tsc(), Ordering::Release);
    apic::send_init(apic_id);
    for patience_us in [1_000, 1_000_000] {
        apic::send_startup(apic_id, page);
        let deadline = time::now() + patience_us * 1_000;
        while time::now() < deadline {
            if arrival.has_arrived.load(Ordering::Acquire) {
                STARTED.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            core::hint::spin_loop();
        }
    }
    // Its structures stay: it might still wake up.
    Err(StartError::NoAnswer)
}

/// A CPU's structures, filled.
fn prepare(number: usize, stacks: &'static Stacks) -> &'static Cpu {
    let cpu = Box::leak(Box::new(Cpu {
        number,
        stacks,
        tables: UnsafeCell::new(SegmentTables::empty()),
    }));
    cpu.tables.get_mut().fill(stacks);
    cpu
}

/// The first Rust on a new CPU.
extern "C" fn arrive(arrival: &'static Arrival) -> ! {
    enter(arrival.cpu);
    align_tsc_with(arrival.tsc.load(Ordering::Acquire));
    apic::enable();
    let work = arrival.work.lock().take();
    arrival.has_arrived.store(true, Ordering::Release);
    if let Some(work) = work {
        work();
    }
    log::warn!("cpu{} has no more work", arrival.cpu.number);
    crate::io::halt_forever();
}

/// Puts the trampoline's code at its page, before that page becomes executable.
///
/// # Safety
/// The page is writable, unused and below 1 MiB.
pub(crate) unsafe fn install_trampoline(page: u64, root: u64) {
    unsafe extern "C" {
        static runtime_trampoline: [u8; 0];
        static runtime_trampoline_end: [u8; 0];
        static runtime_trampoline_fields: [u8; 0];
    }
    let code = (&raw const runtime_trampoline).cast::<u8>();
    let len = (&raw const runtime_trampoline_end).addr() - code.addr();
    let fields = (&raw const runtime_trampoline_fields).addr() - code.addr();
    debug_assert!(len <= TRAMPOLINE_BYTES);
    let Ok(target) = usize::try_from(page) else { return };
    let target = ptr::with_exposed_provenance_mut::<u8>(target);
    // SAFETY: the code is `len` bytes, and the caller gives the page.
    unsafe { ptr::copy_nonoverlapping(code, target, len) };

    let mailbox = (&raw const MAILBOX).addr() as u64;
    for (index, value) in [root, mailbox].into_iter().enumerate() {
        // SAFETY: the fields stand inside the page just written.
        let field = unsafe { target.add(fields + index * 8) };
        // SAFETY: as above; the field is 8 bytes, of any alignment.
        unsafe { field.cast::<u64>().write_unaligned(value) };
    }
}

core::arch::global_asm!(
    r#"
.section .text.runtime_trampoline, "ax", @progbits
.balign 16
.global runtime_trampoline
.hidden runtime_trampoline
.global runtime_trampoline_end
.hidden runtime_trampoline_end
.global runtime_trampoline_fields
.hidden runtime_trampoline_fields
.code16
runtime_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %cs, %bx
    shll $4, %ebx
    # The two far pointers and the table pointer get absolute addresses, from where this copy is.
    leal 1f - runtime_trampoline(%ebx), %eax
    movl %eax, 4f - runtime_trampoline
    leal 2f - runtime_trampoline(%ebx), %eax
    movl %eax, 5f - runtime_trampoline
    leal 7f - runtime_trampoline(%ebx), %eax
    movl %eax, 6f - runtime_trampoline + 2
    lgdtl 6f - runtime_trampoline
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl *4f - runtime_trampoline
.code32
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    # The same registers as in the image's entry: CR4, CR3, EFER, CR0.
    movl %cr4, %eax
    orl $0x6a0, %eax
    movl %eax, %cr4
    movl 9f - runtime_trampoline(%ebx), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax
    wrmsr
    movl %cr0, %eax
    andl $0x9ffffff3, %eax
    orl $0x80010023, %eax
    movl %eax, %cr0
    ljmpl *5f - runtime_trampoline(%ebx)
.code64
2:  movl %ebx, %ebx
    movq 9f - runtime_trampoline + 8(%rbx), %rax
    movq (%rax), %rsp
    movq 8(%rax), %rdi
    movq 16(%rax), %rax
    xorl %ebp, %ebp
    call *%rax
    ud2
    .balign 8
4:  .long 0
    .word 0x18
5:  .long 0
    .word 0x08
6:  .word 31
    .long 0
    .balign 8
7:  .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
runtime_trampoline_fields:
9:  .quad 0, 0
runtime_trampoline_end:
"#,
    options(att_syntax)
);
