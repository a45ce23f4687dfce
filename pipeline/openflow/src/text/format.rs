//! Printing actions, instructions and rules.

use core::fmt::{self, Display, Formatter};

use flow::Field;
use flow::text::{MatchText, NoNames, PortNames, PortText, ValueText};

use super::{nicira, stat_trigger};
use crate::Version;
use crate::{
    Action, ControllerAction, DEFAULT_PRIORITY, FlowMod, FlowModCommand, FlowModFlags, FlowStats,
    Instructions, OfPort, PacketInReason, Subfield,
};

impl Display for Subfield {
    /// `NXM_NX_REG0[]`, `NXM_NX_REG0[3]`, `NXM_NX_REG0[0..15]`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_long_port = self.field == Field::InPort && !self.is_short_port();
        let id = self.field.wire_id(if is_long_port { Version::V13.wire() } else { 0 });
        let name = id.map_or(self.field.name(), |id| id.name);
        let last = u16::from(self.offset) + u16::from(self.n_bits) - 1;
        match (self.is_whole(), self.n_bits) {
            (true, _) => write!(f, "{name}[]"),
            (false, 1) => write!(f, "{name}[{}]", self.offset),
            (false, _) => write!(f, "{name}[{}..{last}]", self.offset),
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        put_action(f, self, &NoNames)
    }
}

impl Display for Instructions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&InstructionsText { instructions: self, ports: &NoNames }, f)
    }
}

impl Display for FlowStats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&FlowStatsText { stats: self, ports: &NoNames, show_stats: true }, f)
    }
}

/// A list of actions; an empty one drops.
#[expect(missing_debug_implementations, reason = "holds a caller's trait object")]
pub struct ActionsText<'a> {
    /// The actions.
    pub actions: &'a [Action],
    /// Who knows port names.
    pub ports: &'a dyn PortNames,
}

impl Display for ActionsText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.actions.is_empty() {
            return f.write_str("drop");
        }
        put_list(f, self.actions, self.ports)
    }
}

fn put_list(f: &mut Formatter<'_>, actions: &[Action], ports: &dyn PortNames) -> fmt::Result {
    for (n, action) in actions.iter().enumerate() {
        f.write_str(if n == 0 { "" } else { "," })?;
        put_action(f, action, ports)?;
    }
    Ok(())
}

/// Instructions; none at all drop.
#[expect(missing_debug_implementations, reason = "holds a caller's trait object")]
pub struct InstructionsText<'a> {
    /// The instructions.
    pub instructions: &'a Instructions,
    /// Who knows port names.
    pub ports: &'a dyn PortNames,
}

impl Display for InstructionsText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Instructions { meter, apply, clear, write, metadata, goto_table, stat_trigger } =
            self.instructions;
        if self.instructions.is_empty() {
            return f.write_str("drop");
        }
        let mut separator = "";
        let mut next = |f: &mut Formatter<'_>| {
            f.write_str(separator)?;
            separator = ",";
            Ok(())
        };
        if let Some(meter) = meter {
            next(f)?;
            write!(f, "meter:{meter}")?;
        }
        if !apply.is_empty() {
            next(f)?;
            put_list(f, apply, self.ports)?;
        }
        if *clear {
            next(f)?;
            f.write_str("clear_actions")?;
        }
        if !write.is_empty() {
            next(f)?;
            f.write_str("write_actions(")?;
            put_list(f, write, self.ports)?;
            f.write_str(")")?;
        }
        if let Some((value, mask)) = metadata {
            next(f)?;
            write!(f, "write_metadata:{value:#x}")?;
            if *mask != u64::MAX {
                write!(f, "/{mask:#x}")?;
            }
        }
        if let Some(table) = goto_table {
            next(f)?;
            write!(f, "goto_table:{table}")?;
        }
        if let Some(trigger) = stat_trigger {
            next(f)?;
            stat_trigger::put(f, trigger)?;
        }
        Ok(())
    }
}

