//! Running a program of datapath actions on a group of packets.
//!
//! # Design
//! The program is run action by action, each on all packets of the group, so that an edit's code is
//! warm and an output finds its port once. Packets that an edit fails on leave the group, counted.
//! The last action that needs the packets takes them: an output *moves* them to the port; an
//! earlier one sends copies. So a frame to one port is never copied, and one that is flooded to `n`
//! ports is copied `n - 1` times. What stands after the last such action cannot be seen by anyone
//! and is not run.
//!
//! # Accounting
//! A copy counts as made even when the pool has no buffer for it: it then counts as dropped as well
//! ([`DropReason::PoolExhausted`]), and the law of [`crate::accounting`] holds without exceptions.

mod edit;
mod offload;

use flow::extract;
use packet::{Batch, Offsets, Packet};
use sync::time::Nanos;

use crate::{
    accounting::CoreCounters,
    action::{CheckPktLen, DpAction, HashAction, HashKind, Masked, SetIpv4, SetMeta},
    drop_reason::DropReason,
    ids::{CoreId, PortNo},
    input::meta_of,
    meter::{MeterTable, Passage, Verdict, Verdicts, raise_drop_precedence},
    output::Output,
    pmd::{Port, Ports},
    port::PortCounters,
    stage::Stage,
    upcall::{Upcall, UpcallReason},
};

/// Runs programs for packets of one ingress port.
pub(crate) struct Executor<'a, O: Output> {
    pub(crate) core: CoreId,
    pub(crate) port: PortNo,
    /// How often these packets were looked up before.
    pub(crate) depth: u8,
    /// None of these packets has anything left to do ([`packet::Offload`]): what is usual, known once for all.
    pub(crate) is_finished: bool,
    pub(crate) ports: &'a Ports,
    /// The ingress port's.
    pub(crate) port_counters: &'a PortCounters,
    pub(crate) counters: &'a CoreCounters,
    pub(crate) meters: &'a MeterTable,
    pub(crate) now: Nanos,
    pub(crate) stage: &'a mut Stage,
    pub(crate) out: &'a mut O,
}

