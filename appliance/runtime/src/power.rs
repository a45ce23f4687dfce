//! Powering the machine off and resetting it.
//!
//! Each tries the way that the machine's tables name, then the ways that are customary, then stops.

use core::arch::asm;
use core::ptr;

use spin::Once;

use crate::acpi::power::{PowerFacts, Register};
use crate::cpu::TablePointer;
use crate::io::{halt_forever, in8, in16, out8, out16};
use crate::memory;

/// Sleep enable, in the power management control register (ACPI 6.5 §4.8.3.2.1).
const PM1_SLEEP_ENABLE: u16 = 1 << 13;
const PM1_SLEEP_TYPE: u16 = 7 << 10;
/// Sleep enable, in the sleep control register of reduced hardware (ACPI 6.5 §4.8.3.7).
const SLEEP_ENABLE: u8 = 1 << 5;

static FACTS: Once<PowerFacts> = Once::new();

/// Remembers how, and maps what registers that needs.
pub fn init(facts: &PowerFacts) {
    let registers = [facts.sleep_control, facts.reset.map(|(register, _)| register)];
    for register in registers.into_iter().flatten() {
        if let Register::Memory(address) = register
            && let Err(error) = memory::map_mmio(address, 1)
        {
            log::warn!("power register at {address:#x}: {error}");
        }
    }
    FACTS.call_once(|| *facts);
}

/// Powers the machine off.
pub fn off() -> ! {
    /// Where QEMU's `pc` and `q35` have it, should there be no tables.
    const CUSTOMARY: [u16; 2] = [0x604, 0xb004];
    let facts = FACTS.get();
    if let Some(facts) = facts {
        if let Some(register) = facts.sleep_control {
            write(register, facts.off_type << 2 | SLEEP_ENABLE);
        }
        let off_type = u16::from(facts.off_type) << 10;
        for port in facts.control_ports.into_iter().flatten() {
            out16(port, in16(port) & !PM1_SLEEP_TYPE | off_type | PM1_SLEEP_ENABLE);
        }
    }
    if facts.is_none_or(|facts| facts.control_ports == [None, None]) {
        CUSTOMARY.into_iter().for_each(|port| out16(port, PM1_SLEEP_ENABLE));
    }
    wait_for_power_to_go();
    // A machine that cannot be switched off is at least not left running.
    reset()
}

/// Gives the machine time to follow: a hypervisor may let the CPU run on for a while, and a reset
/// that overtakes would boot again. Each access leaves the guest, so this is seconds at the least on
/// machines that stay on, and no code runs after it on those that do not.
fn wait_for_power_to_go() {
    /// The port of power-on self tests: reading it does nothing.
    const POST: u16 = 0x80;
    const ACCESSES: u32 = 1 << 21;
    for _ in 0..ACCESSES {
        in8(POST);
    }
}

/// Resets the machine.
pub fn reset() -> ! {
    if let Some((register, value)) = FACTS.get().and_then(|facts| facts.reset) {
        write(register, value);
    }
    reset_by_chipset();
    reset_by_keyboard_controller();
    triple_fault()
}

/// The reset control register of PC chipsets: hard reset.
fn reset_by_chipset() {
    const RESET_CONTROL: u16 = 0xcf9;
    out8(RESET_CONTROL, 0x02);
    out8(RESET_CONTROL, 0x06);
}

/// The reset line of the PC's keyboard controller.
fn reset_by_keyboard_controller() {
    const CONTROLLER: u16 = 0x64;
    const INPUT_FULL: u8 = 1 << 1;
    for _ in 0..1_000 {
        if in8(CONTROLLER) & INPUT_FULL == 0 {
            break;
        }
    }
    out8(CONTROLLER, 0xfe);
}

/// A fault that no handler can take resets every x86 machine.
fn triple_fault() -> ! {
    let nothing = TablePointer { limit: 0, base: 0 };
    // SAFETY: with no interrupt table the exception cannot be delivered, nor can the double fault
    // that follows: nothing of the program runs any more.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &raw const nothing) };
    halt_forever()
}

fn write(register: Register, value: u8) {
    match register {
        Register::Port(port) => out8(port, value),
        Register::Memory(address) => {
            let Ok(address) = usize::try_from(address) else { return };
            let register = ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: `init` mapped the register. If that failed, this faults, which ends the
            // machine as well.
            unsafe { register.write_volatile(value) };
        }
    }
}
