//! Groups as `ovs-ofctl` reads and prints them:
//! `group_id=1,type=select,bucket=weight:2,actions=output:1,bucket=actions=output:2`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter, Write as _};

use flow::Field;
use flow::text::{KeyValues, NoNames, PortNames, parse_port, parse_value};

use super::error::{TextError, TextProblem};
use super::format::ActionsText;
use super::parse_action::{int, parse_actions};
use crate::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, Bucket, GROUP_ALL, GROUP_ANY, GroupDesc, GroupMod,
    GroupModCommand, GroupStats, GroupType, OfPort, Selection, SelectionMethod,
};

type Result<T> = core::result::Result<T, TextError>;

/// Reads a group as `ovs-ofctl add-group`, `mod-group`, `del-groups`, `insert-buckets` and
/// `remove-buckets` take it.
///
/// # Errors
/// When the text is no group.
pub fn parse_group(
    text: &str,
    command: GroupModCommand,
    ports: &dyn PortNames,
) -> Result<GroupMod> {
    let mut out = GroupMod { command, ..GroupMod::default() };
    if command == GroupModCommand::Delete {
        out.group_id = GROUP_ALL;
    }
    let mut parts = text.split("bucket=");
    // `command_bucket_id=` is no bucket: its `_id` keeps the split from finding it.
    for (key, value) in KeyValues::new(parts.next().unwrap_or_default()) {
        match key {
            "group_id" if value == "all" => out.group_id = GROUP_ALL,
            "group_id" => out.group_id = int(value)?,
            "type" => out.group_type = group_type(value)?,
            "command_bucket_id" => {
                out.command_bucket_id = match value {
                    "first" => BUCKET_FIRST,
                    "last" => BUCKET_LAST,
                    "all" => BUCKET_ALL,
                    id => int(id)?,
                };
            }
            "selection_method" => {
                out.selection.method = match value {
                    "hash" => SelectionMethod::Hash,
                    "dp_hash" => SelectionMethod::DpHash,
                    _ => return Err(bad(value, "hash or dp_hash")),
                };
            }
            "selection_method_param" => out.selection.param = int(value)?,
            "fields" => out.selection.fields = fields(value, ports)?,
            _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
        }
    }
    for (place, part) in (0..).zip(parts) {
        let bucket = bucket(part, place, out.group_type, ports)?;
        out.buckets.push(bucket);
    }
    Ok(out)
}

fn group_type(text: &str) -> Result<GroupType> {
    Ok(match text {
        "all" => GroupType::All,
        "select" => GroupType::Select,
        "indirect" => GroupType::Indirect,
        "ff" | "fast_failover" => GroupType::FastFailover,
        _ => return Err(bad(text, "all, select, indirect or ff")),
    })
}

/// `eth_src,ip_dst=255.255.0.0`: fields, each with the mask of it that counts.
fn fields(text: &str, ports: &dyn PortNames) -> Result<Vec<(Field, u128)>> {
    let mut fields = Vec::new();
    for (name, value) in KeyValues::new(text) {
        let field = Field::from_name(name)
            .ok_or_else(|| TextError::new(TextProblem::UnknownKeyword, name))?;
        let mask = match value {
            "" => field.ones(),
            mask => parse_value(field, mask, ports)?.0,
        };
        fields.push((field, mask & field.ones()));
    }
    fields.sort_by_key(|(field, _)| *field as usize);
    Ok(fields)
}

