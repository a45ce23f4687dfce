//! The environment in which the image is compiled.
//!
//! The launcher and the tests are themselves started by cargo, which leaves its own settings in
//! the environment (a target directory, a compiler wrapper, flags of the outer build). Those must
//! not change what the image is: two builds of one tree give the same bytes, whoever asks.

use std::ffi::{OsStr, OsString};

/// Separator in `CARGO_ENCODED_RUSTFLAGS`.
const UNIT_SEPARATOR: &str = "\x1f";

/// Flags for every crate of the image, dependencies included. Set explicitly they also take
/// precedence over `build.rustflags` of a user's own cargo configuration.
const RUST_FLAGS: [&str; 2] = [
    // The image runs where it is linked.
    "-Crelocation-model=static",
    // Backtraces walk them.
    "-Cforce-frame-pointers=yes",
];

/// Settings of cargo that belong to the machine and its user, not to the outer build.
const KEPT_PREFIXES: [&str; 5] =
    ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_", "CARGO_SOURCE_"];

/// Names that shape a build but do not start with `CARGO`.
const DROPPED: [&str; 12] = [
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "RUSTC",
    "RUSTDOC",
    "OUT_DIR",
    "TARGET",
    "HOST",
    "PROFILE",
    "OPT_LEVEL",
    "MAKEFLAGS",
];

/// The variables of `outer` that the inner cargo gets, and those that it gets besides.
pub(crate) fn clean(
    outer: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    let flags = OsString::from(RUST_FLAGS.join(UNIT_SEPARATOR));
    outer
        .filter(|(name, _)| keeps(name))
        .chain([(OsString::from("CARGO_ENCODED_RUSTFLAGS"), flags)])
}

fn keeps(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return true;
    };
    if name == "CARGO_HOME" || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return true;
    }
    let is_cargos = name.starts_with("CARGO") || name.starts_with("__CARGO");
    !is_cargos && !DROPPED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_does_not_leak_in() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_IMAGE_LTO",
            "CARGO_INCREMENTAL",
            "CARGO_MANIFEST_DIR",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_MAKEFLAGS",
            "__CARGO_DEFAULT_LIB_METADATA",
            "CARGO",
        ] {
            assert!(!keeps(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_users_machine_stays() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "RUSTUP_TOOLCHAIN",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "https_proxy",
            "RUSTC_WRAPPER",
        ] {
            assert!(keeps(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_flags_are_ours_alone() {
        let outer = [("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-cpu=native"), ("PATH", "/bin")];
        let all: Vec<_> = clean(outer.into_iter().map(|(n, v)| (n.into(), v.into()))).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].1, "-Crelocation-model=static\x1f-Cforce-frame-pointers=yes");
    }
}
