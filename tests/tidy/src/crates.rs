//! What every crate must have.

use std::fs;

use crate::code::blanked;
use crate::{Package, Workspace};

/// The crates in which `unsafe` may stand, each block with its proof. The last one is no part of the
/// image: it maps memory for another process.
pub const UNSAFE_ADDRESSES: &[&str] =
    &["appliance", "runtime", "packet", "sync", "virtio", "vhost-front"];

/// A README with fewer bytes says nothing.
const SHORTEST_README: usize = 100;

/// Crates outside [`UNSAFE_ADDRESSES`] whose root does not forbid `unsafe`.
#[must_use]
pub fn check_unsafe(workspace: &Workspace) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in workspace.members.values() {
        if UNSAFE_ADDRESSES.contains(&package.name.as_str()) {
            continue;
        }
        for root in package.roots() {
            let code = blanked(&read(&root));
            if !code.contains("#![forbid(unsafe_code)]") {
                wrong.push(format!(
                    "{}: begin it with `#![forbid(unsafe_code)]`. What needs `unsafe` belongs in \
                     one of: {}.",
                    root.display(),
                    UNSAFE_ADDRESSES.join(", ")
                ));
            }
        }
    }
    wrong
}

/// Crates without a README, or whose README is not their documentation.
#[must_use]
pub fn check_readme(workspace: &Workspace) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in workspace.members.values() {
        let readme = package.dir.join("README.md");
        let text = fs::read_to_string(&readme).unwrap_or_default();
        if !text.starts_with("# ") || text.len() < SHORTEST_README {
            wrong.push(format!(
                "{}: give it a title, and say what the crate does, what it does not, its key types, \
                 and where to start reading.",
                readme.display(),
            ));
        }
        // A binary that stands beside a library is documented by it.
        if let Some(root) = package.roots().first()
            && !read(root).contains("#![doc = include_str!(\"../README.md\")]")
        {
            wrong.push(format!(
                "{}: the README is the crate's documentation: add \
                 `#![doc = include_str!(\"../README.md\")]`.",
                root.display()
            ));
        }
    }
    wrong
}

/// Crates of the image that are not `no_std`.
#[must_use]
pub fn check_no_std(workspace: &Workspace) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in workspace.members.values().filter(|package| package.is_in_image()) {
        for root in package.roots() {
            let code = blanked(&read(&root));
            let is_no_std = code
                .lines()
                .map(str::trim)
                .any(|line| line == "#![no_std]" || is_conditional_no_std(line));
            if !is_no_std {
                wrong.push(format!(
                    "{}: it is linked into the image, so it must be `#![no_std]`.",
                    root.display()
                ));
            }
        }
    }
    wrong
}

/// `#![cfg_attr(…, no_std)]`, with a condition that the image fulfils.
fn is_conditional_no_std(line: &str) -> bool {
    ["not(test)", "not(loom)"]
        .iter()
        .any(|condition| line == format!("#![cfg_attr({condition}, no_std)]"))
}

/// Crates that do not take over the workspace's lints.
#[must_use]
pub fn check_lints(workspace: &Workspace) -> Vec<String> {
    (workspace.members.values())
        .filter(|package| !inherits_lints(&read(&package.dir.join("Cargo.toml"))))
        .map(|package| {
            format!("{}/Cargo.toml: add `[lints]` with `workspace = true`.", package.path)
        })
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    lines.any(|line| line == "[lints]")
        && lines.find(|line| !line.is_empty() && !line.starts_with('#')) == Some("workspace = true")
}

/// Members that the workspace's manifest does not know as a dependency, though others use them.
#[must_use]
pub fn check_inherited(workspace: &Workspace) -> Vec<String> {
    let is_path = |line: &str| {
        let line = line.replace(' ', "");
        !line.starts_with('#') && line.contains("path=\"..")
    };
    (workspace.members.values())
        .filter(|package| read(&package.dir.join("Cargo.toml")).lines().any(is_path))
        .map(|package: &Package| {
            format!(
                "{}/Cargo.toml: name members by `member.workspace = true`, not by path.",
                package.path
            )
        })
        .collect()
}

fn read(path: &std::path::Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_inherited_by_their_own_section() {
        assert!(inherits_lints("[package]\n\n[lints]\n# ours\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\n[dependencies]\nworkspace = true\n"));
    }

    #[test]
    fn only_known_conditions_make_no_std() {
        assert!(is_conditional_no_std("#![cfg_attr(not(test), no_std)]"));
        assert!(!is_conditional_no_std("#![cfg_attr(test, no_std)]"));
    }
}