impl<O: Output> Executor<'_, O> {
    /// Runs `actions` on all packets of `group`, and leaves it empty: each packet is passed on or
    /// counted.
    pub(crate) fn run(&mut self, group: &mut Batch, actions: &[DpAction]) {
        let Some(last) = actions.iter().rposition(takes_packet) else {
            return self.drop_all(group, DropReason::EmptyActions);
        };
        // What the next output cuts to.
        let mut max_len = usize::MAX;
        // Bytes that the edits of tags in a row made the packets longer.
        let mut n_grown = 0;
        for (index, action) in actions.iter().enumerate().take(last + 1) {
            if group.is_empty() {
                return;
            }
            let is_last = index == last;
            match action {
                DpAction::Output(port) => {
                    self.output(group, is_last, *port, max_len);
                    max_len = usize::MAX;
                }
                DpAction::Upcall(upcall) => {
                    let reason = UpcallReason::Action(*upcall);
                    self.each(group, is_last, |this, packet| this.upcall(packet, reason));
                }
                DpAction::SlowPath(reason) => {
                    let reason = UpcallReason::SlowPath(*reason);
                    self.each(group, is_last, |this, packet| this.upcall(packet, reason));
                }
                DpAction::Recirc(id) => {
                    self.each(group, is_last, |this, packet| this.recirculate(packet, *id));
                }
                DpAction::Clone(inner) => self.clone_to(group, is_last, inner),
                DpAction::CheckPktLen(check) => self.check_len(group, is_last, check, max_len),
                DpAction::Truncate(len) => max_len = usize::try_from(*len).unwrap_or(usize::MAX),
                DpAction::SetMeta(set) => set_meta(group, *set),
                DpAction::Hash(action) => hash(group, *action),
                DpAction::Meter(id) => self.meter(group, *id),
                DpAction::Police(id) => self.police(group, *id),
                DpAction::Drop(reason) => self.drop_all(group, *reason),
                _ => {
                    self.edit(group, action);
                    if let Some(growth) = edit::growth(action) {
                        n_grown += growth;
                        let next = actions.get(index + 1);
                        if next.and_then(edit::growth).is_none() {
                            if n_grown < 0 {
                                edit::pad(group);
                            }
                            n_grown = 0;
                        }
                    }
                }
            }
        }
        // What a meter let pass that nothing follows.
        if !group.is_empty() {
            self.drop_all(group, DropReason::EmptyActions);
        }
    }

    /// Counts and frees all packets of the group.
    pub(crate) fn drop_all(&mut self, group: &mut Batch, reason: DropReason) {
        self.port_counters.dropped(reason, group.len() as u64);
        let cache = self.out.cache();
        while let Some(packet) = group.pop() {
            cache.free(packet);
        }
    }

    /// Counts and frees one packet.
    fn drop_one(&mut self, packet: Packet, reason: DropReason) {
        self.port_counters.dropped(reason, 1);
        self.out.cache().free(packet);
    }

    /// Gives each packet of the group, or a copy of it if the group is still needed, to `sink`.
    fn each(&mut self, group: &mut Batch, is_last: bool, mut sink: impl FnMut(&mut Self, Packet)) {
        if is_last {
            for packet in group.drain(..) {
                sink(self, packet);
            }
        } else {
            for packet in group.iter() {
                if let Some(copy) = self.copy(packet) {
                    sink(self, copy);
                }
            }
        }
    }

    fn copy(&mut self, packet: &Packet) -> Option<Packet> {
        self.counters.copies.add(1);
        let copy = self.out.cache().copy(packet);
        if copy.is_none() {
            self.port_counters.dropped(DropReason::PoolExhausted, 1);
        }
        copy
    }

    /// Sends the packets, or copies of them if the group is still needed, cut to `max_len` bytes. No
    /// bytes are copied for a port by which nothing can leave.
    pub(crate) fn output(
        &mut self,
        group: &mut Batch,
        is_last: bool,
        port: PortNo,
        max_len: usize,
    ) {
        let (counters, reason) = match self.ports.get(port) {
            Some(Port { has_link: true, .. }) => return self.send(group, is_last, port, max_len),
            Some(Port { peer: Some(peer), .. }) => {
                return self.pass_through(group, is_last, (port, *peer), max_len);
            }
            Some(dark) => (&*dark.counters, DropReason::TxPortDown),
            None => (self.port_counters, DropReason::NoSuchPort),
        };
        let n = group.len() as u64;
        counters.dropped(reason, n);
        if is_last {
            while let Some(packet) = group.pop() {
                self.out.cache().free(packet);
            }
        } else {
            self.counters.copies.add(n);
        }
    }

    fn send(&mut self, group: &mut Batch, is_last: bool, port: PortNo, max_len: usize) {
        if !self.is_finished {
            return self.send_unfinished(group, is_last, port, max_len);
        }
        if !is_last {
            let mut copies = self.copies(group);
            return self.send(&mut copies, true, port, max_len);
        }
        if max_len != usize::MAX {
            for packet in group.iter_mut().filter(|packet| packet.len() > max_len) {
                // Shortening cannot fail.
                let _ = packet.set_len(max_len);
            }
        }
        self.out.transmit_all(port, group);
    }

    fn upcall(&mut self, packet: Packet, reason: UpcallReason) {
        if !packet.offload().is_none() && matches!(reason, UpcallReason::Action(_)) {
            return self.upcall_unfinished(packet, reason);
        }
        let flow = extract(packet.data(), &meta_of(&packet)).flow;
        let upcall = Upcall { packet, flow, core: self.core, port: self.port, reason };
        match self.out.upcall(upcall) {
            Ok(()) => {
                self.counters.upcalls.add(1);
                if matches!(reason, UpcallReason::Action(_)) {
                    self.counters.consumed.add(1);
                }
            }
            Err((upcall, reason)) => self.drop_one(upcall.packet, reason),
        }
    }

    fn recirculate(&mut self, mut packet: Packet, id: u32) {
        packet.meta_mut().recirc_id = id;
        if let Err((packet, reason)) = self.stage.push(self.port, self.depth, packet) {
            self.drop_one(packet, reason);
        }
    }

    fn clone_to(&mut self, group: &mut Batch, is_last: bool, inner: &[DpAction]) {
        if is_last {
            return self.run(group, inner);
        }
        let mut copies = self.copies(group);
        self.run(&mut copies, inner);
    }

    /// Runs, on the packets or on copies, the program that goes with their length.
    fn check_len(&mut self, group: &mut Batch, is_last: bool, check: &CheckPktLen, max_len: usize) {
        let mut all = if is_last { core::mem::take(group) } else { self.copies(group) };
        let (mut greater, mut less_equal) = (Batch::new(), Batch::new());
        for packet in all.drain(..) {
            // Of large frames each segment counts, as in Open vSwitch's kernel datapath.
            let len = packet.wire_len().min(max_len);
            let part = if len > check.len.into() { &mut greater } else { &mut less_equal };
            // As many as in the group: there is room.
            let _ = part.push(packet);
        }
        for (part, actions) in
            [(&mut greater, &check.greater), (&mut less_equal, &check.less_equal)]
        {
            if !part.is_empty() {
                self.run(part, actions);
            }
        }
    }

    pub(crate) fn copies(&mut self, group: &Batch) -> Batch {
        self.counters.copies.add(group.len() as u64);
        let cache = self.out.cache();
        let mut copies = Batch::new();
        for copy in group.iter().filter_map(|packet| cache.copy(packet)) {
            // As many as in the group at most: there is room.
            let _ = copies.push(copy);
        }
        let n_missing = group.len() - copies.len();
        if n_missing > 0 {
            self.port_counters.dropped(DropReason::PoolExhausted, n_missing as u64);
        }
        copies
    }

    /// Drops, remarks or lets pass each packet, as the meter says.
    fn meter(&mut self, group: &mut Batch, id: u32) {
        match self.meters.run(id, group.iter().map(Packet::len), self.now) {
            None => self.drop_all(group, DropReason::NoSuchMeter),
            Some(Passage::Free) => {}
            Some(Passage::Judged(verdicts)) => {
                self.follow(group, verdicts, DropReason::MeterExceeded);
            }
        }
    }

    /// Drops what a port or a queue may not send.
    fn police(&mut self, group: &mut Batch, id: u32) {
        let passage = self.meters.run(id, group.iter().map(Packet::len), self.now);
        if let Some(Passage::Judged(verdicts)) = passage {
            self.follow(group, verdicts, DropReason::EgressPoliced);
        }
    }

    /// Does to each packet what a meter says.
    fn follow(&mut self, group: &mut Batch, verdicts: Verdicts, too_much: DropReason) {
        let mut index = 0;
        for verdict in verdicts {
            let Some(packet) = group.get_mut(index) else { break };
            match verdict {
                Verdict::Pass => index += 1,
                Verdict::Remark(levels) => {
                    remark(packet, levels);
                    index += 1;
                }
                Verdict::Drop => {
                    let packet = group.remove(index);
                    self.drop_one(packet, too_much);
                }
            }
        }
    }

    /// Edits each packet's bytes. What is usual has a loop of its own, so that what the action says is
    /// looked at once and not for each packet.
    fn edit(&mut self, group: &mut Batch, action: &DpAction) {
        if !self.is_finished {
            return self.edit_unfinished(group, action);
        }
        use edit::whole;
        use packet::edit::{set_eth, set_ipv4, set_tcp, set_udp};
        match action {
            DpAction::SetEth(set) => {
                self.edit_each(group, |packet, _| whole(set_eth(packet, set)));
            }
            DpAction::SetIpv4(set) => {
                self.edit_each(group, |packet, at| whole(set_ipv4(packet, at, set)));
            }
            DpAction::SetTcp(set) => {
                self.edit_each(group, |packet, at| whole(set_tcp(packet, at, set)));
            }
            DpAction::SetUdp(set) => {
                self.edit_each(group, |packet, at| whole(set_udp(packet, at, set)));
            }
            DpAction::PushVlan(vlan) => {
                self.edit_each(group, |packet, at| edit::push_vlan(packet, at, *vlan));
            }
            _ => self.edit_each(group, |packet, at| edit::edit(action, packet, at)),
        }
    }

    /// Edits each packet; those that do not have the header, or the room, leave the group.
    #[inline(always)]
    fn edit_each(
        &mut self,
        group: &mut Batch,
        mut edit: impl FnMut(&mut Packet, &mut Offsets) -> Result<(), DropReason>,
    ) {
        let mut index = 0;
        while let Some(packet) = group.get_mut(index) {
            let mut offsets = packet.offsets();
            match edit(packet, &mut offsets) {
                Ok(()) => {
                    packet.set_offsets(offsets);
                    index += 1;
                }
                Err(reason) => {
                    let packet = group.remove(index);
                    self.drop_one(packet, reason);
                }
            }
        }
    }
}