fn bucket(text: &str, place: u32, group_type: GroupType, ports: &dyn PortNames) -> Result<Bucket> {
    let mut bucket = Bucket::new(place, Vec::new());
    bucket.weight = u16::from(group_type == GroupType::Select);
    let mut actions = String::new();
    for (key, value) in KeyValues::new(text) {
        match key {
            "bucket_id" => bucket.bucket_id = int(value)?,
            "weight" => bucket.weight = int(value)?,
            "watch_port" => {
                let port = parse_port(value, ports).map(OfPort);
                bucket.watch_port =
                    port.ok_or_else(|| TextError::new(TextProblem::UnknownPort, value))?;
            }
            "watch_group" => bucket.watch_group = int(value)?,
            // Writing to a string cannot fail.
            "actions" | "action" => drop(write!(actions, "{value},")),
            _ if value.is_empty() => drop(write!(actions, "{key},")),
            _ => drop(write!(actions, "{key}({value}),")),
        }
    }
    bucket.actions = parse_actions(actions.trim_end_matches(','), ports)?;
    Ok(bucket)
}

fn bad(text: &str, form: &'static str) -> TextError {
    TextError::new(TextProblem::BadArgument(form), text)
}

/// A group as `dump-groups` prints it.
#[derive(Clone, Copy)]
pub struct GroupText<'a> {
    /// The group.
    pub desc: &'a GroupDesc,
    /// Whether buckets are numbered, as in 1.5.
    pub show_bucket_ids: bool,
    /// Names of ports.
    pub ports: &'a dyn PortNames,
}

impl fmt::Debug for GroupText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for GroupText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let GroupDesc { group_type, group_id, buckets, selection } = self.desc;
        let name = match group_type {
            GroupType::All => "all",
            GroupType::Select => "select",
            GroupType::Indirect => "indirect",
            GroupType::FastFailover => "ff",
        };
        write!(f, "group_id={group_id},type={name}")?;
        selection_text(selection, f)?;
        buckets.iter().try_for_each(|bucket| {
            f.write_str(",")?;
            self.bucket(bucket, f)
        })
    }
}

impl GroupText<'_> {
    fn bucket(&self, bucket: &Bucket, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("bucket=")?;
        if self.show_bucket_ids {
            write!(f, "bucket_id:{},", bucket.bucket_id)?;
        }
        if bucket.weight != u16::from(self.desc.group_type == GroupType::Select) {
            write!(f, "weight:{},", bucket.weight)?;
        }
        if bucket.watch_port != OfPort::ANY {
            match self.ports.name(bucket.watch_port.0) {
                Some(name) => write!(f, "watch_port:{name},")?,
                None => write!(f, "watch_port:{},", bucket.watch_port)?,
            }
        }
        if bucket.watch_group != GROUP_ANY {
            write!(f, "watch_group:{},", bucket.watch_group)?;
        }
        let list = ActionsText { actions: &bucket.actions, ports: self.ports };
        write!(f, "actions={list}")
    }
}

fn selection_text(selection: &Selection, f: &mut Formatter<'_>) -> fmt::Result {
    if selection.method == SelectionMethod::Default {
        return Ok(());
    }
    write!(f, ",selection_method={}", selection.method.name())?;
    if selection.param != 0 {
        write!(f, ",selection_method_param={}", selection.param)?;
    }
    let (open, close) = match selection.fields.len() {
        0 => return Ok(()),
        1 => ("=", ""),
        _ => ("(", ")"),
    };
    write!(f, ",fields{open}")?;
    for (place, (field, mask)) in selection.fields.iter().enumerate() {
        f.write_str(if place == 0 { "" } else { "," })?;
        f.write_str(field.name())?;
        if *mask != field.ones() {
            write!(f, "={mask:#x}")?;
        }
    }
    f.write_str(close)
}

impl Display for GroupDesc {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        GroupText { desc: self, show_bucket_ids: false, ports: &NoNames }.fmt(f)
    }
}

impl Display for GroupStats {
    /// As `dump-group-stats` prints it.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "group_id={},duration={}.{:03}s,ref_count={},packet_count={},byte_count={}",
            self.group_id,
            self.duration_sec,
            self.duration_nsec / 1_000_000,
            self.ref_count,
            self.packet_count,
            self.byte_count
        )?;
        self.buckets.iter().enumerate().try_for_each(|(place, (packets, bytes))| {
            write!(f, ",bucket{place}:packet_count={packets},byte_count={bytes}")
        })
    }
}
