//! The first instructions: from the loader's 32-bit protected mode to Rust in long mode.
//!
//! Both protocols promise flat 32-bit segments, paging off, interrupts off; PVH gives the start
//! information's address in `ebx`, multiboot2 the same with its magic in `eax`. The code below
//! reads the time-stamp counter first, makes sure that there is memory up to the image's end (with less it
//! says so and halts: without a stack there is nothing more to be done), maps the first 4 GiB one to one with 2 MiB pages (all of it
//! writable and executable, for the few microseconds until the final tables are built), enables
//! SSE, which compiled Rust uses freely, and calls the program on the boot stack.
//!
//! It is a macro that the binary invokes, because 32-bit code needs absolute addresses, which only
//! a statically placed image can have: the library itself also links into hosted tests.

use core::sync::atomic::AtomicU64;

/// The time-stamp counter at the very first instruction.
#[doc(hidden)]
pub static ENTRY_TSC: AtomicU64 = AtomicU64::new(0);

/// The PVH note: an ELF note named `Xen` of type 18 (`XEN_ELFNOTE_PHYS32_ENTRY`).
/// Aligned to 4 bytes: loaders take the segment's alignment for the padding between its fields.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub struct PvhNote {
    /// Length of the name with its NUL.
    pub name_bytes: u32,
    /// Length of the description.
    pub description_bytes: u32,
    /// The note's type.
    pub kind: u32,
    /// Its name.
    pub name: [u8; 4],
    /// Its description: the physical address of the 32-bit entry.
    pub entry: unsafe extern "C" fn(),
}