/// Whether the action hands packets on or ends them, so that it must have them or copies of them.
fn takes_packet(action: &DpAction) -> bool {
    matches!(
        action,
        DpAction::Output(_)
            | DpAction::Upcall(_)
            | DpAction::SlowPath(_)
            | DpAction::Recirc(_)
            | DpAction::Clone(_)
            | DpAction::CheckPktLen(_)
            | DpAction::Meter(_)
            | DpAction::Police(_)
            | DpAction::Drop(_)
    )
}

fn set_meta(group: &mut Batch, set: SetMeta) {
    for packet in group.iter_mut() {
        let meta = packet.meta_mut();
        match set {
            SetMeta::PktMark(mark) => meta.pkt_mark = mark.over(meta.pkt_mark),
            SetMeta::SkbPriority(priority) => {
                meta.skb_priority = priority.over(meta.skb_priority);
            }
        }
    }
}

/// Raises the drop precedence of an IP packet; any other has none.
fn remark(packet: &mut Packet, levels: u8) {
    let offsets = packet.offsets();
    let flow = extract(packet.data(), &meta_of(packet)).flow;
    let tos = Masked { value: raise_drop_precedence(flow.nw_tos(), levels), mask: 0xfc };
    // A header that extraction found whole can be written.
    let _ = match flow.eth_type() {
        0x0800 => packet::edit::set_ipv4(packet, &offsets, &SetIpv4 { tos, ..SetIpv4::default() }),
        0x86dd => packet::edit::set_ipv6_class(packet, &offsets, tos),
        _ => true,
    };
}

fn hash(group: &mut Batch, action: HashAction) {
    for packet in group.iter_mut() {
        let flow = extract(packet.data(), &meta_of(packet)).flow;
        let hash = match action.kind {
            HashKind::L4 => flow.hash_5tuple(action.basis),
            HashKind::SymL4 => flow.hash_symmetric_l4(action.basis),
        };
        // Zero stands for "no hash".
        packet.meta_mut().dp_hash = hash.max(1);
    }
}
