//! OpenFlow messages put together by hand, from the layouts of the specifications: nothing here knows the
//! switch's codec.

use crate::frames::hex;

/// A version of the protocol as its first byte names it: 1 is OpenFlow 1.0, 6 is 1.5.
pub(crate) type Wire = u8;

/// All of them.
pub(crate) const VERSIONS: [Wire; 6] = [1, 2, 3, 4, 5, 6];

/// A match as its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Match {
    /// The entries of an extensible match: `NXT_FLOW_MOD` in 1.0 and 1.1, else the standard's.
    Entries(Vec<u8>),
    /// The structure of 1.0 (40 bytes) or of 1.1 (88).
    Fixed(Vec<u8>),
}

impl Match {
    /// Everything.
    pub(crate) fn all() -> Match {
        Match::Entries(Vec::new())
    }
}

/// A message.
pub(crate) fn message(version: Wire, kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + body.len()).expect("short");
    [&[version, kind][..], &len.to_be_bytes(), &[0, 0, 0, 7], body].concat()
}

pub(crate) fn hello(version: Wire) -> Vec<u8> {
    message(version, 0, &[])
}

pub(crate) fn barrier(version: Wire) -> Vec<u8> {
    message(version, if version == 1 { 18 } else { 20 }, &[])
}

/// The kind of the answer to [`barrier`].
pub(crate) fn barrier_reply(version: Wire) -> u8 {
    if version == 1 { 19 } else { 21 }
}

/// A message of Nicira's.
pub(crate) fn nicira(version: Wire, subtype: u32, body: &[u8]) -> Vec<u8> {
    let body = [&hex("00002320")[..], &subtype.to_be_bytes(), body].concat();
    message(version, 4, &body)
}

/// From now on the flow-mods of 1.0, and Nicira's, name their table.
pub(crate) fn name_tables(version: Wire) -> Vec<u8> {
    nicira(version, 15, &hex("01 00000000000000"))
}

/// Options 0 and 1 of tunnels have four bytes.
pub(crate) fn map_options(version: Wire) -> Vec<u8> {
    nicira(version, 24, &hex("0000 000000000000  ffff 00 04 0000 0000  ffff 01 04 0001 0000"))
}

/// Adds a rule. `does` are actions in 1.0, else instructions.
pub(crate) fn add(version: Wire, table: u8, priority: u16, match_: &Match, does: &[u8]) -> Vec<u8> {
    let priority = priority.to_be_bytes();
    // Command (with the table in front), timeouts, priority, no buffer, no port, no flags.
    let old = [&[table, 0, 0, 0, 0, 0][..], &priority, &hex("ffffffff ffff 0000")].concat();
    match (version, match_) {
        (1, Match::Fixed(match_)) => message(1, 14, &[&match_[..], &[0; 8], &old, does].concat()),
        (1 | 2, Match::Entries(entries)) => {
            let len = u16::try_from(entries.len()).expect("short").to_be_bytes();
            let body = [&[0; 8], &old[..], &len, &[0; 6], &padded(entries), does].concat();
            nicira(version, 13, &body)
        }
        _ => {
            // Cookie and mask; command and timeouts; no buffer, port, group, flags, importance.
            let head = [&[0; 16][..], &[table, 0, 0, 0, 0, 0], &priority].concat();
            let head = [&head[..], &[0xff; 12], &[0; 4]].concat();
            let match_ = match match_ {
                Match::Fixed(match_) => match_.clone(),
                Match::Entries(entries) => {
                    let len = u16::try_from(4 + entries.len()).expect("short").to_be_bytes();
                    padded(&[&[0, 1], &len[..], entries].concat())
                }
            };
            message(version, 14, &[head, match_, does.to_vec()].concat())
        }
    }
}

/// Filled up to a multiple of 8.
pub(crate) fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Instructions that apply these actions; in 1.0 the actions.
pub(crate) fn apply(version: Wire, actions: &[u8]) -> Vec<u8> {
    if version == 1 { actions.to_vec() } else { instruction(4, actions) }
}

/// An instruction about actions: 3 writes them, 4 applies them, 5 clears the set.
pub(crate) fn instruction(kind: u8, actions: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + actions.len()).expect("short").to_be_bytes();
    [&[0, kind], &len[..], &[0; 4], actions].concat()
}

/// To a port.
pub(crate) fn output(version: Wire, port: u8) -> Vec<u8> {
    match version {
        1 => vec![0, 0, 0, 8, 0, port, 0, 0],
        _ => [&[0, 0, 0, 16, 0, 0, 0, port][..], &[0; 8]].concat(),
    }
}

/// An action of Nicira's, filled up.
pub(crate) fn nicira_action(subtype: u16, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from((10 + body.len()).next_multiple_of(8)).expect("short");
    let head = [&[0xff, 0xff][..], &len.to_be_bytes(), &hex("00002320"), &subtype.to_be_bytes()];
    padded(&[&head.concat(), body].concat())
}

/// Looks up in a table as if anew.
pub(crate) fn resubmit(table: u8) -> Vec<u8> {
    nicira_action(14, &[0xff, 0xf8, table, 0, 0, 0])
}

/// Copies bits from 0 on of one field to another; the fields are headers.
pub(crate) fn copy(n_bits: usize, from: &[u8], to: &[u8]) -> Vec<u8> {
    let n_bits = u16::try_from(n_bits).expect("few").to_be_bytes();
    nicira_action(6, &[&n_bits[..], &[0; 4], from, to].concat())
}
