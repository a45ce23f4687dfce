//! The records of a picture: what each piece looks like as bytes.
//!
//! # Form
//! A record is a length of four bytes (little endian) and postcard of [`Record`]. A picture is one `Start`,
//! then for each bridge a `Bridge` and its pieces in the order in which they can be made, and one `End`,
//! which says how many records came before it.
//!
//! # Why pieces are OpenFlow messages
//! What a rule, a group or a meter is, is written as the request that makes it, in a version of OpenFlow.
//! That form is as old as the specification and will stay; it is compact; and its decoder is the one that
//! stands every day before controllers, so bytes from a disk meet the same checks as bytes from the
//! network, and no second description of some sixty actions has to be kept in step with the first. What a
//! message cannot say in every version (importance, all flags, the cookie that 1.0 uses for "none") stands
//! beside it, and so do the ages, which no message has.
//!
//! # Which version
//! No single version can say every rule: 1.5 has no partial load, 1.3 no meter among other actions, 1.0's
//! `mod_vlan_vid` adds a tag where later set-fields do not. So a piece is written in the first version
//! whose decoder gives back exactly the same; it is tried out each time. A piece for which there is none
//! is left out and counted ([`NotKept`]). Rules are checked by the laws of that version when they are put
//! back, as 1.0 lets rules pass that later versions call inconsistent.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ofproto::{Fragments, Piece, RulePiece};
use openflow::{
    Dialect, FlowFormat, FlowMod, FlowModFlags, GroupMod, Message, MeterMod, TableMod, TlvTableMod,
    Version,
};
use serde::{Deserialize, Serialize};
use sync::time::Nanos;

/// Bytes of the length before each record.
pub(crate) const LENGTH_BYTES: usize = 4;
/// Longest record: a message and a little.
pub(crate) const MAX_RECORD_BYTES: usize = openflow::MAX_MESSAGE_BYTES + 256;
/// In this order versions are tried for rules, and for groups, whose buckets have numbers in two.
const FOR_RULES: [Version; 6] =
    [Version::V13, Version::V15, Version::V10, Version::V11, Version::V12, Version::V14];
const FOR_GROUPS: [Version; 6] =
    [Version::V15, Version::V10, Version::V13, Version::V11, Version::V12, Version::V14];

/// A record as it is written. A change of this is a change of [`crate::FORMAT`].
#[derive(Serialize, Deserialize)]
enum Record<'a> {
    Start { wall_ms: u64 },
    Bridge { name: &'a str, datapath_id: u64 },
    Fragments(u8),
    Message { version: u8, message: &'a [u8] },
    Rule(RuleRecord<'a>),
    End { n_records: u64 },
}

#[derive(Serialize, Deserialize)]
struct RuleRecord<'a> {
    version: u8,
    /// The flow-mod, without what stands beside it.
    message: &'a [u8],
    cookie: u64,
    priority: u16,
    importance: u16,
    flags: u16,
    idle_timeout: u16,
    hard_timeout: u16,
    age_ns: u64,
    unmodified_ns: u64,
}

/// A record as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The picture begins.
    Start {
        /// When it was taken, in milliseconds since 1970.
        wall_ms: u64,
    },
    /// Pieces of this bridge follow.
    Bridge {
        /// Its name.
        name: String,
        /// Its number.
        datapath_id: u64,
    },
    /// A piece, and the version of OpenFlow by whose laws it is to be checked.
    Piece(Piece, Version),
    /// The picture ends.
    End {
        /// Records before this one.
        n_records: u64,
    },
}

/// A piece that no version of OpenFlow can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKept;

/// Writes the records of one picture.
#[derive(Debug, Default)]
pub struct Encoder {
    n_records: u64,
    scratch: Vec<u8>,
}

impl Encoder {
    /// Writes the first record.
    pub fn start(&mut self, wall_ms: u64, out: &mut Vec<u8>) {
        self.put(&Record::Start { wall_ms }, out);
    }

    /// Writes that pieces of a bridge follow.
    pub fn bridge(&mut self, name: &str, datapath_id: u64, out: &mut Vec<u8>) {
        self.put(&Record::Bridge { name, datapath_id }, out);
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// [`NotKept`]; nothing is written then.
    pub fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) -> Result<(), NotKept> {
        let mut message = core::mem::take(&mut self.scratch);
        let version = match piece {
            Piece::Fragments(fragments) => {
                self.put(&Record::Fragments(fragments_number(*fragments)), out);
                self.scratch = message;
                return Ok(());
            }
            Piece::Table(_, version) => spell(&[*version], piece, &mut message),
            Piece::Tlvs(_) | Piece::Meter(_) => spell(&[Version::V13], piece, &mut message),
            Piece::Group(_) => spell(&FOR_GROUPS, piece, &mut message),
            Piece::Rule(_) => spell(&FOR_RULES, piece, &mut message),
        };
        let Some(version) = version.map(Version::wire) else {
            self.scratch = message;
            return Err(NotKept);
        };
        match piece {
            Piece::Rule(RulePiece { flow_mod, age, unmodified }) => {
                let record = RuleRecord {
                    version,
                    message: &message,
                    cookie: flow_mod.new_cookie.unwrap_or(0),
                    priority: flow_mod.priority,
                    importance: flow_mod.importance,
                    flags: flow_mod.flags.bits(),
                    idle_timeout: flow_mod.idle_timeout,
                    hard_timeout: flow_mod.hard_timeout,
                    age_ns: age.as_nanos(),
                    unmodified_ns: unmodified.as_nanos(),
                };
                self.put(&Record::Rule(record), out);
            }
            _ => self.put(&Record::Message { version, message: &message }, out),
        }
        self.scratch = message;
        Ok(())
    }

