//! Runs cargo for the appliance, then the gate, then the strip.
//!
//! # Concurrency
//! Several test processes may ask at once. A lock file in the image's target directory lets one
//! of them at a time through; the others then find everything fresh. Results are put in place by
//! rename, so a reader sees either a whole file or none.

use core::fmt;
use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use runtime::symbols;

use crate::{StripError, environment, gate, strip};

/// The target whose `core` every stable toolchain on this platform has.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// How often a build looks whether it is to be given up.
const LOOK: Duration = Duration::from_millis(100);
/// Lines of the compiler's output that an error shows.
const SHOWN_LINES: usize = 40;

/// What to build, where, with what.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Root of the workspace.
    pub root: PathBuf,
    /// The cargo to run.
    pub cargo: PathBuf,
    /// Largest stripped image that passes.
    pub budget_bytes: usize,
    /// Becomes true when the build is to be given up.
    pub cancel: Arc<AtomicBool>,
}

impl Default for BuildOptions {
    /// The workspace that this crate was compiled in, and the cargo that runs us if one does.
    fn default() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: here.parent().unwrap_or(here).to_path_buf(),
            cargo: std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
            budget_bytes: gate::BUDGET_BYTES,
            cancel: Arc::default(),
        }
    }
}

/// Steps of a build, for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another process builds the image; waiting for it.
    Waiting,
    /// A status line of cargo, such as ("Compiling", "smoltcp v0.14.0").
    Cargo {
        /// Its first word.
        verb: String,
        /// The rest.
        what: String,
    },
    /// A crate is compiled (or was already).
    Compiled {
        /// Crates so far.
        n_done: usize,
    },
    /// Linked; the gate looks at it.
    Checking,
}

/// A built image that passed the gate.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image to boot.
    pub elf: PathBuf,
    /// The same with symbols and line tables, for a debugger.
    pub debug_elf: PathBuf,
    /// Size of `elf` in bytes.
    pub stripped_size: usize,
    /// Functions that the image knows by name, for its backtraces.
    pub n_symbols: usize,
    /// What the gate saw.
    pub report: gate::Report,
}

/// Why there is no image.
#[derive(Debug)]
pub enum BuildError {
    /// No workspace at the root.
    NoWorkspace(PathBuf),
    /// Cargo did not start.
    NoCargo(io::Error),
    /// It was given up.
    Cancelled,
    /// Cargo failed; the end of what it said.
    Compile(String),
    /// Cargo succeeded but named no executable.
    NoExecutable,
    /// A file could not be read or written.
    File(PathBuf, io::Error),
    /// The image is not what it must be.
    Gate(Vec<gate::Failure>),
    /// The names of its functions could not be put into it.
    Symbols(symbols::EmbedError),
    /// So many of its functions found no room there, and backtraces would call them by their neighbours' names.
    Unnamed(usize),
    /// The image could not be stripped.
    Strip(StripError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorkspace(root) => write!(
                f,
                "no source tree at {}: run the launcher from the tree it was built in",
                root.display()
            ),
            Self::NoCargo(why) => {
                write!(f, "cargo did not start ({why}): install Rust from https://rustup.rs")
            }
            Self::Cancelled => f.write_str("the build was given up"),
            Self::Compile(output) => write!(f, "the image does not compile:\n{output}"),
            Self::NoExecutable => f.write_str("cargo built no executable called appliance"),
            Self::File(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Gate(failures) => {
                f.write_str("the image failed its gate:")?;
                failures.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
            }
            Self::Symbols(why) => write!(f, "the image gets no names for backtraces: {why}"),
            Self::Unnamed(n) => {
                write!(f, "no room for the names of {n} functions: raise runtime::symbols::ROOM")
            }
            Self::Strip(why) => write!(f, "the image cannot be stripped: {why}"),
        }
    }
}

impl core::error::Error for BuildError {}