/// Defines the image's entry point, which calls `$start(magic, information)` once, and two
/// functions that tell what the linker did: `image_layout()` and `symbol_section()`.
#[macro_export]
macro_rules! entry_point {
    ($start:path) => {
        const _: extern "C" fn(u32, u32) -> ! = $start;

        /// Where the linker script put the image.
        fn image_layout() -> $crate::memory::ImageLayout {
            unsafe extern "C" {
                static image_start: [u8; 0];
                static text_start: [u8; 0];
                static text_end: [u8; 0];
                static data_start: [u8; 0];
                static image_end: [u8; 0];
            }
            $crate::memory::ImageLayout {
                start: (&raw const image_start).addr() as u64,
                text_start: (&raw const text_start).addr() as u64,
                text_end: (&raw const text_end).addr() as u64,
                data_start: (&raw const data_start).addr() as u64,
                end: (&raw const image_end).addr() as u64,
            }
        }

        /// The section that the image builder fills with function names.
        fn symbol_section() -> &'static [u8] {
            unsafe extern "C" {
                static image_symbols: [u8; $crate::symbols::ROOM];
            }
            // SAFETY: the assembly below defines that many bytes, which are never written.
            unsafe { &*&raw const image_symbols }
        }

        unsafe extern "C" {
            fn _start();
        }

        #[used]
        #[unsafe(link_section = ".note.pvh")]
        static PVH_NOTE: $crate::boot::entry::PvhNote = $crate::boot::entry::PvhNote {
            name_bytes: 4,
            description_bytes: 8,
            kind: 18,
            name: *b"Xen\0",
            entry: _start,
        };

        core::arch::global_asm!(
            // multiboot2 header (specification §3.1): magic, i386, length, checksum, end tag.
            ".section .multiboot2, \"a\", @progbits",
            ".balign 8",
            "multiboot2_header:",
            ".long 0xe85250d6, 0, multiboot2_end - multiboot2_header",
            ".long 0x100000000 - (0xe85250d6 + (multiboot2_end - multiboot2_header))",
            ".word 0, 0",
            ".long 8",
            "multiboot2_end:",

            ".section .symbols, \"a\", @progbits",
            ".balign 16",
            ".global image_symbols",
            ".hidden image_symbols",
            "image_symbols: .skip {symbol_room}",

            ".section .bss.boot_tables, \"aw\", @nobits",
            ".balign 4096",
            "boot_pml4: .skip 4096",
            "boot_pdpt: .skip 4096",
            "boot_pd: .skip 4 * 4096",

            ".section .data.boot_gdt, \"aw\", @progbits",
            ".balign 8",
            "boot_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
            "boot_gdt_pointer: .word 23",
            ".long boot_gdt",

            ".section .text.entry, \"ax\", @progbits",
            ".code32",
            ".global _start",
            ".type _start, @function",
            "_start:",
            "cli",
            "cld",
            // Arguments of `start(magic, information)` wait in their 64-bit places.
            "movl %eax, %edi",
            "movl %ebx, %esi",
            "rdtsc",
            "movl %eax, {tsc}",
            "movl %edx, {tsc} + 4",
            // What stands at the image's end is still zero; where there is no memory it stays what it is.
            "movl $image_end - 4, %ecx",
            "movl $0x55aa6996, (%ecx)",
            "cmpl $0x55aa6996, (%ecx)",
            "jne 4f",
            "movl $0, (%ecx)",
            // Tables: one PML4 entry, four PDPT entries, 2,048 pages of 2 MiB.
            "movl $boot_pdpt + 3, boot_pml4",
            "movl $boot_pd + 0x0003, boot_pdpt",
            "movl $boot_pd + 0x1003, boot_pdpt + 8",
            "movl $boot_pd + 0x2003, boot_pdpt + 16",
            "movl $boot_pd + 0x3003, boot_pdpt + 24",
            "movl $boot_pd, %ecx",
            "movl $0x83, %eax",
            "2:",
            "movl %eax, (%ecx)",
            "addl $8, %ecx",
            "addl $0x200000, %eax",
            "jnc 2b",
            "movl $boot_pml4, %eax",
            "movl %eax, %cr3",
            // CR4: PAE, PGE, OSFXSR, OSXMMEXCPT.
            "movl %cr4, %eax",
            "orl $0x6a0, %eax",
            "movl %eax, %cr4",
            // EFER: long mode and no-execute.
            "movl $0xc0000080, %ecx",
            "rdmsr",
            "orl $0x900, %eax",
            "wrmsr",
            // CR0: paging, write protection, native FPU errors; caches and FPU on.
            "movl %cr0, %eax",
            "andl $0x9ffffff3, %eax",
            "orl $0x80010023, %eax",
            "movl %eax, %cr0",
            "lgdt boot_gdt_pointer",
            "ljmp $8, $3f",
            ".code64",
            "3:",
            "movl $0x10, %eax",
            "movl %eax, %ds",
            "movl %eax, %es",
            "movl %eax, %ss",
            "xorl %eax, %eax",
            "movl %eax, %fs",
            "movl %eax, %gs",
            "movl %edi, %edi",
            "movl %esi, %esi",
            "movq ${stacks} + {stack_top}, %rsp",
            "xorl %ebp, %ebp",
            "call {start}",
            "ud2",
            // No memory for data or stack: a sentence on the first serial port, with registers alone.
            ".code32",
            "4:",
            "movl $no_room_text, %ebx",
            "5:",
            "movl $0x3fd, %edx",
            "movl $100000, %ecx",
            "6:",
            "inb %dx, %al",
            "testb $0x20, %al",
            "jnz 7f",
            "decl %ecx",
            "jnz 6b",
            "7:",
            "movb (%ebx), %al",
            "testb %al, %al",
            "jz 8f",
            "movl $0x3f8, %edx",
            "outb %al, %dx",
            "incl %ebx",
            "jmp 5b",
            "8:",
            "hlt",
            "jmp 8b",
            "no_room_text: .ascii \"\\r\\nuniswitch cannot start: too little memory for the image itself; \"",
            ".asciz \"give the machine at least 32 MiB\\r\\n\"",
            ".code64",
            tsc = sym $crate::boot::entry::ENTRY_TSC,
            stacks = sym $crate::cpu::stacks::BOOT_STACKS,
            stack_top = const $crate::cpu::stacks::MAIN_TOP,
            start = sym $start,
            symbol_room = const $crate::symbols::ROOM,
            options(att_syntax),
        );
    };
}