    /// Writes the last record.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.put(&Record::End { n_records: self.n_records }, out);
    }

    fn put(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        // Writing to a vector cannot fail, and everything in a record has a length.
        *out = postcard::to_extend(record, core::mem::take(out)).unwrap_or_default();
        let len = u32::try_from(out.len().saturating_sub(start + LENGTH_BYTES)).unwrap_or(0);
        if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
            place.copy_from_slice(&len.to_le_bytes());
        }
        self.n_records += 1;
    }
}

/// Reads a record without its length; none if it is not one.
pub(crate) fn parse(bytes: &[u8]) -> Option<Item> {
    let (record, rest) = postcard::take_from_bytes::<Record<'_>>(bytes).ok()?;
    if !rest.is_empty() {
        return None;
    }
    Some(match record {
        Record::Start { wall_ms } => Item::Start { wall_ms },
        Record::Bridge { name, datapath_id } => {
            Item::Bridge { name: name.to_string(), datapath_id }
        }
        Record::Fragments(number) => {
            let all = [Fragments::Normal, Fragments::Drop, Fragments::NxMatch];
            let fragments = all.into_iter().find(|one| fragments_number(*one) == number)?;
            Item::Piece(Piece::Fragments(fragments), Version::V10)
        }
        Record::Message { version, message } => {
            let version = Version::from_wire(version)?;
            Item::Piece(hear(version, message)?, version)
        }
        Record::Rule(record) => {
            let version = Version::from_wire(record.version)?;
            let Piece::Rule(RulePiece { flow_mod, .. }) = hear(version, record.message)? else {
                return None;
            };
            let flow_mod = FlowMod {
                new_cookie: Some(record.cookie),
                priority: record.priority,
                importance: record.importance,
                flags: FlowModFlags::from_bits(record.flags)?,
                idle_timeout: record.idle_timeout,
                hard_timeout: record.hard_timeout,
                ..*flow_mod
            };
            let flow_mod = flow_mod.into();
            let (age, unmodified) = (Nanos(record.age_ns), Nanos(record.unmodified_ns));
            Item::Piece(Piece::Rule(RulePiece { flow_mod, age, unmodified }), version)
        }
        Record::End { n_records } => Item::End { n_records },
    })
}

fn fragments_number(fragments: Fragments) -> u8 {
    match fragments {
        Fragments::Normal => 0,
        Fragments::Drop => 1,
        Fragments::NxMatch => 2,
    }
}

/// A version with the extensions that let it say most.
fn dialect(version: Version) -> Dialect {
    let is_old = version == Version::V10;
    let flow_format = if is_old { FlowFormat::Nxm } else { FlowFormat::Standard };
    Dialect { flow_mod_table_id: is_old, flow_format, ..Dialect::plain(version) }
}

/// Writes the request that makes a piece, in the first of these versions from which it comes back as
/// it is.
fn spell(versions: &[Version], piece: &Piece, out: &mut Vec<u8>) -> Option<Version> {
    let request = request(piece)?;
    let piece = bare(piece);
    versions.iter().copied().find(|version| {
        out.clear();
        let is_written = dialect(*version).encode(&request, 0, out).is_ok();
        is_written && hear(*version, out).is_some_and(|heard| heard == piece)
    })
}

fn request(piece: &Piece) -> Option<Message> {
    Some(match bare(piece) {
        Piece::Fragments(_) => return None,
        Piece::Tlvs(change) => Message::NxTlvTableMod(change),
        Piece::Meter(meter_mod) => Message::MeterMod(meter_mod),
        Piece::Group(group_mod) => Message::GroupMod(group_mod),
        Piece::Table(table_mod, _) => Message::TableMod(table_mod),
        Piece::Rule(rule) => Message::FlowMod(rule.flow_mod),
    })
}

/// A piece without what stands beside its message.
fn bare(piece: &Piece) -> Piece {
    match piece {
        Piece::Rule(RulePiece { flow_mod, .. }) => Piece::Rule(bare_rule(FlowMod {
            match_: flow_mod.match_,
            instructions: flow_mod.instructions.clone(),
            table_id: flow_mod.table_id,
            ..FlowMod::default()
        })),
        piece => piece.clone(),
    }
}

/// Of a flow-mod what its message says: table, match and instructions.
fn bare_rule(flow_mod: FlowMod) -> RulePiece {
    let FlowMod { match_, instructions, table_id, .. } = flow_mod;
    let flow_mod = FlowMod { match_, instructions, table_id, priority: 0, ..FlowMod::default() };
    RulePiece { flow_mod: flow_mod.into(), age: Nanos::ZERO, unmodified: Nanos::ZERO }
}

/// The piece that a request makes; none if it is another request, or none at all.
fn hear(version: Version, message: &[u8]) -> Option<Piece> {
    use openflow::{FlowModCommand, GroupModCommand, MeterModCommand, TlvTableCommand};
    let (_, message) = dialect(version).decode(message).ok()?;
    Some(match message {
        Message::FlowMod(flow_mod) if flow_mod.command == FlowModCommand::Add => {
            Piece::Rule(bare_rule(*flow_mod))
        }
        Message::GroupMod(group_mod @ GroupMod { command: GroupModCommand::Add, .. }) => {
            Piece::Group(group_mod)
        }
        Message::MeterMod(meter_mod @ MeterMod { command: MeterModCommand::Add, .. }) => {
            Piece::Meter(meter_mod)
        }
        Message::TableMod(table_mod @ TableMod { .. }) => Piece::Table(table_mod, version),
        Message::NxTlvTableMod(change @ TlvTableMod { command: TlvTableCommand::Add, .. }) => {
            Piece::Tlvs(change)
        }
        _ => return None,
    })
}
