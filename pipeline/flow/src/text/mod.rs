//! The text form of `ovs-ofctl`: `tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80`.
//!
//! Matches are written in one fixed order with the shorthands that people type, and read in any
//! order with either name of a field. For a match without contradictions
//! `parse_match(m.to_string()) == m`.
//!
//! - [`parse_match`], [`MatchText`] (also `Display` of [`Match`]): what a rule or megaflow examines.
//! - [`parse_flow`], [`FlowText`] (also `Display` of [`Flow`]): one packet, every field exact.
//! - [`KeyValues`] and [`apply`]: for parsers of larger texts that contain a match.
//! - [`parse_value`], [`ValueText`]: one field's value, as set-field actions write it.
//! - [`PortNames`]: who knows port names.

mod format;
mod parse;
mod port;
#[cfg(test)]
mod tests;
mod value;

pub use format::{FlowText, MatchText};
pub use parse::{KeyValues, ParseError, Problem, apply, parse_flow, parse_match};
pub use port::{NoNames, PortNames, PortText, parse_port};
pub use value::{ValueText, parse_value};

use crate::flow::Flow;
use crate::matching::Match;
use core::fmt;

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MatchText { match_: self, ports: &NoNames }.fmt(f)
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FlowText { flow: self, ports: &NoNames }.fmt(f)
    }
}