fn put_action(f: &mut Formatter<'_>, action: &Action, ports: &dyn PortNames) -> fmt::Result {
    let name = |port: OfPort| PortText { port: port.0, ports };
    match action {
        Action::Output { port: OfPort::CONTROLLER, max_len } => write!(f, "CONTROLLER:{max_len}"),
        Action::Output { port, .. } if port.0 < OfPort::MAX.0 => {
            write!(f, "output:{}", name(*port))
        }
        Action::Output { port, .. } => name(*port).fmt(f),
        Action::Controller(controller) => put_controller(f, controller),
        Action::OutputReg { src, .. } => write!(f, "output:{src}"),
        Action::OutputTrunc { port, max_len } => {
            write!(f, "output(port={},max_len={max_len})", name(*port))
        }
        Action::Enqueue { port, queue } => write!(f, "enqueue:{}:{queue}", name(*port)),
        Action::Group(group) => write!(f, "group:{group}"),
        Action::SetVlanVid(vid) => write!(f, "mod_vlan_vid:{vid}"),
        Action::SetVlanPcp(pcp) => write!(f, "mod_vlan_pcp:{pcp}"),
        Action::PopVlan => f.write_str("pop_vlan"),
        Action::PushVlan(ethertype) => write!(f, "push_vlan:{ethertype:#x}"),
        Action::SetTpSrc(port) => write!(f, "mod_tp_src:{port}"),
        Action::SetTpDst(port) => write!(f, "mod_tp_dst:{port}"),
        Action::SetField { field, value, mask } => {
            let text = ValueText { field: *field, value: *value, mask: *mask, ports };
            write!(f, "set_field:{text}->{}", field.name())
        }
        Action::Load { dst, value: 0 } => write!(f, "load:0->{dst}"),
        Action::Load { dst, value } => write!(f, "load:{value:#x}->{dst}"),
        Action::Move { src, dst } => write!(f, "move:{src}->{dst}"),
        Action::StackPush(part) => write!(f, "push:{part}"),
        Action::StackPop(part) => write!(f, "pop:{part}"),
        Action::PushMpls(ethertype) => write!(f, "push_mpls:{ethertype:#06x}"),
        Action::PopMpls(ethertype) => write!(f, "pop_mpls:{ethertype:#06x}"),
        Action::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
        Action::DecMplsTtl => f.write_str("dec_mpls_ttl"),
        Action::SetNwTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
        Action::DecTtl(ids) if *ids == [0] => f.write_str("dec_ttl"),
        Action::DecTtl(ids) => {
            f.write_str("dec_ttl(")?;
            for (n, id) in ids.iter().enumerate() {
                write!(f, "{}{id}", if n == 0 { "" } else { "," })?;
            }
            f.write_str(")")
        }
        Action::CopyTtlOut => f.write_str("copy_ttl_out"),
        Action::CopyTtlIn => f.write_str("copy_ttl_in"),
        Action::SetQueue(queue) => write!(f, "set_queue:{queue}"),
        Action::PopQueue => f.write_str("pop_queue"),
        Action::Meter(meter) => write!(f, "meter:{meter}"),
        Action::PushPbb(ethertype) => write!(f, "push_pbb:{ethertype:#x}"),
        Action::PopPbb => f.write_str("pop_pbb"),
        Action::Resubmit { port, table: u8::MAX } if *port != OfPort::IN_PORT => {
            write!(f, "resubmit:{}", name(*port))
        }
        Action::Resubmit { port, table } => {
            f.write_str("resubmit(")?;
            if *port != OfPort::IN_PORT {
                name(*port).fmt(f)?;
            }
            f.write_str(",")?;
            if *table != u8::MAX {
                table.fmt(f)?;
            }
            f.write_str(")")
        }
        Action::Note(note) => {
            f.write_str("note:")?;
            put_hex(f, note)
        }
        Action::Exit => f.write_str("exit"),
        Action::FinTimeout { idle_timeout, hard_timeout } => {
            f.write_str("fin_timeout(")?;
            let separator = if *idle_timeout != 0 && *hard_timeout != 0 { "," } else { "" };
            if *idle_timeout != 0 {
                write!(f, "idle_timeout={idle_timeout}{separator}")?;
            }
            if *hard_timeout != 0 {
                write!(f, "hard_timeout={hard_timeout}")?;
            }
            f.write_str(")")
        }
        Action::Learn(learn) => nicira::put_learn(f, learn, ports),
        Action::Conjunction { id, clause, n_clauses } => {
            write!(f, "conjunction({id},{}/{n_clauses})", u16::from(*clause) + 1)
        }
        Action::Multipath(multipath) => nicira::put_multipath(f, multipath),
        Action::Bundle(bundle) => nicira::put_bundle(f, bundle, ports),
        Action::Clone(actions) => {
            write!(f, "clone({})", ActionsText { actions, ports })
        }
        Action::Sample(sample) => nicira::put_sample(f, sample, ports),
        Action::DeleteField(field) => write!(f, "delete_field:{}", field.name()),
        Action::CheckPktLarger { len, dst } => write!(f, "check_pkt_larger({len})->{dst}"),
    }
}

