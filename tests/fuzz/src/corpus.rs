//! Inputs from files; see the README for their forms.

use std::fs;
use std::path::{Path, PathBuf};

/// One input and where it stands.
#[derive(Clone, Debug)]
pub struct Input {
    /// File and line.
    pub origin: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// All inputs of a target under `corpus` or `regressions`, in the order of file names.
///
/// # Panics
///
/// When a file cannot be read, is not of the form that its name says, or does not begin by saying
/// what it holds.
#[must_use]
pub fn load(kind: &str, target: &str) -> Vec<Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("folder of inputs").path()).collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Input> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(text.starts_with("# "), "{name}: the first line describes the inputs");
    let is_hex = match file.extension().and_then(|extension| extension.to_str()) {
        Some("hex") => true,
        Some("txt") => false,
        _ => panic!("{name}: neither .hex nor .txt"),
    };
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.is_empty() && !line.starts_with("# ") && *line != "#")
        .map(|(number, line)| {
            let origin = format!("{name}:{number}");
            let bytes = if is_hex {
                from_hex(line)
                    .unwrap_or_else(|| panic!("{origin}: not pairs of hexadecimal digits"))
            } else {
                line.as_bytes().to_vec()
            };
            Input { origin, bytes }
        })
        .collect()
}

/// The bytes that `text` spells, spaces aside.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
            }
            _ => None,
        })
        .collect()
}

/// `bytes` in hexadecimal.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
