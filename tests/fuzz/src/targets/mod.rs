//! The targets: plain functions over any bytes.

mod actions;
mod controller;
mod drive;
mod frame;
mod kept;
mod offload;
mod openflow;
mod ovsdb;
mod ring;
mod seed_blob;
mod text;
mod unixctl;

pub use actions::actions;
pub use controller::controller;
pub use drive::drive;
pub use frame::frame;
pub use kept::kept_picture;
pub use offload::offload;
pub use openflow::{flow_line, openflow_message};
pub use ovsdb::{ovsdb_client, ovsdb_log, ovsdb_transaction};
pub use ring::ring;
pub use seed_blob::{boot_text, seed_blob};
pub use text::flow_text;
pub use unixctl::unixctl;

use crate::Behaviour;
use crate::corpus::Input;

/// One thing to fuzz.
#[derive(Debug)]
pub struct Target {
    /// Its name, also that of its folders.
    pub name: &'static str,
    /// The function. Panics when a law is broken.
    pub run: fn(&[u8]) -> Behaviour,
    /// Makes checksums and lengths of a mutated input right again.
    pub repair: fn(&mut [u8]),
    /// Pieces that mean something to the code under test.
    pub words: &'static [&'static [u8]],
    /// Inputs besides those in files.
    pub more: fn() -> Vec<Input>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: frame, repair: leave, words: frame::WORDS, more: frame::golden },
    Target { name: "actions", run: actions, repair: leave, words: frame::WORDS, more: nothing },
    Target { name: "flow_text", run: flow_text, repair: leave, words: text::WORDS, more: nothing },
    Target {
        name: "flow_line",
        run: flow_line,
        repair: leave,
        words: openflow::FLOW_WORDS,
        more: nothing,
    },
    Target {
        name: "openflow_message",
        run: openflow_message,
        repair: openflow::repair,
        words: openflow::WORDS,
        more: openflow::encoded,
    },
    Target {
        name: "controller",
        run: controller,
        repair: controller::repair,
        words: openflow::WORDS,
        more: controller::messages,
    },
    Target { name: "unixctl", run: unixctl, repair: leave, words: unixctl::WORDS, more: nothing },
    Target {
        name: "seed_blob",
        run: seed_blob,
        repair: seed_blob::repair,
        words: &[],
        more: seed_blob::encoded,
    },
    Target {
        name: "boot_text",
        run: boot_text,
        repair: leave,
        words: seed_blob::WORDS,
        more: nothing,
    },
    Target {
        name: "ovsdb_client",
        run: ovsdb_client,
        repair: leave,
        words: ovsdb::WORDS,
        more: nothing,
    },
    Target {
        name: "ovsdb_transaction",
        run: ovsdb_transaction,
        repair: leave,
        words: ovsdb::WORDS,
        more: nothing,
    },
    Target {
        name: "ovsdb_log",
        run: ovsdb_log,
        repair: ovsdb::repair,
        words: ovsdb::WORDS,
        more: ovsdb::written,
    },
    Target { name: "drive", run: drive, repair: leave, words: drive::WORDS, more: nothing },
    Target {
        name: "kept_picture",
        run: kept_picture,
        repair: kept::repair,
        words: &[],
        more: kept::pictures,
    },
    Target { name: "offload", run: offload, repair: leave, words: &[], more: nothing },
    Target { name: "ring", run: ring, repair: leave, words: &[], more: nothing },
];

/// The target of this name.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn named(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

fn leave(_: &mut [u8]) {}

fn nothing() -> Vec<Input> {
    Vec::new()
}
