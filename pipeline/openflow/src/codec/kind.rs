//! Numbers of the message types (1.0.1 §5.1, 1.5.1 §7.1).

use super::wire::Result;
use crate::{OfErrorKind, Version};

/// Numbers that all versions share.
pub(super) const HELLO: u8 = 0;
pub(super) const ERROR: u8 = 1;
pub(super) const ECHO_REQUEST: u8 = 2;
pub(super) const ECHO_REPLY: u8 = 3;

/// A flow-mod, in every version too.
pub(super) const FLOW_MOD: u8 = 14;

/// An addition to a bundle, from 1.4 on.
pub(super) const BUNDLE_ADD: u8 = 34;

/// Message types whose number or form depends on the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Experimenter,
    FeaturesRequest,
    FeaturesReply,
    GetConfigRequest,
    GetConfigReply,
    SetConfig,
    PacketIn,
    FlowRemoved,
    PortStatus,
    PacketOut,
    FlowMod,
    GroupMod,
    PortMod,
    TableMod,
    MultipartRequest,
    MultipartReply,
    BarrierRequest,
    BarrierReply,
    QueueGetConfigRequest,
    QueueGetConfigReply,
    RoleRequest,
    RoleReply,
    GetAsyncRequest,
    GetAsyncReply,
    SetAsync,
    MeterMod,
    RoleStatus,
    TableStatus,
    RequestForward,
    BundleControl,
    BundleAdd,
}

/// A type: its number in 1.0, its number in later versions, the first and last of those that have it.
type Row = (Kind, Option<u8>, u8, Version, Version);

use Version::{V11, V12, V13, V14, V15};

#[rustfmt::skip]
const ROWS: [Row; 31] = [
    (Kind::Experimenter, Some(4), 4, V11, V15),
    (Kind::FeaturesRequest, Some(5), 5, V11, V15),
    (Kind::FeaturesReply, Some(6), 6, V11, V15),
    (Kind::GetConfigRequest, Some(7), 7, V11, V15),
    (Kind::GetConfigReply, Some(8), 8, V11, V15),
    (Kind::SetConfig, Some(9), 9, V11, V15),
    (Kind::PacketIn, Some(10), 10, V11, V15),
    (Kind::FlowRemoved, Some(11), 11, V11, V15),
    (Kind::PortStatus, Some(12), 12, V11, V15),
    (Kind::PacketOut, Some(13), 13, V11, V15),
    (Kind::FlowMod, Some(FLOW_MOD), FLOW_MOD, V11, V15),
    (Kind::GroupMod, None, 15, V11, V15),
    (Kind::PortMod, Some(15), 16, V11, V15),
    (Kind::TableMod, None, 17, V11, V15),
    (Kind::MultipartRequest, Some(16), 18, V11, V15),
    (Kind::MultipartReply, Some(17), 19, V11, V15),
    (Kind::BarrierRequest, Some(18), 20, V11, V15),
    (Kind::BarrierReply, Some(19), 21, V11, V15),
    (Kind::QueueGetConfigRequest, Some(20), 22, V11, V13),
    (Kind::QueueGetConfigReply, Some(21), 23, V11, V13),
    (Kind::RoleRequest, None, 24, V12, V15),
    (Kind::RoleReply, None, 25, V12, V15),
    (Kind::GetAsyncRequest, None, 26, V13, V15),
    (Kind::GetAsyncReply, None, 27, V13, V15),
    (Kind::SetAsync, None, 28, V13, V15),
    (Kind::MeterMod, None, 29, V13, V15),
    (Kind::RoleStatus, None, 30, V14, V15),
    (Kind::TableStatus, None, 31, V14, V15),
    (Kind::RequestForward, None, 32, V14, V15),
    (Kind::BundleControl, None, 33, V14, V15),
    (Kind::BundleAdd, None, BUNDLE_ADD, V14, V15),
];

impl Kind {
    pub(super) fn of(wire: u8, version: Version) -> Result<Kind> {
        let found = ROWS.iter().find(|(_, v10, later, since, until)| match version {
            Version::V10 => *v10 == Some(wire),
            _ => *later == wire && (*since..=*until).contains(&version),
        });
        found.map(|(kind, ..)| *kind).ok_or(OfErrorKind::RequestBadType)
    }

    /// The number; that of later versions for a type that this one lacks (no peer of it is sent one).
    pub(super) fn wire(self, version: Version) -> u8 {
        let found = ROWS.iter().find(|(kind, ..)| *kind == self);
        found.map_or(0, |(_, v10, later, ..)| match version {
            Version::V10 => v10.unwrap_or(*later),
            _ => *later,
        })
    }
}