/// Builds the image, or finds it fresh.
///
/// # Errors
/// When the tree does not compile, or what comes out must not be booted.
pub fn build(
    options: &BuildOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Built, BuildError> {
    if !options.root.join("appliance/Cargo.toml").is_file() {
        return Err(BuildError::NoWorkspace(options.root.clone()));
    }
    let target_dir = options.root.join("target/image");
    let _lock = lock(&target_dir, &options.cancel, progress)?;
    let executable = compile(options, &target_dir, progress)?;
    progress(Progress::Checking);
    let mut elf = fs::read(&executable).map_err(|why| BuildError::File(executable.clone(), why))?;
    let symbols = symbols::embed(&mut elf, |name| format!("{:#}", rustc_demangle::demangle(name)));
    let stripped = strip(&elf).map_err(BuildError::Strip)?;
    // The gate speaks first: what it refuses may well have no room for symbols.
    let report =
        gate::check(&elf, stripped.len(), options.budget_bytes).map_err(BuildError::Gate)?;
    let symbols = symbols.map_err(BuildError::Symbols)?;
    if symbols.kept < symbols.functions {
        return Err(BuildError::Unnamed(symbols.functions - symbols.kept));
    }
    let (place, debug_elf) = (target_dir.join("uniswitch.elf"), target_dir.join("uniswitch.debug"));
    put(&place, &stripped)?;
    put(&debug_elf, &elf)?;
    Ok(Built {
        elf: place,
        debug_elf,
        stripped_size: stripped.len(),
        n_symbols: symbols.kept,
        report,
    })
}

fn lock(
    target_dir: &Path,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<File, BuildError> {
    fs::create_dir_all(target_dir).map_err(|e| BuildError::File(target_dir.to_path_buf(), e))?;
    let path = target_dir.join(".build.lock");
    let file = File::create(&path).map_err(|why| BuildError::File(path.clone(), why))?;
    let mut has_said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(why)) => return Err(BuildError::File(path, why)),
            Err(TryLockError::WouldBlock) if cancel.load(Ordering::Acquire) => {
                return Err(BuildError::Cancelled);
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !has_said {
            progress(Progress::Waiting);
            has_said = true;
        }
        // Not a blocking lock: a signal could not end that.
        thread::sleep(LOOK);
    }
}

fn compile(
    options: &BuildOptions,
    target_dir: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, BuildError> {
    let mut child = Command::new(&options.cargo)
        .current_dir(&options.root)
        .args(["build", "--package", "appliance", "--bin", "appliance", "--profile", "image"])
        .args(["--target", TARGET, "--message-format", "json-render-diagnostics"])
        .args(["--color", "never"])
        .arg("--target-dir")
        .arg(target_dir)
        .env_clear()
        .envs(environment::clean(std::env::vars_os()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that the compilers under it can be ended with it.
        .process_group(0)
        .spawn()
        .map_err(BuildError::NoCargo)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (lines, said) = mpsc::channel();
    let errors = lines.clone();
    // Both pipes are read at once: a full pipe would stop cargo.
    let readers = [
        thread::spawn(move || forward(stdout, |line| lines.send(Said::Message(line)).is_ok())),
        thread::spawn(move || forward(stderr, |line| errors.send(Said::Status(line)).is_ok())),
    ];
    let mut executable = None;
    let mut n_done = 0;
    let mut tail = VecDeque::new();
    loop {
        if options.cancel.load(Ordering::Acquire) {
            let _ = kill_process_group(Pid::from_child(&child), Signal::TERM);
            let _ = child.wait();
            return Err(BuildError::Cancelled);
        }
        let said = match said.recv_timeout(LOOK) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match said {
            Said::Message(line) => {
                if let Some(artifact) = Artifact::parse(&line) {
                    n_done += 1;
                    progress(Progress::Compiled { n_done });
                    executable = artifact.executable.or(executable);
                }
            }
            Said::Status(line) => {
                if let Some((verb, what)) = status(&line) {
                    progress(Progress::Cargo { verb: verb.into(), what: what.into() });
                }
                if tail.len() == SHOWN_LINES {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
        }
    }
    for reader in readers {
        let _ = reader.join();
    }
    let status = child.wait().map_err(BuildError::NoCargo)?;
    if !status.success() {
        return Err(BuildError::Compile(Vec::from(tail).join("\n")));
    }
    executable.ok_or(BuildError::NoExecutable)
}

enum Said {
    Message(String),
    Status(String),
}

fn forward(pipe: Option<impl io::Read>, mut each: impl FnMut(String) -> bool) {
    let Some(pipe) = pipe else { return };
    for line in BufReader::new(pipe).lines() {
        let Ok(line) = line else { return };
        if !each(line) {
            return;
        }
    }
}

/// Cargo right-aligns the verb of a status line in twelve columns.
fn status(line: &str) -> Option<(&str, &str)> {
    let (verb, what) = line.trim_start().split_once(' ')?;
    let is_verb = verb.starts_with(|c: char| c.is_ascii_uppercase()) && line.starts_with(' ');
    is_verb.then_some((verb, what.trim_start()))
}

struct Artifact {
    executable: Option<PathBuf>,
}

impl Artifact {
    fn parse(line: &str) -> Option<Self> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        if message["reason"] != "compiler-artifact" {
            return None;
        }
        Some(Self { executable: message["executable"].as_str().map(PathBuf::from) })
    }
}

/// Writes a file in one step for all who look, and not at all when it is there already.
///
/// # Errors
/// When the file or its folder cannot be written.
pub fn put(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let failed = |why| BuildError::File(path.to_path_buf(), why);
    let dir = path.parent().unwrap_or(Path::new("."));
    // As any file that a program writes; a temporary one would be for its owner alone.
    let mode = fs::Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().permissions(mode).tempfile_in(dir);
    let mut file = file.map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|why| failed(why.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(
            status("   Compiling flow v0.1.0 (/x)"),
            Some(("Compiling", "flow v0.1.0 (/x)"))
        );
        assert_eq!(status("error: could not compile"), None);
        assert_eq!(status("  --> src/main.rs"), None);
        assert_eq!(status(""), None);
    }

    #[test]
    fn artifacts() {
        let line = r#"{"reason":"compiler-artifact","executable":"/t/appliance","fresh":true}"#;
        let artifact = Artifact::parse(line).unwrap();
        assert_eq!(artifact.executable, Some(PathBuf::from("/t/appliance")));
        assert!(Artifact::parse(r#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(Artifact::parse("not json").is_none());
    }

    #[test]
    fn an_absent_tree_is_said() {
        let options =
            BuildOptions { root: "/nonexistent/uniswitch".into(), ..BuildOptions::default() };
        let why = build(&options, &mut |_| ()).unwrap_err();
        assert!(why.to_string().starts_with("no source tree at /nonexistent/uniswitch"));
    }

    #[test]
    fn a_build_that_fails_shows_the_compiler() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("appliance/src")).unwrap();
        fs::write(dir.path().join("Cargo.toml"),
            "[workspace]\nmembers = [\"appliance\"]\nresolver = \"3\"\n[profile.image]\ninherits = \"release\"\n").unwrap();
        fs::write(
            dir.path().join("appliance/Cargo.toml"),
            "[package]\nname = \"appliance\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
        )
        .unwrap();
        fs::write(dir.path().join("appliance/src/main.rs"), "fn main() { no_such_thing }\n")
            .unwrap();
        let options = BuildOptions { root: dir.path().into(), ..BuildOptions::default() };
        let mut seen = Vec::new();
        let why = build(&options, &mut |p| seen.push(p)).unwrap_err();
        assert!(
            matches!(&why, BuildError::Compile(text) if text.contains("no_such_thing")),
            "{why}"
        );
        assert!(
            seen.iter().any(|p| matches!(p, Progress::Cargo { verb, .. } if verb == "Compiling"))
        );

        // An ordinary hosted program compiles, and fails the gate by name.
        fs::write(dir.path().join("appliance/src/main.rs"), "fn main() { println!(\"hello\") }\n")
            .unwrap();
        let why = build(&options, &mut |_| ()).unwrap_err();
        let BuildError::Gate(failures) = &why else { panic!("{why}") };
        assert!(failures.iter().any(|f| matches!(f, gate::Failure::HostSymbols(_))), "{why}");
        assert!(failures.contains(&gate::Failure::NoPvhNote));
    }

    #[test]
    fn a_builder_waits_for_another_and_can_be_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = AtomicBool::new(false);
        let first = lock(dir.path(), &cancel, &mut |_| panic!("nobody to wait for")).unwrap();
        let mut seen = Vec::new();
        let second = lock(dir.path(), &cancel, &mut |p| {
            seen.push(p);
            cancel.store(true, Ordering::Release);
        });
        assert!(matches!(second, Err(BuildError::Cancelled)));
        assert_eq!(seen, [Progress::Waiting]);
        drop(first);
        assert!(lock(dir.path(), &cancel, &mut |_| panic!("nobody to wait for")).is_ok());
    }

    #[test]
    fn files_are_put_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        put(&path, b"one").unwrap();
        put(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
