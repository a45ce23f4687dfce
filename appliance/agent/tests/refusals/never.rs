//! Errors that are provoked elsewhere, and such that no request can be answered by.

use openflow::OfErrorKind as E;
use openflow::Version;

/// Errors that need a story of their own.
pub(crate) const ELSEWHERE: &[(E, &str)] = &[
    (E::HelloIncompatible, "dialogue: versions_are_negotiated_and_strangers_are_refused"),
    (E::BundleBadId, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleExist, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleClosed, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleBadType, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleMsgBadLen, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleMsgBadXid, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleMsgUnsup, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleBadVersion, "later_versions: bundles_are_refused_by_their_own_errors"),
    (E::BundleMsgTooMany, "later_versions: a_bundle_may_be_half_of_what_rules_may_still_take"),
    (E::BundleTimeout, "later_versions: a_bundle_that_nobody_goes_on_with_is_given_up"),
    (E::BundleMsgFailed, "in_a_bundle, of each case"),
    (E::BundleOutOfBundles, "limits_have_errors_of_their_own"),
    (E::GroupModOutOfGroups, "limits_have_errors_of_their_own"),
    (E::GroupModOutOfBuckets, "limits_have_errors_of_their_own"),
    (E::GroupModChainingUnsupported, "limits_have_errors_of_their_own"),
    (E::MonitorUnknown, "limits_have_errors_of_their_own"),
    (E::MeterModOutOfMeters, "limits_have_errors_of_their_own"),
];

const NO_RIGHTS: &str = "whoever is connected may do everything, but for secondaries";
const REPLY_ALONE: &str = "about messages that only a switch sends";
const NOT_SAID: &str = "the more exact errors are said instead";
const NEEDS_ROOM: &str = "all of it is supported";
const NO_SCHEDULE: &str = "nothing is done at a given time";
const NO_SYNC: &str = "no table follows another";
const NO_BUFFERS: &str = "no packet is kept in a buffer";
const NO_IDS: &str = "the field of the request is passed over, as in Open vSwitch";
const ETHERNET: &str = "packets are Ethernet frames";
const OTHER_WORD: &str = "a number of Nicira's for what this version has no message for";

