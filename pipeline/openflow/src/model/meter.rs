//! Meters (1.3).

use alloc::vec::Vec;

use bitflags::bitflags;

/// `OFPM_MAX`.
pub const METER_MAX: u32 = 0xffff_0000;
/// `OFPM_SLOWPATH`.
pub const METER_SLOWPATH: u32 = 0xffff_fffd;
/// `OFPM_CONTROLLER`.
pub const METER_CONTROLLER: u32 = 0xffff_fffe;
/// `OFPM_ALL`.
pub const METER_ALL: u32 = 0xffff_ffff;

bitflags! {
    /// Flags of a meter (1.3.5 §7.3.4.4).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MeterFlags: u16 {
        /// Rates in kb/s.
        const KBPS = 1 << 0;
        /// Rates in packets a second.
        const PKTPS = 1 << 1;
        /// Bands have burst sizes.
        const BURST = 1 << 2;
        /// Collects statistics.
        const STATS = 1 << 3;
    }
}

/// What a meter-mod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum MeterModCommand {
    /// Adds a meter.
    Add = 0,
    /// Changes one.
    Modify = 1,
    /// Deletes one, or all with `METER_ALL`.
    Delete = 2,
}

/// What a band does with what is above its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// Drops it.
    Drop,
    /// Raises its drop precedence by so much.
    DscpRemark(u8),
}

/// A band (1.3.5 §7.3.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterBand {
    /// What it does.
    pub kind: BandKind,
    /// Above this rate.
    pub rate: u32,
    /// With bursts of this size.
    pub burst_size: u32,
}

/// Configuration of a meter: body of a meter-mod and of a meter-config reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// Flags.
    pub flags: MeterFlags,
    /// Its number.
    pub meter_id: u32,
    /// Its bands.
    pub bands: Vec<MeterBand>,
}

/// Change of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterModCommand,
    /// With which meter.
    pub config: MeterConfig,
}

/// Statistics of a meter (1.3.5 §7.3.5.12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    /// Its number.
    pub meter_id: u32,
    /// How many rules use it.
    pub flow_count: u32,
    /// Packets into it.
    pub packet_in_count: u64,
    /// Their bytes.
    pub byte_in_count: u64,
    /// Its age, whole seconds.
    pub duration_sec: u32,
    /// Its age, nanoseconds beyond.
    pub duration_nsec: u32,
    /// Packets and bytes of each band.
    pub bands: Vec<(u64, u64)>,
}

/// Abilities of meters (1.3.5 §7.3.5.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFeatures {
    /// How many there can be.
    pub max_meter: u32,
    /// One bit for each band type number.
    pub band_types: u32,
    /// One bit for each meter flag.
    pub capabilities: u32,
    /// How many bands a meter can have.
    pub max_bands: u8,
    /// How many colours there are.
    pub max_color: u8,
}
