#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bridge;
mod bundle;
mod capture;
mod change;
mod changes;
mod check;
mod crew;
mod deps;
mod events;
mod eviction;
mod expiry;
mod fail_mode;
mod flow_limit;
mod flow_mod;
pub mod group;
mod handler;
mod inline;
mod intern;
mod judge;
mod learn;
pub mod mac_learning;
pub mod meter;
pub mod mirror;
mod packet_in;
mod packet_out;
mod port;
mod purge;
pub mod qos;
mod quota;
mod restore;
mod resume;
mod retire;
mod revalidator;
mod rounds;
mod rule;
mod same_effect;
mod self_check;
mod shared;
mod show;
mod stats;
mod sweep;
mod table;
mod table_mod;
mod tlv;
mod trace;
pub mod translate;
mod tunables;
mod ukey;
mod umap;
pub mod vlan;
mod walk;
mod watch;
mod wrong_flow;

pub use bridge::{Bridge, BridgeConfig, BridgeState, BridgeStats, FailMode, Fragments, Options};
pub use bundle::{Bundle, BundleId, BundleOutcome, MAX_BUNDLED};
pub use capture::{Capture, Edits, Piece, RulePiece};
pub use changes::SyncTicket;
pub use deps::Deps;
pub use events::{BridgeEvent, MissKind, PacketInEvent};
pub use inline::{Declined, InlineTranslator};
pub use learn::Learned;
/// The number of a port, as everyone above a bridge needs it.
pub use openflow::OfPort;
pub use packet_in::PacketInSpec;
pub use port::{Link, Port, PortError, PortSpec, Ports};
pub use quota::FlowQuota;
pub use restore::Restored;
pub use revalidator::{Revalidator, RevalidatorStats};
pub use rule::{CompactMatch, MAX_PRIORITY, Rule, RuleStats};
pub use self_check::CheckResult;
pub use table::{MAX_RULES, Table, Tables};
pub use table_mod::TableSettings;
pub use tlv::Tlvs;
pub use tunables::{Tunable, TunableError};
pub use ukey::{Credit, Ukey, UkeyState};
pub use umap::Ukeys;
pub use walk::RuleWalk;
pub use watch::RuleEvent;
pub use wrong_flow::{FoundBy, MAX_KEPT as MAX_WRONG_FLOWS, WrongFlow};