/// Errors that no request can be answered by.
pub(crate) const NEVER: &[(E, &str)] = &[
    (E::HelloEperm, NO_RIGHTS),
    (E::ActionEperm, NO_RIGHTS),
    (E::InstructionEperm, NO_RIGHTS),
    (E::MatchEperm, NO_RIGHTS),
    (E::FlowModEperm, NO_RIGHTS),
    (E::GroupModEperm, NO_RIGHTS),
    (E::PortModEperm, NO_RIGHTS),
    (E::TableModEperm, NO_RIGHTS),
    (E::QueueEperm, NO_RIGHTS),
    (E::ConfigEperm, NO_RIGHTS),
    (E::PropertyEperm, NO_RIGHTS),
    (E::AsyncEperm, NO_RIGHTS),
    (E::BundleEperm, NO_RIGHTS),
    (E::NxRequestFmBadEvent, REPLY_ALONE),
    (E::RequestUnknown, NOT_SAID),
    (E::FlowModUnknown, NOT_SAID),
    (E::MeterModUnknown, NOT_SAID),
    (E::BundleUnknown, NOT_SAID),
    (E::NxRequestNxmBadType, NOT_SAID),
    (E::NxFlowModBadTableId, NOT_SAID),
    (E::MonitorInvalidMonitor, NOT_SAID),
    (E::AsyncUnsupported, NOT_SAID),
    (E::PropertyTooMany, "of properties that come twice the last counts, as in Open vSwitch"),
    (E::PropertyDupType, "of properties that come twice the last counts, as in Open vSwitch"),
    (
        E::PropertyBadExpValue,
        "no property of an experimenter has a value that could be wrong by itself",
    ),
    (E::InstructionBadExpType, "there are no instructions of experimenters"),
    (E::InstructionUnsupMetadata, NEEDS_ROOM),
    (E::InstructionUnsupMetadataMask, NEEDS_ROOM),
    (E::MatchBadTag, NEEDS_ROOM),
    (E::MatchBadDlAddrMask, NEEDS_ROOM),
    (E::MatchBadNwAddrMask, NEEDS_ROOM),
    (E::FlowModBadTimeout, NEEDS_ROOM),
    (E::FlowModBadPriority, NEEDS_ROOM),
    (E::FlowModUnsupported, NEEDS_ROOM),
    (E::NxFlowModHardware, NEEDS_ROOM),
    (E::GroupModWeightUnsupported, NEEDS_ROOM),
    (E::MeterModBadBurst, NEEDS_ROOM),
    (E::MeterModBadBandValue, NEEDS_ROOM),
    (E::RoleUnsup, NEEDS_ROOM),
    (E::NxResumeNotSupported, NEEDS_ROOM),
    (E::GroupModChainedGroup, "a group that others lead to can be deleted, as in Open vSwitch"),
    (E::ActionBadQueue, "a queue may come later than the rule"),
    (E::NxQueueError, "queues are made by the database"),
    (E::MonitorBadOut, "a port or group to watch for may come later"),
    (E::TableFeaturesBadMetadata, "what a table can do is fixed: OFPTFFC_EPERM"),
    (E::TableFeaturesBadCapa, "what a table can do is fixed: OFPTFFC_EPERM"),
    (E::TableFeaturesBadMaxEnt, "what a table can do is fixed: OFPTFFC_EPERM"),
    (E::TableFeaturesBadFeatures, "what a table can do is fixed: OFPTFFC_EPERM"),
    (E::TableFeaturesTooMany, "what a table can do is fixed: OFPTFFC_EPERM"),
    (E::ConfigBadLen, "OFPBRC_BAD_LEN"),
    (
        E::RequestMultipartRequestTimeout,
        "a request of which the rest never comes is dropped with its connection",
    ),
    (E::RequestMultipartReplyTimeout, "replies wait for their reader"),
    (E::RequestMultipartBadSched, NO_SCHEDULE),
    (E::BundleSchedFuture, NO_SCHEDULE),
    (E::BundleSchedPast, NO_SCHEDULE),
    (E::BundleInProgress, "messages behind a commit wait for it"),
    (E::BundleMsgConflict, NOT_SAID),
    (E::FlowModCantSync, NO_SYNC),
    (E::FlowModIsSync, NO_SYNC),
    (E::RequestBufferEmpty, NO_BUFFERS),
    (E::RoleIdUnsup, NO_IDS),
    (E::RoleIdInUse, NO_IDS),
    (E::NxActionBadHeaderType, ETHERNET),
    (E::NxActionUnknownEdProp, ETHERNET),
    (E::NxActionBadEdProp, ETHERNET),
];

/// The same for some versions alone.
pub(crate) const NEVER_IN: &[(E, &[Version], &str)] = &[
    (
        E::InstructionUnsupInst,
        &[Version::V10, Version::V11, Version::V12, Version::V13, Version::V14],
        NEEDS_ROOM,
    ),
    (E::ActionBadOutGroup, &[Version::V10], OTHER_WORD),
    (E::ActionBadSetLen, &[Version::V10, Version::V11], OTHER_WORD),
    (E::PropertyBadValue, &[Version::V11, Version::V12, Version::V13], OTHER_WORD),
    (E::PropertyBadExpType, &[Version::V11, Version::V12, Version::V13, Version::V14], OTHER_WORD),
    (
        E::NxRequestUnencodableError,
        &[Version::V13, Version::V14, Version::V15],
        "all that it can say has a number",
    ),
    // The same number as that of a secondary's request.
    (E::RequestIsSecondary, &[Version::V10, Version::V11], "OFPBRC_EPERM has its number"),
];
