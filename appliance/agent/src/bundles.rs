//! Bundles of a connection, from opening to commit (OpenFlow 1.4.1 §7.3.9, and the ONF's extension 230
//! for older versions).
//!
//! # States
//! ```text
//! (none) ─ open, add ─► open ─ close ─► closed
//!                         └── commit, discard ──┴─► (none)
//! ```
//! An addition opens a bundle that is not there. Whatever is wrong with the bundle itself ends it; what
//! is wrong with a message that is added is refused and leaves the bundle as it was.
//!
//! # Bounds
//! A connection has [`MAX_OPEN`] bundles, all connections together `AgentConfig::max_bundled_bytes` of
//! them: by default 64 MiB, room for some 300,000 flow-mods that add rules; and where the machine has
//! more memory, half of what rules may still take. A bundle with which nothing happens for [`TIMEOUT`] is
//! given up, as in Open vSwitch.

use alloc::vec::Vec;
use ofproto::Bundle;
use openflow::{
    BundleMessage, Bundled, Dialect, Header, Message, OfError, OfErrorKind, Version,
    bundle_control, bundle_flags,
};
use sync::time::Nanos;

/// Bundles of one connection.
const MAX_OPEN: usize = 16;
/// How long a bundle waits for its next message.
const TIMEOUT: Nanos = Nanos::from_secs(10);
/// Flags that can be done: both what `OFPBF_ATOMIC` and what `OFPBF_ORDERED` ask for is always done.
const FLAGS: u16 = bundle_flags::ATOMIC | bundle_flags::ORDERED;

#[derive(Debug)]
struct Open {
    id: u32,
    flags: u16,
    is_closed: bool,
    bundle: Bundle,
    /// When something happened with it last.
    touched: Nanos,
    /// The header of the message that opened it, to be quoted when it is given up.
    opener: Vec<u8>,
}

/// The bundles of one connection.
#[derive(Debug, Default)]
pub(crate) struct Bundles(Vec<Open>);

/// What is to follow from a bundle message.
pub(crate) enum Step {
    /// Nothing.
    Nothing,
    /// This reply.
    Reply(Message),
    /// The bundle is carried out, and then this reply.
    Commit(Bundle, Message),
}

impl Bundles {
    /// Does what a message says. `n_bytes` counts the bytes that the bundles of all connections take, of which
    /// there may be `max_bytes`.
    pub(crate) fn handle(
        &mut self,
        message: BundleMessage,
        bytes: &[u8],
        dialect: Dialect,
        n_bytes: &mut usize,
        max_bytes: usize,
        now: Nanos,
    ) -> Result<Step, OfErrorKind> {
        match message {
            BundleMessage::Control { bundle_id, kind, flags } => {
                check_flags(flags, dialect.version)?;
                let reply = BundleMessage::Control { bundle_id, kind: kind | 1, flags };
                let reply = Message::Bundle(reply);
                match kind {
                    bundle_control::OPEN => {
                        if self.take(bundle_id, n_bytes).is_some() {
                            return Err(OfErrorKind::BundleExist);
                        }
                        self.open(bundle_id, flags, bytes, dialect, now)?;
                    }
                    bundle_control::CLOSE => {
                        let open = self.checked(bundle_id, flags, n_bytes)?;
                        if open.is_closed {
                            self.take(bundle_id, n_bytes);
                            return Err(OfErrorKind::BundleClosed);
                        }
                        open.is_closed = true;
                        open.touched = now;
                    }
                    bundle_control::COMMIT => {
                        self.checked(bundle_id, flags, n_bytes)?;
                        let open = self.take(bundle_id, n_bytes).ok_or(OfErrorKind::BundleBadId)?;
                        return Ok(Step::Commit(open.bundle, reply));
                    }
                    bundle_control::DISCARD => {
                        self.take(bundle_id, n_bytes).ok_or(OfErrorKind::BundleBadId)?;
                    }
                    _ => return Err(OfErrorKind::BundleBadType),
                }
                Ok(Step::Reply(reply))
            }
            BundleMessage::Add { bundle_id, flags, message } => {
                let added = Bundled { bundle_id, flags, message: &message };
                self.add(added, bytes, dialect, n_bytes, max_bytes, now).map(|()| Step::Nothing)
            }
        }
    }

