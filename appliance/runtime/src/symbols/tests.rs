//! Encoding against a linear twin, and sections that are not what they should be.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{MAX_NAME, Symbol, Table, embed, encode};

fn symbol(address: u64, name: &str) -> Symbol {
    Symbol { address, size: 16, name: name.to_string() }
}

fn find(bytes: &[u8], address: u64) -> Option<(String, u64)> {
    Table::new(bytes).find(address).map(|found| (found.name.as_str().to_string(), found.offset))
}

#[test]
fn names_the_function_an_address_is_in() {
    let bytes = encode(alloc::vec![symbol(0x2000, "b"), symbol(0x1000, "a")], 1000);
    assert_eq!(find(&bytes, 0xfff), None);
    assert_eq!(find(&bytes, 0x1000), Some(("a".into(), 0)));
    assert_eq!(find(&bytes, 0x1fff), Some(("a".into(), 0xfff)));
    assert_eq!(find(&bytes, 0x2010), Some(("b".into(), 0x10)));
}

#[test]
fn an_empty_section_names_nothing() {
    assert_eq!(find(&[], 1), None);
    assert_eq!(find(&[0; 4096], 0x1000), None);
    assert_eq!(find(&encode(Vec::new(), 100), 0x1000), None);
}

#[test]
fn long_names_lose_their_middle() {
    let long = format!("{}é{}", "a".repeat(79), "z".repeat(300));
    let bytes = encode(alloc::vec![symbol(1, &long)], 1000);
    let (name, _) = find(&bytes, 1).unwrap();
    assert!(name.len() <= MAX_NAME && name.starts_with("aaa") && name.ends_with("zzz"));
}

#[test]
fn too_little_room_drops_small_functions_first() {
    let symbols: Vec<Symbol> = (0..500)
        .map(|i| Symbol { address: i * 1000, size: i, name: format!("function number {i}") })
        .collect();
    let bytes = encode(symbols, 2000);
    assert!(bytes.len() <= 2000 && !Table::new(&bytes).is_empty());
    assert_eq!(find(&bytes, 499_001), Some(("function number 499".into(), 1)));
}

#[test]
fn what_is_not_an_elf_file_is_refused() {
    let readable = |name: &str| name.to_string();
    assert_eq!(embed(&mut [], readable), Err(super::EmbedError::NotElf64));
    assert_eq!(embed(&mut [0x7f; 100], readable), Err(super::EmbedError::NotElf64));
}

proptest! {
    #[test]
    fn finds_what_a_linear_search_finds(
        symbols in prop::collection::vec((0_u64..5000, "[a-c:]{0,12}"), 1..80),
        probes in prop::collection::vec(0_u64..6000, 20),
    ) {
        let base = 0x20_0000;
        let mut symbols: Vec<Symbol> =
            symbols.iter().map(|(offset, name)| symbol(base + offset, name)).collect();
        let bytes = encode(symbols.clone(), 1 << 20);
        symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
        symbols.dedup_by_key(|symbol| symbol.address);
        for probe in probes {
            let expected = symbols.iter().rev()
                .find(|symbol| symbol.address <= base + probe)
                .map(|symbol| (symbol.name.clone(), base + probe - symbol.address));
            prop_assert_eq!(find(&bytes, base + probe), expected);
        }
    }

    #[test]
    fn damage_is_survived(
        at in 0_usize..400, byte: u8, cut in 0_usize..400, probe in 0_u64..100_000,
    ) {
        let symbols = (0..40).map(|i| symbol(i * 2000, &format!("some::name::{i}"))).collect();
        let mut bytes = encode(symbols, 1 << 20);
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        let _ = find(&bytes, probe);
    }

    #[test]
    fn damaged_elf_files_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if bytes.len() > 6 {
            bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        }
        let _ = embed(&mut bytes, |name| name.to_string());
    }
}
