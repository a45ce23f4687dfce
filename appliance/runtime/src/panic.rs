//! The end of the image, when something is broken: report it, then halt, reset or power off.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::backtrace::Backtrace;
use crate::console::Emergency;
use crate::cpu::{self, apic};
use crate::{io, power};

/// What follows the report of a panic or a fatal trap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum OnPanic {
    /// Boot again: a switch that serves should come back by itself.
    #[default]
    Reset,
    /// Stop and keep the machine as it is, for a debugger.
    Halt,
    /// Switch the machine off, so that who started it notices.
    PowerOff,
}

impl OnPanic {
    /// The policy of this name, as `on-panic=` has it on the kernel command line.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "reset" => Some(Self::Reset),
            "halt" => Some(Self::Halt),
            "poweroff" => Some(Self::PowerOff),
            _ => None,
        }
    }
}

static POLICY: AtomicU8 = AtomicU8::new(OnPanic::Reset as u8);
/// The CPU that reports, plus one; 0 while all is well.
static REPORTING: AtomicUsize = AtomicUsize::new(0);
/// How many reports were begun: a report that itself faults is not repeated forever.
static REPORTS: AtomicUsize = AtomicUsize::new(0);

/// Chooses what follows a report.
pub fn set_policy(policy: OnPanic) {
    POLICY.store(policy as u8, Ordering::Relaxed);
}

/// Whether a CPU is reporting the image's end.
pub(crate) fn is_ending() -> bool {
    REPORTING.load(Ordering::SeqCst) != 0
}

/// Reports a Rust panic and ends the image. For the binary's panic handler.
pub fn report(info: &PanicInfo<'_>) -> ! {
    let backtrace = Backtrace::here();
    end(|console| {
        writeln!(console, "\npanic on cpu{}: {}", cpu::current(), info.message())?;
        if let Some(place) = info.location() {
            writeln!(console, "  at {place}")?;
        }
        write!(console, "backtrace:\n{backtrace}")
    })
}

/// Stops the other CPUs, writes a report and does what the policy says.
pub(crate) fn end(report: impl FnOnce(&mut dyn Write) -> fmt::Result) -> ! {
    const MAX_REPORTS: usize = 2;
    let me = cpu::current() + 1;
    let reporter = REPORTING.compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst);
    let mut console = match reporter {
        Ok(_) => {
            apic::send_nmi_to_others();
            match Emergency::take() {
                Some(console) => console,
                None => Emergency::again(),
            }
        }
        Err(reporter) if reporter == me => Emergency::again(),
        // One CPU reports; the others would only garble it.
        Err(_) => io::halt_forever(),
    };
    if REPORTS.fetch_add(1, Ordering::SeqCst) < MAX_REPORTS {
        // The emergency console cannot fail; a formatter that does has written what it could.
        let _ = report(&mut console);
    }
    match POLICY.load(Ordering::Relaxed) {
        policy if policy == OnPanic::Halt as u8 => {
            let _ = writeln!(console, "halted");
            io::halt_forever()
        }
        policy if policy == OnPanic::PowerOff as u8 => {
            let _ = writeln!(console, "powering off");
            power::off()
        }
        _ => {
            let _ = writeln!(console, "resetting");
            power::reset()
        }
    }
}