    /// Adds a message to a bundle, as [`handle`](Self::handle) does.
    pub(crate) fn add(
        &mut self,
        Bundled { bundle_id, flags, message }: Bundled<'_>,
        bytes: &[u8],
        dialect: Dialect,
        n_bytes: &mut usize,
        max_bytes: usize,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        check_flags(flags, dialect.version)?;
        if !self.0.iter().any(|open| open.id == bundle_id) {
            self.open(bundle_id, flags, bytes, dialect, now)?;
        }
        let open = self.checked(bundle_id, flags, n_bytes)?;
        if open.is_closed {
            self.take(bundle_id, n_bytes);
            return Err(OfErrorKind::BundleClosed);
        }
        let message = inner(message, bytes, dialect.version)?;
        if *n_bytes + message.len() > max_bytes {
            return Err(OfErrorKind::BundleMsgTooMany);
        }
        let before = open.bundle.n_bytes();
        open.bundle.add(message)?;
        *n_bytes += open.bundle.n_bytes() - before;
        open.touched = now;
        Ok(())
    }

    /// Ends bundles that nobody goes on with; the errors that tell of it.
    pub(crate) fn expire(&mut self, n_bytes: &mut usize, now: Nanos) -> Vec<(u32, OfError)> {
        let mut errors = Vec::new();
        self.0.retain(|open| {
            let is_late = now.saturating_sub(open.touched) >= TIMEOUT;
            if is_late {
                *n_bytes -= open.bundle.n_bytes();
                let xid = Header::parse(&open.opener).map_or(0, |header| header.xid);
                errors.push((xid, OfError::refusing(OfErrorKind::BundleTimeout, &open.opener)));
            }
            !is_late
        });
        errors
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.0.iter().map(|open| open.touched.saturating_add(TIMEOUT)).min()
    }

    /// Bytes that these bundles take.
    pub(crate) fn n_bytes(&self) -> usize {
        self.0.iter().map(|open| open.bundle.n_bytes()).sum()
    }

    fn open(
        &mut self,
        id: u32,
        flags: u16,
        bytes: &[u8],
        dialect: Dialect,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        if self.0.len() >= MAX_OPEN {
            return Err(OfErrorKind::BundleOutOfBundles);
        }
        let opener = bytes.get(..64).unwrap_or(bytes).to_vec();
        let bundle = Bundle::new(dialect);
        self.0.push(Open { id, flags, is_closed: false, bundle, touched: now, opener });
        Ok(())
    }

    /// The bundle with this number; one with other flags is ended.
    fn checked(
        &mut self,
        id: u32,
        flags: u16,
        n_bytes: &mut usize,
    ) -> Result<&mut Open, OfErrorKind> {
        let k = self.0.iter().position(|open| open.id == id).ok_or(OfErrorKind::BundleBadId)?;
        if self.0.get(k).is_some_and(|open| open.flags != flags) {
            self.take(id, n_bytes);
            return Err(OfErrorKind::BundleBadFlags);
        }
        self.0.get_mut(k).ok_or(OfErrorKind::BundleBadId)
    }

    fn take(&mut self, id: u32, n_bytes: &mut usize) -> Option<Open> {
        let k = self.0.iter().position(|open| open.id == id)?;
        let open = self.0.swap_remove(k);
        *n_bytes -= open.bundle.n_bytes();
        Some(open)
    }
}

/// Nothing is done at a given time: 1.5 has an error for that.
fn check_flags(flags: u16, version: Version) -> Result<(), OfErrorKind> {
    if flags & bundle_flags::TIME != 0 && version == Version::V15 {
        return Err(OfErrorKind::BundleSchedNotSupported);
    }
    if flags & !FLAGS == 0 { Ok(()) } else { Err(OfErrorKind::BundleBadFlags) }
}

/// The message inside an addition, without what follows it: it has a header of its own, which must fit
/// the one around it.
fn inner<'a>(added: &'a [u8], outer: &[u8], version: Version) -> Result<&'a [u8], OfErrorKind> {
    let header = Header::parse(added).ok_or(OfErrorKind::BundleMsgBadLen)?;
    if header.version != version.wire() {
        return Err(OfErrorKind::BundleBadVersion);
    }
    if Header::parse(outer).is_some_and(|outer| outer.xid != header.xid) {
        return Err(OfErrorKind::BundleMsgBadXid);
    }
    added.get(..usize::from(header.len)).ok_or(OfErrorKind::BundleMsgBadLen)
}
