//! Fills the symbol section of a linked image: `cargo run -p runtime --example embed-symbols FILE`.
//!
//! The image builder does the same; this is for an image that was linked by hand.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: embed-symbols IMAGE");
        return ExitCode::FAILURE;
    };
    match embed(&path) {
        Ok(done) => {
            eprintln!("{path}: {done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn embed(path: &str) -> Result<String, String> {
    let mut elf = std::fs::read(path).map_err(|error| error.to_string())?;
    let readable = |name: &str| format!("{:#}", rustc_demangle::demangle(name));
    let done = runtime::symbols::embed(&mut elf, readable).map_err(|error| error.to_string())?;
    std::fs::write(path, &elf).map_err(|error| error.to_string())?;
    Ok(format!(
        "{} of {} functions, {} of {} bytes",
        done.kept, done.functions, done.bytes, done.room
    ))
}
