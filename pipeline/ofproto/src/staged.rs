//! The requests of a bundle, as they wait for its commit.
//!
//! # Form
//! Requests that add rules are most of any large bundle. They are decoded once, when they are added, and
//! wait as what their rules will be made of: values under a mask that they have in common, instructions
//! that they have in common, a few numbers. Match and instructions go into the rule as they are. Others
//! wait as they came, and are decoded again.
//!
//! # Memory
//! [`Staged::n_bytes`] says what a request takes, for whoever bounds that: some 200 bytes for a rule with a
//! few fields, where a decoded flow-mod takes 1,300. The first [`QUOTED_BYTES`] of the message stay, for the error that quotes them.

use crate::flow_mod::Addition;
use crate::rule::{SharedMasks, compact};
use crate::shared::Shared;
use alloc::boxed::Box;
use alloc::sync::Arc;
use flow::CompactMatch;
use openflow::{FlowMod, FlowModCommand, Instructions, Patterns, Version};

/// Bytes that an error quotes of a message at least (1.3.5 §7.5.4), and all that Open vSwitch does.
const QUOTED_BYTES: usize = 64;

/// A rule to be added.
#[derive(Clone, Debug)]
pub(crate) struct StagedRule {
    pub(crate) addition: Addition,
    pub(crate) match_: CompactMatch,
    pub(crate) instructions: Arc<Instructions>,
    /// The beginning of the message, which is longer.
    pub(crate) quoted: [u8; QUOTED_BYTES],
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) enum Staged {
    Rule(StagedRule),
    /// A whole message.
    Message(Box<[u8]>),
}

/// What staged rules have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    masks: SharedMasks,
    instructions: Shared<Instructions>,
    patterns: Patterns,
}

impl Common {
    /// Bytes of memory that it takes.
    pub(crate) const N_BYTES: usize =
        size_of::<Self>() + SharedMasks::N_BYTES + Shared::<Instructions>::N_BYTES;
}

impl Staged {
    /// The staged form of a whole message, if it adds a rule that looks like one before it.
    pub(crate) fn alike(message: &[u8], version: Version, common: &mut Common) -> Option<Self> {
        let rule = common.patterns.read(message, version)?;
        Some(Self::Rule(StagedRule {
            addition: Addition::read(&rule),
            match_: CompactMatch::new(rule.mask, rule.values),
            instructions: Arc::clone(rule.instructions),
            quoted: *message.first_chunk::<QUOTED_BYTES>()?,
        }))
    }

    /// The staged form of a flow-mod, if it has one.
    pub(crate) fn rule(
        flow_mod: &FlowMod,
        message: &[u8],
        version: Version,
        common: &mut Common,
    ) -> Option<Self> {
        let quoted = *message.first_chunk::<QUOTED_BYTES>()?;
        if flow_mod.command != FlowModCommand::Add || flow_mod.buffer_id.is_some() {
            return None;
        }
        let match_ = compact(&flow_mod.match_, &mut common.masks);
        let instructions = common.instructions.keep(&flow_mod.instructions);
        if common.patterns.wants(message, flow_mod, version)
            && let Some(mask) = match_.mask()
        {
            common.patterns.learn(message, flow_mod, mask, &instructions);
        }
        let addition = Addition::of(flow_mod);
        Some(Self::Rule(StagedRule { addition, match_, instructions, quoted }))
    }

    /// Bytes of memory that it takes.
    pub(crate) fn n_bytes(&self) -> usize {
        let own = match self {
            Self::Rule(rule) => rule.match_.n_bytes(),
            Self::Message(message) => message.len(),
        };
        size_of::<Self>() + own
    }
}
