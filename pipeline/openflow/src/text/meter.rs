//! Meters as `ovs-ofctl` reads and prints them:
//! `meter=1 kbps burst stats bands=type=drop rate=1000 burst_size=100`.

use core::fmt::{self, Display, Formatter};

use flow::text::KeyValues;

use super::error::{TextError, TextProblem};
use super::parse_action::int;
use crate::{
    BandKind, METER_ALL, METER_CONTROLLER, METER_SLOWPATH, MeterBand, MeterConfig, MeterFlags,
    MeterStats,
};

type Result<T> = core::result::Result<T, TextError>;

/// Reads a meter as `ovs-ofctl add-meter` takes it: without a unit it is `kbps`.
///
/// # Errors
/// When the text is no meter.
pub fn parse_meter(text: &str) -> Result<MeterConfig> {
    let mut out =
        MeterConfig { flags: MeterFlags::empty(), meter_id: 0, bands: alloc::vec::Vec::new() };
    let (head, bands) = match text.split_once("bands=").or_else(|| text.split_once("band=")) {
        Some((head, bands)) => (head, bands),
        None => (text, ""),
    };
    for (key, value) in KeyValues::new(head) {
        match key {
            "kbps" => out.flags |= MeterFlags::KBPS,
            "pktps" => out.flags |= MeterFlags::PKTPS,
            "burst" => out.flags |= MeterFlags::BURST,
            "stats" => out.flags |= MeterFlags::STATS,
            "meter" => {
                out.meter_id = match value {
                    "all" => METER_ALL,
                    "controller" => METER_CONTROLLER,
                    "slowpath" => METER_SLOWPATH,
                    id => int(id)?,
                };
            }
            _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
        }
    }
    if !out.flags.intersects(MeterFlags::KBPS | MeterFlags::PKTPS) {
        out.flags |= MeterFlags::KBPS;
    }
    for (key, value) in KeyValues::new(bands) {
        if key == "type" {
            let kind = match value {
                "drop" => BandKind::Drop,
                "dscp_remark" => BandKind::DscpRemark(0),
                _ => return Err(TextError::new(TextProblem::UnknownKeyword, value)),
            };
            out.bands.push(MeterBand { kind, rate: 0, burst_size: 0 });
            continue;
        }
        let unknown = || TextError::new(TextProblem::UnknownKeyword, key);
        let band = out.bands.last_mut().ok_or_else(unknown)?;
        match (key, &mut band.kind) {
            ("rate", _) => band.rate = int(value)?,
            ("burst_size", _) => {
                band.burst_size = int(value)?;
                out.flags |= MeterFlags::BURST;
            }
            ("prec_level", BandKind::DscpRemark(level)) => *level = int(value)?,
            _ => return Err(unknown()),
        }
    }
    Ok(out)
}

/// The name of a meter's number.
struct MeterId(u32);

impl Display for MeterId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            METER_ALL => f.write_str("all"),
            METER_CONTROLLER => f.write_str("controller"),
            METER_SLOWPATH => f.write_str("slowpath"),
            id => id.fmt(f),
        }
    }
}

impl Display for MeterConfig {
    /// As `dump-meters` prints it, but on one line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "meter={} ", MeterId(self.meter_id))?;
        let names = [
            (MeterFlags::KBPS, "kbps "),
            (MeterFlags::PKTPS, "pktps "),
            (MeterFlags::BURST, "burst "),
            (MeterFlags::STATS, "stats "),
        ];
        for (flag, name) in names {
            f.write_str(if self.flags.contains(flag) { name } else { "" })?;
        }
        f.write_str("bands=")?;
        for (place, band) in self.bands.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { " " })?;
            let name = match band.kind {
                BandKind::Drop => "drop",
                BandKind::DscpRemark(_) => "dscp_remark",
            };
            write!(f, "type={name} rate={}", band.rate)?;
            if self.flags.contains(MeterFlags::BURST) {
                write!(f, " burst_size={}", band.burst_size)?;
            }
            if let BandKind::DscpRemark(level) = band.kind {
                write!(f, " prec_level={level}")?;
            }
        }
        Ok(())
    }
}

impl Display for MeterStats {
    /// As `meter-stats` prints it, but on one line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "meter:{} flow_count:{} packet_in_count:{} byte_in_count:{} duration:{}.{:03}s bands:",
            MeterId(self.meter_id),
            self.flow_count,
            self.packet_in_count,
            self.byte_in_count,
            self.duration_sec,
            self.duration_nsec / 1_000_000
        )?;
        self.bands.iter().enumerate().try_for_each(|(place, (packets, bytes))| {
            write!(f, " {place}: packet_count:{packets} byte_count:{bytes}")
        })
    }
}
