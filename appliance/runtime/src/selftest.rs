//! Faults on purpose: `selftest=NAME` on the kernel command line makes the image do the named harm
//! after boot, so that a test can see it end with the right report.

use core::fmt;
use core::hint::black_box;
use core::ptr;

/// The harm to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// A Rust panic.
    Panic,
    /// Reading through a null pointer.
    Null,
    /// Recursion without end.
    StackOverflow,
    /// Writing to code.
    WriteText,
    /// Executing data.
    ExecData,
}

impl SelfTest {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Panic, Self::Null, Self::StackOverflow, Self::WriteText, Self::ExecData];

    /// The self test of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|test| test.name() == name)
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Null => "null",
            Self::StackOverflow => "stack-overflow",
            Self::WriteText => "write-text",
            Self::ExecData => "exec-data",
        }
    }

    /// Does the harm. It returns only if nothing stopped it, which is a failure of the runtime.
    pub fn run(self) {
        log::info!("self test: {self}");
        match self {
            #[expect(clippy::panic, reason = "what is tested")]
            Self::Panic => panic!("self test"),
            Self::Null => read_null(),
            Self::StackOverflow => {
                black_box(recurse(black_box(1)));
            }
            Self::WriteText => write_text(),
            Self::ExecData => execute_data(),
        }
        log::error!("self test: {self} was not stopped");
    }
}

impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[inline(never)]
fn read_null() {
    let address = black_box(8);
    // SAFETY: none. The page is never mapped; the fault is what is tested.
    let value = unsafe { ptr::without_provenance::<u64>(address).read_volatile() };
    black_box(value);
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "what is tested")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[0]
}

#[inline(never)]
fn write_text() {
    let code = black_box(read_null as *const ()).cast_mut().cast::<u8>();
    // SAFETY: none. Code is mapped read-only; the fault is what is tested.
    unsafe { code.write_volatile(0xc3) };
}

#[inline(never)]
fn execute_data() {
    /// A return instruction, in memory that is not executable.
    static DATA: [u8; 16] = [0xc3; 16];
    let data = black_box(&raw const DATA);
    // SAFETY: none. Data is mapped no-execute; the fault is what is tested.
    let function = unsafe { core::mem::transmute::<*const [u8; 16], extern "C" fn()>(data) };
    function();
}
