//! Who may use whom.

use crate::{Package, Workspace};

/// The allowed edges between members: a package and what its code may use. Tests, examples and build
/// scripts are not bound by it, nor are the crates under `tests/`.
///
/// What is *not* here is the point. Only the binary knows both `runtime` and `switch`. Only the binary
/// and `virtio-net` know `virtio`. Nothing under `pipeline/` knows a driver, nothing under `drivers/` a
/// flow. `ofproto` and `openflow` are above the datapath and never below it.
pub const MAY_USE: &[(&str, &[&str])] = &[
    // What runs.
    (
        "appliance",
        &[
            "switch",
            "runtime",
            "virtio-net",
            "virtio",
            "netdev",
            "ovsdb",
            "packet",
            "sync",
            "seed",
            "drive",
        ],
    ),
    (
        "switch",
        // `flow` because the datapath interface that it implements speaks of flows; `ovsdb` because the
        // database's server, disk and connections meet in the control body.
        &[
            "agent", "keep", "ofproto", "ovsdb", "datapath", "netdev", "packet", "flow", "sync",
            "seed",
        ],
    ),
    // `datapath` for the datapath interface, which it hands through to the bridge.
    ("agent", &["ofproto", "openflow", "ovsdb", "datapath", "flow", "sync"]),
    ("ovsdb", &["sync"]),
    // `ovsdb` for the disk that both share.
    ("keep", &["ofproto", "openflow", "ovsdb", "sync"]),
    ("runtime", &[]),
    // Shared with the launcher, so it knows nobody.
    ("seed", &[]),
    // Files of a disk, whatever they mean.
    ("drive", &[]),
    // How frames enter and leave.
    ("netdev", &["packet", "sync"]),
    ("virtio", &[]),
    ("virtio-net", &["virtio", "netdev", "packet"]),
    // What the switch does.
    ("ofproto", &["datapath", "classifier", "openflow", "flow", "packet", "gradual", "sync"]),
    ("datapath", &["flow", "packet", "gradual", "sync"]),
    ("classifier", &["flow", "gradual", "sync"]),
    ("openflow", &["flow"]),
    ("flow", &["packet"]),
    ("packet", &[]),
    ("gradual", &["sync"]),
    ("sync", &[]),
    // How it is made and run.
    // The symbol section is written as `runtime` reads it: the format has one home.
    ("image", &["runtime"]),
    // The launcher reads and writes the disks on which images keep their database.
    ("qemu", &["image", "ovsdb", "seed"]),
];

/// Words that the code of a crate must not contain: absences that no `Cargo.toml` shows.
pub const MUST_NOT_NAME: &[(&str, &str, &str)] = &[
    ("ofproto", "PmdDatapath", "ofproto reaches the datapath only through `datapath::dpif`"),
    ("datapath", "PacketIn", "the datapath knows no OpenFlow: say what happened in an `Upcall`"),
    ("classifier", "Instructions", "the classifier holds any `R`; what a rule does is ofproto's"),
];

/// The edges that [`MAY_USE`] does not have.
#[must_use]
pub fn check_edges(workspace: &Workspace) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in workspace.members.values().filter(|package| !is_test_crate(package)) {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
            wrong.push(format!(
                "{}: unknown to tests/tidy/src/direction.rs. Say there what it may use, and in \
                 ARCHITECTURE.md what it is.",
                package.path
            ));
            continue;
        };
        for used in package.uses.iter().filter(|used| workspace.members.contains_key(*used)) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!(
                    "{}: may not use `{used}`. Remove the dependency, or move the code to a crate \
                     that may; MAY_USE in tests/tidy/src/direction.rs has the allowed edges.",
                    package.path
                ));
            }
        }
    }
    wrong
}

/// Members whose folder is not named as they are.
#[must_use]
pub fn check_names(workspace: &Workspace) -> Vec<String> {
    (workspace.members.values())
        .filter(|package| package.dir.file_name().is_none_or(|dir| *dir != *package.name))
        .map(|package| {
            format!(
                "{}: the package is named `{}`. Give both one name.",
                package.path, package.name
            )
        })
        .collect()
}

/// Whether the package only serves tests.
#[must_use]
pub fn is_test_crate(package: &Package) -> bool {
    package.path.starts_with("tests/")
}