fn put_controller(f: &mut Formatter<'_>, controller: &ControllerAction) -> fmt::Result {
    let ControllerAction { max_len, controller_id, reason, userdata, pause, meter_id } = controller;
    let is_plain = *reason == PacketInReason::Action
        && *controller_id == 0
        && userdata.is_empty()
        && !pause
        && meter_id.is_none();
    if is_plain {
        return write!(f, "CONTROLLER:{max_len}");
    }
    let mut separator = "";
    let mut next = |f: &mut Formatter<'_>| {
        f.write_str(separator)?;
        separator = ",";
        Ok(())
    };
    f.write_str("controller(")?;
    if *reason != PacketInReason::Action {
        next(f)?;
        write!(f, "reason={}", reason.name())?;
    }
    if *max_len != u16::MAX {
        next(f)?;
        write!(f, "max_len={max_len}")?;
    }
    if *controller_id != 0 {
        next(f)?;
        write!(f, "id={controller_id}")?;
    }
    if !userdata.is_empty() {
        next(f)?;
        f.write_str("userdata=")?;
        put_hex(f, userdata)?;
    }
    if *pause {
        next(f)?;
        f.write_str("pause")?;
    }
    if let Some(meter) = meter_id {
        next(f)?;
        write!(f, "meter_id={meter}")?;
    }
    f.write_str(")")
}

fn put_hex(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (n, byte) in bytes.iter().enumerate() {
        write!(f, "{}{byte:02x}", if n == 0 { "" } else { "." })?;
    }
    Ok(())
}

/// A rule as a line of `ovs-ofctl dump-flows`, without the space at its start.
#[expect(missing_debug_implementations, reason = "holds a caller's trait object")]
pub struct FlowStatsText<'a> {
    /// The rule.
    pub stats: &'a FlowStats,
    /// Who knows port names.
    pub ports: &'a dyn PortNames,
    /// Whether counters and age are printed (`--no-stats` leaves them out).
    pub show_stats: bool,
}

impl Display for FlowStatsText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let FlowStatsText { stats, ports, show_stats } = *self;
        if show_stats || stats.cookie != 0 {
            write!(f, "cookie={:#x}, ", stats.cookie)?;
        }
        if show_stats {
            let duration = Duration { sec: stats.duration_sec, nsec: stats.duration_nsec };
            write!(f, "duration={duration}, ")?;
        }
        if show_stats || stats.table_id != 0 {
            write!(f, "table={}, ", stats.table_id)?;
        }
        if show_stats {
            put_counter(f, "n_packets", stats.packet_count)?;
            put_counter(f, "n_bytes", stats.byte_count)?;
        }
        if stats.idle_timeout != 0 {
            write!(f, "idle_timeout={}, ", stats.idle_timeout)?;
        }
        if stats.hard_timeout != 0 {
            write!(f, "hard_timeout={}, ", stats.hard_timeout)?;
        }
        put_flags(f, stats.flags)?;
        if stats.importance != 0 {
            write!(f, "importance={}, ", stats.importance)?;
        }
        if let Some(age) = stats.idle_age.filter(|_| show_stats) {
            write!(f, "idle_age={age}, ")?;
        }
        let hard_age = stats.hard_age.filter(|age| u32::from(*age) != stats.duration_sec);
        if let Some(age) = hard_age.filter(|_| show_stats) {
            write!(f, "hard_age={age}, ")?;
        }
        put_match(f, stats.priority, &MatchText { match_: &stats.match_, ports })?;
        let instructions = InstructionsText { instructions: &stats.instructions, ports };
        write!(f, "actions={instructions}")
    }
}

