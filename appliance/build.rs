//! Hands the linker what the freestanding image needs: our script, nothing of the host's C runtime.
//!
//! The arguments are given for the `appliance` binary alone, so build scripts, procedural macros
//! and every other program of the workspace link as usual.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{here}/linker.ld");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rerun-if-changed=build.rs");
    for argument in [
        "-nostdlib",
        "-nostartfiles",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,--gc-sections",
        "-Wl,--no-dynamic-linker",
        // Section alignment inside the file is that of the script's pages, not 2 MiB.
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,norelro",
        "-Wl,-z,noexecstack",
    ] {
        println!("cargo::rustc-link-arg-bin=appliance={argument}");
    }
    println!("cargo::rustc-link-arg-bin=appliance=-Wl,-T,{script}");
}
