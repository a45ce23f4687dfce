//! The table of reasons and their numbers in each version.

use super::{NICIRA as NX, ONF, Range};

/// A standard code's vendor.
const STD: u32 = 0;
/// The type of experimenter errors.
const EXP: u16 = super::TYPE_EXPERIMENTER;

macro_rules! reasons {
    ($($variant:ident = $name:literal: [$($range:expr),+];)+) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum OfErrorKind {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl OfErrorKind {
            /// Every reason.
            pub const ALL: &'static [OfErrorKind] = &[$(OfErrorKind::$variant,)+];

            /// The specification's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(OfErrorKind::$variant => $name,)+
                }
            }

            pub(super) const fn ranges(self) -> &'static [Range] {
                match self {
                    $(OfErrorKind::$variant => &[$($range),+],)+
                }
            }
        }
    };
}

// Versions are wire numbers: 1 is OpenFlow 1.0, 4 is 1.3, 6 is 1.5.
reasons! {
    HelloIncompatible = "OFPHFC_INCOMPATIBLE": [(1, 6, STD, 0, 0)];
    HelloEperm = "OFPHFC_EPERM": [(1, 6, STD, 0, 1)];
    RequestBadVersion = "OFPBRC_BAD_VERSION": [(1, 6, STD, 1, 0)];
    RequestBadType = "OFPBRC_BAD_TYPE": [(1, 6, STD, 1, 1)];
    RequestBadStat = "OFPBRC_BAD_STAT": [(1, 6, STD, 1, 2)];
    RequestBadVendor = "OFPBRC_BAD_VENDOR": [(1, 6, STD, 1, 3)];
    RequestBadSubtype = "OFPBRC_BAD_SUBTYPE": [(1, 6, STD, 1, 4)];
    RequestEperm = "OFPBRC_EPERM": [(1, 6, STD, 1, 5)];
    RequestBadLen = "OFPBRC_BAD_LEN": [(1, 6, STD, 1, 6)];
    RequestBufferEmpty = "OFPBRC_BUFFER_EMPTY": [(1, 6, STD, 1, 7)];
    RequestBufferUnknown = "OFPBRC_BUFFER_UNKNOWN": [(1, 6, STD, 1, 8)];
    RequestBadTableId = "OFPBRC_BAD_TABLE_ID": [(1, 1, NX, 1, 512), (2, 6, STD, 1, 9)];
    RequestIsSecondary = "OFPBRC_IS_SECONDARY": [(1, 2, STD, 1, 5), (3, 6, STD, 1, 10)];
    RequestBadPort = "OFPBRC_BAD_PORT": [(1, 2, NX, 1, 514), (3, 6, STD, 1, 11)];
    RequestBadPacket = "OFPBRC_BAD_PACKET": [(3, 6, STD, 1, 12)];
    RequestMultipartBufferOverflow = "OFPBRC_MULTIPART_BUFFER_OVERFLOW": [(4, 6, STD, 1, 13)];
    RequestMultipartRequestTimeout = "OFPBRC_MULTIPART_REQUEST_TIMEOUT": [(4, 4, ONF, EXP, 2640), (5, 6, STD, 1, 14)];
    RequestMultipartReplyTimeout = "OFPBRC_MULTIPART_REPLY_TIMEOUT": [(4, 4, ONF, EXP, 2641), (5, 6, STD, 1, 15)];
    RequestMultipartBadSched = "OFPBRC_MULTIPART_BAD_SCHED": [(6, 6, STD, 1, 16)];
    RequestPipelineFieldsOnly = "OFPBRC_PIPELINE_FIELDS_ONLY": [(6, 6, STD, 1, 17)];
    RequestUnknown = "OFPBRC_UNKNOWN": [(6, 6, STD, 1, 18)];
    NxRequestNxmInvalid = "NXBRC_NXM_INVALID": [(1, 2, NX, 1, 256), (3, 6, NX, EXP, 2)];
    NxRequestNxmBadType = "NXBRC_NXM_BAD_TYPE": [(1, 2, NX, 1, 257), (3, 6, NX, EXP, 3)];
    NxRequestMustBeZero = "NXBRC_MUST_BE_ZERO": [(1, 2, NX, 1, 515), (3, 6, NX, EXP, 4)];
    NxRequestBadReason = "NXBRC_BAD_REASON": [(1, 2, NX, 1, 516), (3, 6, NX, EXP, 5)];
    NxRequestFmBadEvent = "NXBRC_FM_BAD_EVENT": [(1, 2, NX, 1, 520), (3, 6, NX, EXP, 9)];
    NxRequestUnencodableError = "NXBRC_UNENCODABLE_ERROR": [(1, 2, NX, 1, 521), (3, 6, NX, EXP, 10)];
    ActionBadType = "OFPBAC_BAD_TYPE": [(1, 6, STD, 2, 0)];
    ActionBadLen = "OFPBAC_BAD_LEN": [(1, 6, STD, 2, 1)];
    ActionBadVendor = "OFPBAC_BAD_VENDOR": [(1, 6, STD, 2, 2)];
    ActionBadVendorType = "OFPBAC_BAD_VENDOR_TYPE": [(1, 6, STD, 2, 3)];
    ActionBadOutPort = "OFPBAC_BAD_OUT_PORT": [(1, 6, STD, 2, 4)];
    ActionBadArgument = "OFPBAC_BAD_ARGUMENT": [(1, 6, STD, 2, 5)];
    ActionEperm = "OFPBAC_EPERM": [(1, 6, STD, 2, 6)];
    ActionTooMany = "OFPBAC_TOO_MANY": [(1, 6, STD, 2, 7)];
    ActionBadQueue = "OFPBAC_BAD_QUEUE": [(1, 6, STD, 2, 8)];
    ActionBadOutGroup = "OFPBAC_BAD_OUT_GROUP": [(1, 1, NX, 2, 9), (2, 6, STD, 2, 9)];
    ActionMatchInconsistent = "OFPBAC_MATCH_INCONSISTENT": [(1, 1, NX, 1, 522), (2, 6, STD, 2, 10)];
    ActionUnsupportedOrder = "OFPBAC_UNSUPPORTED_ORDER": [(2, 6, STD, 2, 11)];
    ActionBadTag = "OFPBAC_BAD_TAG": [(2, 6, STD, 2, 12)];
    ActionBadSetType = "OFPBAC_BAD_SET_TYPE": [(1, 2, NX, 1, 523), (3, 6, STD, 2, 13)];
    ActionBadSetLen = "OFPBAC_BAD_SET_LEN": [(1, 2, NX, 1, 524), (3, 6, STD, 2, 14)];
    ActionBadSetArgument = "OFPBAC_BAD_SET_ARGUMENT": [(1, 2, NX, 1, 525), (3, 6, STD, 2, 15)];
    ActionBadSetMask = "OFPBAC_BAD_SET_MASK": [(4, 5, ONF, EXP, 4250), (6, 6, STD, 2, 16)];
    ActionBadMeter = "OFPBAC_BAD_METER": [(6, 6, STD, 2, 17)];
    NxActionMustBeZero = "NXBAC_MUST_BE_ZERO": [(1, 2, NX, 2, 256), (3, 6, NX, EXP, 11)];
    NxActionBadConjunction = "NXBAC_BAD_CONJUNCTION": [(1, 2, NX, 2, 526), (3, 6, NX, EXP, 15)];
    NxActionBadHeaderType = "NXBAC_BAD_HEADER_TYPE": [(4, 6, NX, EXP, 39)];
    NxActionUnknownEdProp = "NXBAC_UNKNOWN_ED_PROP": [(4, 6, NX, EXP, 40)];
    NxActionBadEdProp = "NXBAC_BAD_ED_PROP": [(4, 6, NX, EXP, 41)];
    NxActionCtDatapathSupport = "NXBAC_CT_DATAPATH_SUPPORT": [(1, 2, NX, 1, 265), (3, 6, NX, EXP, 42)];
    InstructionUnknownInst = "OFPBIC_UNKNOWN_INST": [(2, 6, STD, 3, 0)];
    InstructionUnsupInst = "OFPBIC_UNSUP_INST": [(1, 1, NX, 2, 257), (2, 6, STD, 3, 1)];
    InstructionBadTableId = "OFPBIC_BAD_TABLE_ID": [(2, 6, STD, 3, 2)];
    InstructionUnsupMetadata = "OFPBIC_UNSUP_METADATA": [(2, 6, STD, 3, 3)];
    InstructionUnsupMetadataMask = "OFPBIC_UNSUP_METADATA_MASK": [(2, 6, STD, 3, 4)];
    InstructionBadExperimenter = "OFPBIC_BAD_EXPERIMENTER": [(2, 6, STD, 3, 5)];
    InstructionBadExpType = "OFPBIC_BAD_EXP_TYPE": [(2, 2, STD, 3, 5), (3, 6, STD, 3, 6)];
    InstructionBadLen = "OFPBIC_BAD_LEN": [(3, 6, STD, 3, 7)];
    InstructionEperm = "OFPBIC_EPERM": [(3, 6, STD, 3, 8)];
    InstructionDupInst = "OFPBIC_DUP_INST": [(2, 2, NX, 3, 256), (3, 4, ONF, EXP, 2600), (5, 6, STD, 3, 9)];
    MatchBadType = "OFPBMC_BAD_TYPE": [(2, 6, STD, 4, 0)];
    MatchBadLen = "OFPBMC_BAD_LEN": [(2, 6, STD, 4, 1)];
    MatchBadTag = "OFPBMC_BAD_TAG": [(2, 6, STD, 4, 2)];
    MatchBadDlAddrMask = "OFPBMC_BAD_DL_ADDR_MASK": [(2, 6, STD, 4, 3)];
    MatchBadNwAddrMask = "OFPBMC_BAD_NW_ADDR_MASK": [(2, 6, STD, 4, 4)];
    MatchBadWildcards = "OFPBMC_BAD_WILDCARDS": [(1, 1, NX, 1, 262), (2, 6, STD, 4, 5)];
    MatchBadField = "OFPBMC_BAD_FIELD": [(1, 1, NX, 0, 263), (2, 6, STD, 4, 6)];
    MatchBadValue = "OFPBMC_BAD_VALUE": [(1, 1, NX, 1, 258), (2, 6, STD, 4, 7)];
    MatchBadMask = "OFPBMC_BAD_MASK": [(1, 2, NX, 1, 259), (3, 6, STD, 4, 8)];
    MatchBadPrereq = "OFPBMC_BAD_PREREQ": [(1, 2, NX, 1, 260), (3, 6, STD, 4, 9)];
    MatchDupField = "OFPBMC_DUP_FIELD": [(1, 2, NX, 1, 261), (3, 6, STD, 4, 10)];
    MatchEperm = "OFPBMC_EPERM": [(3, 6, STD, 4, 11)];
    NxMatchCtDatapathSupport = "NXBMC_CT_DATAPATH_SUPPORT": [(1, 2, NX, 1, 264), (3, 6, NX, EXP, 43)];
    FlowModUnknown = "OFPFMFC_UNKNOWN": [(2, 6, STD, 5, 0)];
    FlowModTableFull = "OFPFMFC_TABLE_FULL": [(1, 1, STD, 3, 0), (2, 6, STD, 5, 1)];
    FlowModBadTableId = "OFPFMFC_BAD_TABLE_ID": [(2, 6, STD, 5, 2)];
    FlowModOverlap = "OFPFMFC_OVERLAP": [(1, 1, STD, 3, 1), (2, 6, STD, 5, 3)];
    FlowModEperm = "OFPFMFC_EPERM": [(1, 1, STD, 3, 2), (2, 6, STD, 5, 4)];
    FlowModBadTimeout = "OFPFMFC_BAD_TIMEOUT": [(2, 6, STD, 5, 5)];
    FlowModBadEmergTimeout = "OFPFMFC_BAD_EMERG_TIMEOUT": [(1, 1, STD, 3, 3)];
    FlowModBadCommand = "OFPFMFC_BAD_COMMAND": [(1, 1, STD, 3, 4), (2, 6, STD, 5, 6)];
    FlowModBadFlags = "OFPFMFC_BAD_FLAGS": [(1, 1, NX, 3, 258), (2, 2, NX, 5, 258), (3, 6, STD, 5, 7)];
    FlowModCantSync = "OFPFMFC_CANT_SYNC": [(5, 6, STD, 5, 8)];
    FlowModBadPriority = "OFPFMFC_BAD_PRIORITY": [(4, 4, ONF, EXP, 2360), (5, 6, STD, 5, 9)];
    FlowModIsSync = "OFPFMFC_IS_SYNC": [(5, 6, STD, 5, 10)];
    FlowModUnsupported = "OFPFMFC_UNSUPPORTED": [(1, 1, STD, 3, 5)];
    NxFlowModHardware = "NXFMFC_HARDWARE": [(1, 2, NX, 5, 256), (3, 6, NX, EXP, 12)];
    NxFlowModBadTableId = "NXFMFC_BAD_TABLE_ID": [(1, 2, NX, 5, 257), (3, 6, NX, EXP, 13)];
    NxFlowModInvalidTlvField = "NXFMFC_INVALID_TLV_FIELD": [(1, 2, NX, 1, 536), (3, 6, NX, EXP, 37)];
    GroupModExists = "OFPGMFC_GROUP_EXISTS": [(1, 1, NX, 6, 0), (2, 6, STD, 6, 0)];
    GroupModInvalidGroup = "OFPGMFC_INVALID_GROUP": [(1, 1, NX, 6, 1), (2, 6, STD, 6, 1)];
    GroupModWeightUnsupported = "OFPGMFC_WEIGHT_UNSUPPORTED": [(1, 1, NX, 6, 2), (2, 6, STD, 6, 2)];
    GroupModOutOfGroups = "OFPGMFC_OUT_OF_GROUPS": [(1, 1, NX, 6, 3), (2, 6, STD, 6, 3)];
    GroupModOutOfBuckets = "OFPGMFC_OUT_OF_BUCKETS": [(1, 1, NX, 6, 4), (2, 6, STD, 6, 4)];
    GroupModChainingUnsupported = "OFPGMFC_CHAINING_UNSUPPORTED": [(1, 1, NX, 6, 5), (2, 6, STD, 6, 5)];
    GroupModWatchUnsupported = "OFPGMFC_WATCH_UNSUPPORTED": [(1, 1, NX, 6, 6), (2, 6, STD, 6, 6)];
    GroupModLoop = "OFPGMFC_LOOP": [(1, 1, NX, 6, 7), (2, 6, STD, 6, 7)];
    GroupModUnknownGroup = "OFPGMFC_UNKNOWN_GROUP": [(1, 1, NX, 6, 8), (2, 6, STD, 6, 8)];
    GroupModChainedGroup = "OFPGMFC_CHAINED_GROUP": [(1, 1, NX, 6, 9), (3, 6, STD, 6, 9)];
    GroupModBadType = "OFPGMFC_BAD_TYPE": [(1, 1, NX, 6, 10), (3, 6, STD, 6, 10)];
    GroupModBadCommand = "OFPGMFC_BAD_COMMAND": [(1, 1, NX, 6, 11), (3, 6, STD, 6, 11)];
    GroupModBadBucket = "OFPGMFC_BAD_BUCKET": [(1, 1, NX, 6, 12), (3, 6, STD, 6, 12)];
    GroupModBadWatch = "OFPGMFC_BAD_WATCH": [(1, 1, NX, 6, 13), (3, 6, STD, 6, 13)];
    GroupModEperm = "OFPGMFC_EPERM": [(1, 1, NX, 6, 14), (3, 6, STD, 6, 14)];
    GroupModUnknownBucket = "OFPGMFC_UNKNOWN_BUCKET": [(1, 1, NX, 6, 15), (6, 6, STD, 6, 15)];
    GroupModBucketExists = "OFPGMFC_BUCKET_EXISTS": [(1, 1, NX, 6, 16), (6, 6, STD, 6, 16)];
    PortModBadPort = "OFPPMFC_BAD_PORT": [(1, 1, STD, 4, 0), (2, 6, STD, 7, 0)];
    PortModBadHwAddr = "OFPPMFC_BAD_HW_ADDR": [(1, 1, STD, 4, 1), (2, 6, STD, 7, 1)];
    PortModBadConfig = "OFPPMFC_BAD_CONFIG": [(2, 6, STD, 7, 2)];
    PortModBadAdvertise = "OFPPMFC_BAD_ADVERTISE": [(2, 6, STD, 7, 3)];
    PortModEperm = "OFPPMFC_EPERM": [(3, 6, STD, 7, 4)];
    TableModBadTable = "OFPTMFC_BAD_TABLE": [(2, 6, STD, 8, 0)];
    TableModBadConfig = "OFPTMFC_BAD_CONFIG": [(2, 6, STD, 8, 1)];
    TableModEperm = "OFPTMFC_EPERM": [(3, 6, STD, 8, 2)];
    QueueBadPort = "OFPQOFC_BAD_PORT": [(1, 1, STD, 5, 0), (2, 6, STD, 9, 0)];
    QueueBadQueue = "OFPQOFC_BAD_QUEUE": [(1, 1, STD, 5, 1), (2, 6, STD, 9, 1)];
    QueueEperm = "OFPQOFC_EPERM": [(1, 1, STD, 5, 2), (2, 6, STD, 9, 2)];
    NxQueueError = "NXQOFC_QUEUE_ERROR": [(5, 6, NX, EXP, 23)];
    ConfigBadFlags = "OFPSCFC_BAD_FLAGS": [(2, 6, STD, 10, 0)];
    ConfigBadLen = "OFPSCFC_BAD_LEN": [(2, 6, STD, 10, 1)];
    ConfigEperm = "OFPSCFC_EPERM": [(3, 6, STD, 10, 2)];
    RoleStale = "OFPRRFC_STALE": [(3, 6, STD, 11, 0)];
    RoleUnsup = "OFPRRFC_UNSUP": [(3, 6, STD, 11, 1)];
    RoleBadRole = "OFPRRFC_BAD_ROLE": [(1, 2, NX, 1, 513), (3, 6, STD, 11, 2)];
    RoleIdUnsup = "OFPRRFC_ID_UNSUP": [(6, 6, STD, 11, 3)];
    RoleIdInUse = "OFPRRFC_ID_IN_USE": [(6, 6, STD, 11, 4)];
    MeterModUnknown = "OFPMMFC_UNKNOWN": [(4, 6, STD, 12, 0)];
    MeterModExists = "OFPMMFC_METER_EXISTS": [(4, 6, STD, 12, 1)];
    MeterModInvalidMeter = "OFPMMFC_INVALID_METER": [(4, 6, STD, 12, 2)];
    MeterModUnknownMeter = "OFPMMFC_UNKNOWN_METER": [(4, 6, STD, 12, 3)];
    MeterModBadCommand = "OFPMMFC_BAD_COMMAND": [(4, 6, STD, 12, 4)];
    MeterModBadFlags = "OFPMMFC_BAD_FLAGS": [(4, 6, STD, 12, 5)];
    MeterModBadRate = "OFPMMFC_BAD_RATE": [(4, 6, STD, 12, 6)];
    MeterModBadBurst = "OFPMMFC_BAD_BURST": [(4, 6, STD, 12, 7)];
    MeterModBadBand = "OFPMMFC_BAD_BAND": [(4, 6, STD, 12, 8)];
    MeterModBadBandValue = "OFPMMFC_BAD_BAND_VALUE": [(4, 6, STD, 12, 9)];
    MeterModOutOfMeters = "OFPMMFC_OUT_OF_METERS": [(4, 6, STD, 12, 10)];
    MeterModOutOfBands = "OFPMMFC_OUT_OF_BANDS": [(4, 6, STD, 12, 11)];
    TableFeaturesBadTable = "OFPTFFC_BAD_TABLE": [(4, 6, STD, 13, 0)];
    TableFeaturesBadMetadata = "OFPTFFC_BAD_METADATA": [(4, 6, STD, 13, 1)];
    TableFeaturesEperm = "OFPTFFC_EPERM": [(4, 6, STD, 13, 5)];
    TableFeaturesBadCapa = "OFPTFFC_BAD_CAPA": [(6, 6, STD, 13, 6)];
    TableFeaturesBadMaxEnt = "OFPTFFC_BAD_MAX_ENT": [(6, 6, STD, 13, 7)];
    TableFeaturesBadFeatures = "OFPTFFC_BAD_FEATURES": [(6, 6, STD, 13, 8)];
    TableFeaturesBadCommand = "OFPTFFC_BAD_COMMAND": [(6, 6, STD, 13, 9)];
    TableFeaturesTooMany = "OFPTFFC_TOO_MANY": [(6, 6, STD, 13, 10)];
    NxTableFeaturesDupTable = "NXTFFC_DUP_TABLE": [(4, 6, NX, EXP, 44)];
    PropertyBadType = "OFPBPC_BAD_TYPE": [(1, 2, NX, 13, 2), (3, 3, NX, EXP, 25), (4, 4, STD, 13, 2), (5, 6, STD, 14, 0)];
    PropertyBadLen = "OFPBPC_BAD_LEN": [(1, 2, NX, 13, 3), (3, 3, NX, EXP, 26), (4, 4, STD, 13, 3), (5, 6, STD, 14, 1)];
    PropertyBadValue = "OFPBPC_BAD_VALUE": [(1, 2, NX, 13, 4), (3, 3, NX, EXP, 27), (4, 4, STD, 13, 4), (5, 6, STD, 14, 2)];
    PropertyTooMany = "OFPBPC_TOO_MANY": [(1, 2, NX, 14, 3), (3, 3, NX, EXP, 28), (4, 4, ONF, EXP, 4443), (5, 6, STD, 14, 3)];
    PropertyDupType = "OFPBPC_DUP_TYPE": [(1, 2, NX, 14, 4), (3, 3, NX, EXP, 29), (4, 4, ONF, EXP, 4444), (5, 6, STD, 14, 4)];
    PropertyBadExperimenter = "OFPBPC_BAD_EXPERIMENTER": [(1, 2, NX, 14, 5), (3, 3, NX, EXP, 30), (4, 4, ONF, EXP, 4445), (5, 6, STD, 14, 5)];
    PropertyBadExpType = "OFPBPC_BAD_EXP_TYPE": [(1, 2, NX, 14, 6), (3, 3, NX, EXP, 31), (4, 4, ONF, EXP, 4446), (5, 6, STD, 14, 6)];
    PropertyBadExpValue = "OFPBPC_BAD_EXP_VALUE": [(1, 2, NX, 14, 7), (3, 3, NX, EXP, 32), (4, 4, ONF, EXP, 4447), (5, 6, STD, 14, 7)];
    PropertyEperm = "OFPBPC_EPERM": [(1, 2, NX, 14, 8), (3, 3, NX, EXP, 33), (4, 4, ONF, EXP, 4448), (5, 6, STD, 14, 8)];
    AsyncInvalid = "OFPACFC_INVALID": [(4, 4, ONF, EXP, 2370), (5, 6, STD, 15, 0)];
    AsyncUnsupported = "OFPACFC_UNSUPPORTED": [(4, 4, ONF, EXP, 2371), (5, 6, STD, 15, 1)];
    AsyncEperm = "OFPACFC_EPERM": [(4, 4, ONF, EXP, 2372), (5, 6, STD, 15, 2)];
    BundleUnknown = "OFPBFC_UNKNOWN": [(4, 4, ONF, EXP, 2300), (5, 6, STD, 17, 0)];
    BundleEperm = "OFPBFC_EPERM": [(4, 4, ONF, EXP, 2301), (5, 6, STD, 17, 1)];
    BundleBadId = "OFPBFC_BAD_ID": [(4, 4, ONF, EXP, 2302), (5, 6, STD, 17, 2)];
    BundleExist = "OFPBFC_BUNDLE_EXIST": [(4, 4, ONF, EXP, 2303), (5, 6, STD, 17, 3)];
    BundleClosed = "OFPBFC_BUNDLE_CLOSED": [(4, 4, ONF, EXP, 2304), (5, 6, STD, 17, 4)];
    BundleOutOfBundles = "OFPBFC_OUT_OF_BUNDLES": [(4, 4, ONF, EXP, 2305), (5, 6, STD, 17, 5)];
    BundleBadType = "OFPBFC_BAD_TYPE": [(4, 4, ONF, EXP, 2306), (5, 6, STD, 17, 6)];
    BundleBadFlags = "OFPBFC_BAD_FLAGS": [(4, 4, ONF, EXP, 2307), (5, 6, STD, 17, 7)];
    BundleMsgBadLen = "OFPBFC_MSG_BAD_LEN": [(4, 4, ONF, EXP, 2308), (5, 6, STD, 17, 8)];
    BundleMsgBadXid = "OFPBFC_MSG_BAD_XID": [(4, 4, ONF, EXP, 2309), (5, 6, STD, 17, 9)];
    BundleMsgUnsup = "OFPBFC_MSG_UNSUP": [(4, 4, ONF, EXP, 2310), (5, 6, STD, 17, 10)];
    BundleMsgConflict = "OFPBFC_MSG_CONFLICT": [(4, 4, ONF, EXP, 2311), (5, 6, STD, 17, 11)];
    BundleMsgTooMany = "OFPBFC_MSG_TOO_MANY": [(4, 4, ONF, EXP, 2312), (5, 6, STD, 17, 12)];
    BundleMsgFailed = "OFPBFC_MSG_FAILED": [(4, 4, ONF, EXP, 2313), (5, 6, STD, 17, 13)];
    BundleTimeout = "OFPBFC_TIMEOUT": [(4, 4, ONF, EXP, 2314), (5, 6, STD, 17, 14)];
    BundleInProgress = "OFPBFC_BUNDLE_IN_PROGRESS": [(4, 4, ONF, EXP, 2315), (5, 6, STD, 17, 15)];
    BundleSchedNotSupported = "OFPBFC_SCHED_NOT_SUPPORTED": [(6, 6, STD, 17, 16)];
    BundleSchedFuture = "OFPBFC_SCHED_FUTURE": [(6, 6, STD, 17, 17)];
    BundleSchedPast = "OFPBFC_SCHED_PAST": [(6, 6, STD, 17, 18)];
    BundleBadVersion = "OFPBFC_BAD_VERSION": [(5, 6, NX, EXP, 22)];
    MonitorUnknown = "OFPMOFC_UNKNOWN": [(5, 6, STD, 16, 0)];
    MonitorExists = "OFPMOFC_MONITOR_EXISTS": [(1, 2, NX, 1, 517), (3, 4, NX, EXP, 6), (5, 6, STD, 16, 1)];
    MonitorInvalidMonitor = "OFPMOFC_INVALID_MONITOR": [(5, 6, STD, 16, 2)];
    MonitorUnknownId = "OFPMOFC_UNKNOWN_MONITOR": [(1, 2, NX, 1, 519), (3, 4, NX, EXP, 8), (5, 6, STD, 16, 3)];
    MonitorBadCommand = "OFPMOFC_BAD_COMMAND": [(5, 6, STD, 16, 4)];
    MonitorBadFlags = "OFPMOFC_BAD_FLAGS": [(1, 2, NX, 1, 518), (3, 4, NX, EXP, 7), (5, 6, STD, 16, 5)];
    MonitorBadTableId = "OFPMOFC_BAD_TABLE_ID": [(5, 6, STD, 16, 6)];
    MonitorBadOut = "OFPMOFC_BAD_OUT": [(5, 6, STD, 16, 7)];
    NxTlvBadCommand = "NXTTMFC_BAD_COMMAND": [(1, 2, NX, 1, 527), (3, 6, NX, EXP, 16)];
    NxTlvBadOptLen = "NXTTMFC_BAD_OPT_LEN": [(1, 2, NX, 1, 528), (3, 6, NX, EXP, 17)];
    NxTlvBadFieldIdx = "NXTTMFC_BAD_FIELD_IDX": [(1, 2, NX, 1, 529), (3, 6, NX, EXP, 18)];
    NxTlvTableFull = "NXTTMFC_TABLE_FULL": [(1, 2, NX, 1, 530), (3, 6, NX, EXP, 19)];
    NxTlvAlreadyMapped = "NXTTMFC_ALREADY_MAPPED": [(1, 2, NX, 1, 531), (3, 6, NX, EXP, 20)];
    NxTlvDupEntry = "NXTTMFC_DUP_ENTRY": [(1, 2, NX, 1, 532), (3, 6, NX, EXP, 21)];
    NxTlvInvalidTlvDel = "NXTTMFC_INVALID_TLV_DEL": [(1, 2, NX, 1, 537), (3, 6, NX, EXP, 38)];
    NxResumeNotSupported = "NXR_NOT_SUPPORTED": [(1, 2, NX, 1, 533), (3, 6, NX, EXP, 34)];
    NxResumeStale = "NXR_STALE": [(1, 2, NX, 1, 534), (3, 6, NX, EXP, 35)];
    NxStatsNotConfigured = "NXST_NOT_CONFIGURED": [(1, 2, NX, 1, 535), (3, 6, NX, EXP, 36)];
}
