#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

pub mod accounting;
pub mod action;
mod cable;
pub mod census;
mod config;
mod dpif;
mod drop_reason;
mod dump;
mod emc;
mod execute;
mod ids;
mod input;
mod local;
mod mask;
mod megaflow;
mod meter;
mod output;
mod perf;
mod pmd;
mod port;
mod probe;
mod smc;
mod stage;
mod table;
mod upcall;

pub use accounting::{Accounting, CoreCounters};
pub use action::{
    ActionError, Actions, CheckPktLen, DpAction, HashAction, HashKind, Masked, PortNames, PushMpls,
    PushVlan, SetArp, SetEth, SetIcmp, SetIpv4, SetIpv6, SetMeta, SetNd, SetNdExt, SetPorts,
    SlowPath, TtlCopy,
};
pub use cable::MAX_CABLES;
pub use config::{ConfigError, DatapathConfig};
pub use dpif::{Command, Dpif, Execute};
pub use drop_reason::{DropCounters, DropReason, Drops};
pub use dump::{DumpLine, KeyText, UfidShown};
pub use emc::EmcConfig;
pub use ids::{CoreId, PortNo, Ufid};
pub use input::MAX_DEPTH;
pub use local::{LocalConfig, LocalDpif};
pub use mask::SharedMask;
pub use megaflow::{Fate, FlowStats, FlowStatsRead, Megaflow, PutError};
pub use meter::{
    BandKind, BandStats, MAX_BANDS, MAX_METERS, MeterBand, MeterConfig, MeterError, MeterStats,
    MeterTable, MeterUnit, raise_drop_precedence,
};
pub use output::Output;
pub use perf::{Cycles, Stage};
pub use pmd::{PmdConfig, PmdDatapath};
pub use port::{PortCounters, PortStats};
pub use smc::SmcEnable;
pub use table::TableLimits;
pub use upcall::{
    Admit, Answer, Answered, CHECK_FRAME_BYTES, Check, PacketInReason, Upcall, UpcallAction,
    UpcallReason,
};
