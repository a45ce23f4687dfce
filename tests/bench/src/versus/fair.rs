//! Makes this process what the image would be: compiled as a whole, in huge pages.

use super::free_huge_pages;
use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The profile that the image is built with; its folder under the target directory, too.
const PROFILE: &str = "image";
/// Set in the process that was started anew, so that it does not start again.
const STARTED: &str = "UNISWITCH_BENCH_STARTED";
/// How much memory of ours should be in huge pages.
const HUGE_PAGES: u64 = 80;

/// Replaces this process by one of the same arguments that is built with the profile of the image, if
/// cargo is at hand to build it, and whose heap is in huge pages. Returns in that process.
pub(crate) fn start_anew() -> Result<(), Box<dyn Error>> {
    if env::var_os(STARTED).is_some() {
        return Ok(());
    }
    let program = built_like_the_image()?;
    // What the allocator of the C library does with 2: takes reserved huge pages; with 1: asks for
    // transparent ones.
    let kind = if free_huge_pages() >= HUGE_PAGES { 2 } else { 1 };
    let why = Command::new(program)
        .args(env::args_os().skip(1))
        .env(STARTED, "1")
        .env("GLIBC_TUNABLES", format!("glibc.malloc.hugetlb={kind}"))
        .exec();
    Err(why.into())
}

/// Whether this program is built with the profile of the image.
pub(crate) fn is_like_the_image() -> bool {
    env::current_exe().is_ok_and(|this| this.parent().is_some_and(|at| at.ends_with(PROFILE)))
}

fn built_like_the_image() -> Result<PathBuf, Box<dyn Error>> {
    let this = env::current_exe()?;
    let target = this.parent().and_then(|folder| folder.parent());
    let (Some(cargo), Some(target)) = (env::var_os("CARGO"), target) else { return Ok(this) };
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--profile", PROFILE, "--package", "bench"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    let like = target.join(PROFILE).join("bench");
    if built.success() { Ok(like) } else { Err("the bench does not build".into()) }
}
