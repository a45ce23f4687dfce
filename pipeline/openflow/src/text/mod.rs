//! The text form of flows: that of `ovs-ofctl`.
//!
//! - `Display` of [`Action`], [`Instructions`], [`FlowStats`] and [`FlowMod`] prints what
//!   `ovs-ofctl dump-flows` prints (the wrappers with port names: [`ActionsText`],
//!   [`InstructionsText`], [`FlowStatsText`]).
//! - [`parse_flow`], [`parse_actions`] and [`parse_instructions`] read what it reads.
//! - Groups and meters likewise: [`parse_group`], [`GroupText`], [`parse_meter`].
//!
//! The text of what was read is the text of the same *meaning*: `mod_dl_src:…` is a set-field here
//! and is printed as one.
//!
//! [`Action`]: crate::Action
//! [`Instructions`]: crate::Instructions
//! [`FlowStats`]: crate::FlowStats
//! [`FlowMod`]: crate::FlowMod

mod error;
mod format;
mod group;
mod meter;
mod nicira;
mod parse_action;
mod parse_flow;
mod stat_trigger;
#[cfg(test)]
mod tests;

pub use error::{TextError, TextProblem};
pub use format::{ActionsText, FlowStatsText, InstructionsText};
pub use group::{GroupText, parse_group};
pub use meter::parse_meter;
pub use parse_action::{parse_actions, parse_instructions, subfield as parse_subfield};
pub use parse_flow::{parse_flow, parse_flow_line, parse_flow_with};

/// A number as `ovs-ofctl` reads it: decimal, or hexadecimal after `0x`.
pub(crate) fn number(text: &str) -> Option<u128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u128::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}
