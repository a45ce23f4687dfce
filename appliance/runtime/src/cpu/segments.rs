//! The segment tables that long mode still wants: GDT and TSS, one pair per CPU.
//!
//! Segments do nothing here but say "64-bit code"; the TSS matters: it names the trap stacks.

use core::arch::asm;
use core::mem::size_of;

use super::stacks::{Stacks, TrapStack};

/// Selector of the code segment, as in the boot GDT.
pub(crate) const CODE: u16 = 0x08;
/// Selector of the data segment.
const DATA: u16 = 0x10;
/// Selector of the task state segment.
const TASK: u16 = 0x18;

/// 64-bit task state segment (Intel SDM 3A §8.7).
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct TaskState {
    reserved0: u32,
    privilege_stacks: [u64; 3],
    reserved1: u64,
    trap_stacks: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    port_map: u16,
}

/// GDT and TSS of one CPU. They must stay where they are once loaded.
#[derive(Debug)]
#[repr(C, align(16))]
pub(super) struct SegmentTables {
    descriptors: [u64; 5],
    task: TaskState,
}

/// What `lgdt` and `lidt` take.
#[repr(C, packed)]
pub(crate) struct TablePointer {
    pub(crate) limit: u16,
    pub(crate) base: u64,
}

const TASK_BYTES: u16 = 104;
const DESCRIPTOR_BYTES: u16 = 5 * 8;
const _: () = assert!(size_of::<TaskState>() == TASK_BYTES as usize);

impl SegmentTables {
    pub(super) const fn empty() -> Self {
        Self {
            descriptors: [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0, 0],
            task: TaskState {
                reserved0: 0,
                privilege_stacks: [0; 3],
                reserved1: 0,
                trap_stacks: [0; 7],
                reserved2: 0,
                reserved3: 0,
                port_map: TASK_BYTES,
            },
        }
    }

    /// Fills the tables for a CPU with these stacks.
    pub(super) fn fill(&mut self, stacks: &Stacks) {
        let mut trap_stacks = [0; 7];
        for which in TrapStack::ALL {
            trap_stacks[usize::from(which.slot()) - 1] = stacks.trap_top(which);
        }
        self.task.trap_stacks = trap_stacks;
        let base = (&raw const self.task).addr() as u64;
        [self.descriptors[3], self.descriptors[4]] = task_descriptor(base);
    }

    /// Makes these the tables of the executing CPU.
    ///
    /// # Safety
    /// The tables are filled, and are neither moved nor dropped while the CPU runs.
    pub(super) unsafe fn load(&self) {
        let limit = DESCRIPTOR_BYTES - 1;
        let pointer = TablePointer { limit, base: self.descriptors.as_ptr().addr() as u64 };
        // SAFETY: the table has flat code and data segments at the selectors used here, so
        // reloading them changes nothing but where they come from; the caller keeps it alive.
        unsafe {
            asm!(
                "lgdt [{pointer}]",
                "push {code}",
                "lea {scratch}, [rip + 2f]",
                "push {scratch}",
                "retfq",
                "2:",
                "mov ds, {data:x}",
                "mov es, {data:x}",
                "mov ss, {data:x}",
                "ltr {task:x}",
                pointer = in(reg) &raw const pointer,
                code = in(reg) u64::from(CODE),
                scratch = out(reg) _,
                data = in(reg) u32::from(DATA),
                task = in(reg) u32::from(TASK),
            );
        }
    }
}

/// The 16-byte descriptor of an available 64-bit TSS (Intel SDM 3A §8.2.3).
fn task_descriptor(base: u64) -> [u64; 2] {
    const PRESENT_AVAILABLE_TSS: u64 = 0x89 << 40;
    let limit = u64::from(TASK_BYTES) - 1;
    let low = limit | (base & 0xff_ffff) << 16 | PRESENT_AVAILABLE_TSS | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

#[cfg(test)]
mod tests {
    use super::task_descriptor;

    #[test]
    fn descriptor_spreads_the_base() {
        assert_eq!(task_descriptor(0x1234_5678_9abc_def0), [0x9a00_89bc_def0_0067, 0x1234_5678]);
    }
}