/// Priority (but the default) and match, and a space after them unless there is neither.
fn put_match(f: &mut Formatter<'_>, priority: u16, match_: &MatchText<'_>) -> fmt::Result {
    let is_default = priority == DEFAULT_PRIORITY;
    let is_catchall = match_.match_.is_catchall();
    if !is_default {
        write!(f, "priority={priority}{}", if is_catchall { " " } else { "," })?;
    }
    if is_catchall { Ok(()) } else { write!(f, "{match_} ") }
}

fn put_counter(f: &mut Formatter<'_>, name: &str, counter: u64) -> fmt::Result {
    match counter {
        u64::MAX => write!(f, "{name}=?, "),
        _ => write!(f, "{name}={counter}, "),
    }
}

fn put_flags(f: &mut Formatter<'_>, flags: FlowModFlags) -> fmt::Result {
    let names = [
        (FlowModFlags::SEND_FLOW_REM, "send_flow_rem "),
        (FlowModFlags::CHECK_OVERLAP, "check_overlap "),
        (FlowModFlags::RESET_COUNTS, "reset_counts "),
        (FlowModFlags::NO_PKT_COUNTS, "no_packet_counts "),
        (FlowModFlags::NO_BYT_COUNTS, "no_byte_counts "),
    ];
    let set = names.iter().filter(|(flag, _)| flags.contains(*flag));
    set.into_iter().try_for_each(|(_, name)| f.write_str(name))
}

/// A time with as many digits as it needs: none, milliseconds, microseconds, nanoseconds.
struct Duration {
    sec: u32,
    nsec: u32,
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Duration { sec, nsec } = *self;
        match nsec {
            0 => write!(f, "{sec}s"),
            _ if nsec % 1_000_000 == 0 => write!(f, "{sec}.{:03}s", nsec / 1_000_000),
            _ if nsec % 1000 == 0 => write!(f, "{sec}.{:06}s", nsec / 1000),
            _ => write!(f, "{sec}.{nsec:09}s"),
        }
    }
}

impl Display for FlowMod {
    /// As `ovs-ofctl ofp-print` prints flow-mods.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.command {
            FlowModCommand::Add => "ADD",
            FlowModCommand::Modify => "MOD",
            FlowModCommand::ModifyStrict => "MOD_STRICT",
            FlowModCommand::Delete => "DEL",
            FlowModCommand::DeleteStrict => "DEL_STRICT",
        })?;
        if self.table_id != 0 {
            write!(f, " table:{}", self.table_id)?;
        }
        f.write_str(" ")?;
        put_match(f, self.priority, &MatchText { match_: &self.match_, ports: &NoNames })?;
        if let Some(cookie) = self.new_cookie.filter(|cookie| *cookie != 0) {
            write!(f, "cookie:{cookie:#x} ")?;
        }
        if self.cookie_mask != 0 {
            write!(f, "cookie:{:#x}/{:#x} ", self.cookie, self.cookie_mask)?;
        }
        if self.idle_timeout != 0 {
            write!(f, "idle:{} ", self.idle_timeout)?;
        }
        if self.hard_timeout != 0 {
            write!(f, "hard:{} ", self.hard_timeout)?;
        }
        if self.importance != 0 {
            write!(f, "importance:{} ", self.importance)?;
        }
        if let Some(buffer) = self.buffer_id {
            write!(f, "buf:{buffer:#x} ")?;
        }
        if self.out_port != OfPort::ANY {
            write!(f, "out_port:{} ", self.out_port)?;
        }
        put_flags(f, self.flags)?;
        write!(f, "actions={}", self.instructions)
    }
}
