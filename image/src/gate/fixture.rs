//! A small ELF writer for tests: a good image, with a knob for each thing that can be wrong.

use object::elf;

pub(crate) struct Elf {
    pub(crate) machine: u16,
    pub(crate) text_flags: u32,
    pub(crate) note_type: u32,
    pub(crate) note_entry: u32,
    pub(crate) extra_segment: Option<u32>,
    pub(crate) multiboot2: bool,
    pub(crate) multiboot1: bool,
    pub(crate) defined: Vec<&'static str>,
    pub(crate) undefined: Vec<&'static str>,
}

const BASE: u64 = 0x20_0000;
const NOTE: u64 = 0x180;
const TEXT: u64 = 0x1000;
const LOADED: u64 = 0x1100;

impl Elf {
    pub(crate) fn good() -> Self {
        Self {
            machine: elf::EM_X86_64,
            text_flags: elf::PF_R | elf::PF_X,
            note_type: 18,
            note_entry: 0x20_1010,
            extra_segment: None,
            multiboot2: true,
            multiboot1: false,
            defined: vec!["_start", "memcpy"],
            undefined: vec![],
        }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut segments = vec![
            (elf::PT_LOAD, elf::PF_R, 0, 0x200),
            (elf::PT_LOAD, self.text_flags, TEXT, LOADED - TEXT),
            (elf::PT_NOTE, elf::PF_R, NOTE, 20),
        ];
        segments.extend(self.extra_segment.map(|kind| (kind, elf::PF_R, TEXT, 16)));
        let mut file = vec![0; usize::try_from(LOADED).unwrap()];
        // Symbols follow what is loaded, as a linker does it.
        let mut strings = vec![0_u8];
        let mut symbols = vec![0_u8; 24];
        for (names, section) in [(&self.undefined, 0_u16), (&self.defined, 1)] {
            for name in names {
                symbols.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
                symbols.extend([elf::STB_GLOBAL << 4, 0]);
                symbols.extend(section.to_le_bytes());
                symbols.extend((BASE + TEXT).to_le_bytes());
                symbols.extend(0_u64.to_le_bytes());
                strings.extend(name.bytes());
                strings.push(0);
            }
        }
        let symbols_at = len(&file);
        file.extend(&symbols);
        let strings_at = len(&file);
        file.extend(&strings);
        let sections_at = len(&file);
        for (kind, at, size, link, entry) in [
            (elf::SHT_NULL, 0, 0, 0_u32, 0_u64),
            (elf::SHT_PROGBITS, TEXT, LOADED - TEXT, 0, 0),
            (elf::SHT_SYMTAB, symbols_at, len(&symbols), 3, 24),
            (elf::SHT_STRTAB, strings_at, len(&strings), 0, 0),
        ] {
            file.extend([0; 4]);
            file.extend(kind.to_le_bytes());
            file.extend([0; 16]);
            file.extend(at.to_le_bytes());
            file.extend(size.to_le_bytes());
            file.extend(link.to_le_bytes());
            file.extend([0; 12]);
            file.extend(entry.to_le_bytes());
        }
        put(&mut file, 0, b"\x7fELF\x02\x01\x01");
        let mut header = Vec::new();
        header.extend(elf::ET_EXEC.to_le_bytes());
        header.extend(self.machine.to_le_bytes());
        header.extend(1_u32.to_le_bytes());
        header.extend((BASE + TEXT).to_le_bytes());
        header.extend(64_u64.to_le_bytes());
        header.extend(sections_at.to_le_bytes());
        header.extend(0_u32.to_le_bytes());
        for half in [64, 56, segments.len(), 64, 4, 3] {
            header.extend(u16::try_from(half).unwrap().to_le_bytes());
        }
        put(&mut file, 16, &header);
        let mut table = Vec::new();
        for (kind, flags, at, size) in segments {
            table.extend(kind.to_le_bytes());
            table.extend(flags.to_le_bytes());
            for value in [at, BASE + at, BASE + at, size, size, 4] {
                table.extend(u64::to_le_bytes(value));
            }
        }
        put(&mut file, 64, &table);
        if self.multiboot2 {
            let words = [0xe852_50d6_u32, 0, 16, 0_u32.wrapping_sub(0xe852_50d6 + 16)];
            put(&mut file, 0x138, &words.map(u32::to_le_bytes).concat());
        }
        if self.multiboot1 {
            let words = [0x1bad_b002_u32, 0, 0_u32.wrapping_sub(0x1bad_b002)];
            put(&mut file, 0x150, &words.map(u32::to_le_bytes).concat());
        }
        let note = [4, 4, self.note_type, u32::from_le_bytes(*b"Xen\0"), self.note_entry];
        put(&mut file, usize::try_from(NOTE).unwrap(), &note.map(u32::to_le_bytes).concat());
        file
    }
}

fn len(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}
