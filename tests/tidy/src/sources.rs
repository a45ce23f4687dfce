//! What no source file may contain, and how long one may be.

use std::fs;
use std::path::Path;

use crate::code::{blanked, has_word, without_test_module};
use crate::direction::MUST_NOT_NAME;
use crate::{Package, Workspace};

/// More lines of code than this, and a file is a smell.
pub const LONG: usize = 600;
/// More lines of code than this, and the check fails.
pub const TOO_LONG: usize = 800;

/// A marker of unfinished work, and what to do about it.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!", "write it, or leave the whole feature out and say so in the README"),
    ("unimplemented!", "write it, or leave the whole feature out and say so in the README"),
    ("#[ignore", "a test that does not run proves nothing: make it run or delete it"),
    ("dbg!", "remove it"),
];

/// What to do about dead code that is kept quiet.
const QUIETED: &str = "delete what nobody uses instead of quieting the compiler";

/// Sources with unfinished work, or with dead code that is kept quiet.
///
/// `tests/common/` may quiet the compiler: every test binary of a crate compiles that module and uses
/// its own part of it.
#[must_use]
pub fn check_unfinished(workspace: &Workspace) -> Vec<String> {
    let mut wrong = Vec::new();
    each_source(workspace, |package, path, source| {
        let is_common = path.starts_with(package.dir.join("tests/common"));
        for (line, remedy) in unfinished(source) {
            if is_common && remedy == QUIETED {
                continue;
            }
            wrong.push(format!("{}:{line}: {remedy}.", path.display()));
        }
    });
    wrong
}

fn unfinished(source: &str) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (n, line) in blanked(source).lines().enumerate() {
        for (marker, remedy) in UNFINISHED {
            let stands_alone = |(at, _): (usize, &str)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            };
            if line.match_indices(marker).any(stands_alone) {
                wrong.push((n + 1, format!("`{marker}`: {remedy}")));
            }
        }
        let is_quieted = ["allow(", "expect("].iter().any(|lint| line.contains(lint));
        if is_quieted && ["dead_code", "unused"].iter().any(|lint| has_word(line, lint)) {
            wrong.push((n + 1, QUIETED.into()));
        }
    }
    wrong
}

/// Files with more than [`TOO_LONG`] lines of code.
#[must_use]
pub fn check_length(workspace: &Workspace) -> Vec<String> {
    (longer_than(workspace, TOO_LONG).into_iter())
        .map(|(path, n_lines)| {
            format!("{path}: {n_lines} lines of code. Split it by what its parts are about.")
        })
        .collect()
}

/// The files with more than `limit` lines that are not tests, longest first.
#[must_use]
pub fn longer_than(workspace: &Workspace, limit: usize) -> Vec<(String, usize)> {
    let mut long = Vec::new();
    each_source(workspace, |package, path, source| {
        let inside = path.strip_prefix(&package.dir).unwrap_or(path);
        if is_test_file(inside) {
            return;
        }
        let n_lines = code_lines(source);
        if n_lines > limit {
            long.push((format!("{}/{}", package.path, inside.display()), n_lines));
        }
    });
    long.sort_by_key(|(_, n_lines)| core::cmp::Reverse(*n_lines));
    long
}

/// The lines before the test module, essays included.
fn code_lines(source: &str) -> usize {
    let code = blanked(source);
    without_test_module(&code).lines().count()
}

/// `tests.rs`, `test_*.rs`, or anything below a `tests` or `benches` folder of the crate.
fn is_test_file(inside: &Path) -> bool {
    let mut parts = inside.iter().map(|part| part.to_string_lossy());
    parts
        .any(|part| matches!(&*part, "tests" | "benches" | "tests.rs") || part.starts_with("test_"))
}

/// Sources that name what their crate must not know.
#[must_use]
pub fn check_absences(workspace: &Workspace) -> Vec<String> {
    let mut wrong = Vec::new();
    each_source(workspace, |package, path, source| {
        let inside = path.strip_prefix(&package.dir).unwrap_or(path);
        if is_test_file(inside) {
            return;
        }
        let code = blanked(source);
        for (name, word, reason) in MUST_NOT_NAME {
            if package.name == *name && has_word(without_test_module(&code), word) {
                wrong.push(format!("{}: names `{word}`: {reason}.", path.display()));
            }
        }
    });
    wrong
}

fn each_source(workspace: &Workspace, mut check: impl FnMut(&Package, &Path, &str)) {
    for package in workspace.members.values() {
        for path in package.sources() {
            // A file may be gone by now: somebody edits while the tests run.
            if let Ok(source) = fs::read_to_string(&path) {
                check(package, &path, &source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_found_in_code_only() {
        assert!(unfinished("// todo!()\nlet x = \"#[ignore]\";").is_empty());
        let lines =
            |source| unfinished(source).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(lines("fn f() {\n    todo!()\n}"), [2]);
        assert_eq!(lines("#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [2]);
        assert_eq!(lines("#![allow(dead_code, reason = \"x\")]"), [1]);
        assert_eq!(lines("#[expect(unused)]"), [1]);
        assert!(lines("my_todo!();").is_empty());
    }

    #[test]
    fn length_counts_code() {
        assert_eq!(code_lines("a\nb\n#[cfg(test)]\nmod tests {\n    c\n}\n"), 2);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        for test in ["tests/laws.rs", "src/trie/tests.rs", "src/text/tests/a.rs"] {
            assert!(is_test_file(Path::new(test)), "{test}");
        }
        for code in ["src/lib.rs", "src/testimony.rs"] {
            assert!(!is_test_file(Path::new(code)), "{code}");
        }
    }
}
