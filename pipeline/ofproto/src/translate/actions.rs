//! What each OpenFlow action does to a translation (OpenFlow 1.0.1 §3.3 and §5.2.4, 1.3.5 §5.12
//! and §7.2.5, and Nicira's extensions).

use super::machine::{Machine, Stale};
use super::report::NodeKind;
use super::step::{LookupKind, Step, Verdict};
use crate::events::MissKind;
use alloc::sync::Arc;
use datapath::{DpAction, DropReason, TtlCopy};
use flow::Field;
use flow::layout::is_of_pipeline;
use openflow::{Action, ControllerAction, OfPort, PacketInReason, Subfield};

impl Machine<'_> {
    /// Does one action, or says what must be done about it.
    pub(crate) fn act(&mut self, action: &Action) -> Verdict {
        if self.stale != Stale::No && needs_headers(action, self.stale) {
            return Verdict::Freeze(None);
        }
        if let Some((field, value, mask)) = action.written() {
            self.set_field(field, value, mask);
            return Verdict::Next;
        }
        match action {
            Action::Output { port, max_len } => return self.output(*port, *max_len),
            Action::Controller(controller) if controller.pause => {
                return Verdict::Pause(controller.clone());
            }
            Action::Controller(controller) => self.controller_action(controller),
            Action::OutputReg { src, max_len } => {
                let number = self.read(*src);
                return match u16::try_from(number) {
                    Ok(number) => self.output(OfPort::from_u16(number), *max_len),
                    Err(_) => Verdict::Next,
                };
            }
            Action::OutputTrunc { port, max_len } => self.output_truncated(*port, *max_len),
            Action::Enqueue { port, queue } => {
                let old = self.flow.skb_priority();
                self.set_queue(*queue);
                let verdict = self.output(*port, 0);
                self.flow.set_skb_priority(old);
                return verdict;
            }
            Action::SetQueue(queue) => self.set_queue(*queue),
            Action::PopQueue => {
                self.mask.set_exact(Field::SkbPriority);
                self.flow.set_skb_priority(self.input.flow.skb_priority());
            }
            Action::Group(group) => return self.group(*group),
            Action::Meter(meter) => self.meter(*meter),
            Action::SetVlanVid(vid) => self.set_vlan_vid(*vid),
            Action::SetVlanPcp(pcp) => self.set_vlan_pcp(*pcp),
            Action::PushVlan(tpid) => self.push_vlan(*tpid),
            Action::PopVlan => self.pop_vlan(),
            Action::PushMpls(ethertype) => self.push_mpls(*ethertype),
            Action::PopMpls(ethertype) => self.pop_mpls(*ethertype),
            Action::SetTpSrc(port) => {
                self.set_transport([Field::TcpSrc, Field::UdpSrc, Field::SctpSrc], *port);
            }
            Action::SetTpDst(port) => {
                self.set_transport([Field::TcpDst, Field::UdpDst, Field::SctpDst], *port);
            }
            Action::Move { src, dst } => self.move_field(*src, *dst),
            Action::StackPush(src) => {
                let value = self.read(*src);
                // Depth is bounded by the bound on lookups times actions; this bounds memory.
                if self.stack.len() < MAX_STACK {
                    self.stack.push(value);
                }
            }
            Action::StackPop(dst) => {
                if let Some(value) = self.stack.pop() {
                    self.set_field(dst.field, (value & dst.max_value()) << dst.offset, dst.mask());
                }
            }
            Action::DecTtl(controllers) => return self.dec_ttl(controllers),
            Action::DecMplsTtl => return self.dec_mpls_ttl(),
            Action::Resubmit { port, table } => {
                let current = OfPort(self.flow.in_port());
                return Verdict::Call(Step::Lookup {
                    table_id: if *table == 0xff { self.origin.table_id } else { *table },
                    kind: LookupKind::Resubmit,
                    in_port: if *port == OfPort::IN_PORT { current } else { *port },
                });
            }
            Action::Learn(learn) => self.learn(learn),
            Action::CopyTtlOut => self.copy_ttl(TtlCopy::Out),
            Action::CopyTtlIn => self.copy_ttl(TtlCopy::In),
            Action::PushPbb(_) => self.push_pbb(),
            Action::PopPbb => self.pop_pbb(),
            Action::CheckPktLarger { len, dst } => return self.check_len(*len, *dst),
            Action::Sample(_) => self
                .report
                .say(NodeKind::Detail, format_args!("no collector of flow samples is configured")),
            Action::DeleteField(field) => self.set_field(*field, 0, field.ones()),
            Action::Multipath(multipath) => self.multipath(multipath),
            Action::Bundle(bundle) => return self.bundle(bundle),
            Action::FinTimeout { idle_timeout, hard_timeout } => {
                self.fin_timeout(*idle_timeout, *hard_timeout);
            }
            Action::Clone(actions) => return Verdict::Call(Step::Clone(Arc::from(&actions[..]))),
            Action::Exit => return Verdict::Exit,
            // Without effect, refused in rules (`check.rs`), or a writer of a field, done above.
            _ => {}
        }
        Verdict::Next
    }

    fn check_len(&mut self, len: u16, dst: Subfield) -> Verdict {
        if self.has_field(dst.field) { Verdict::Fork(len, dst) } else { Verdict::Next }
    }

    fn set_queue(&mut self, queue: u32) {
        self.mask.set_exact(Field::SkbPriority);
        self.flow.set_skb_priority(queue);
    }

    /// The value of a subfield, which the translation depends on from here.
    pub(crate) fn read(&mut self, src: Subfield) -> u128 {
        self.mask.add(src.field, src.mask());
        src.get(self.flow.get(src.field))
    }

    fn controller_action(&mut self, controller: &ControllerAction) {
        let is_miss = self.origin.is_table_miss
            && !self.origin.is_action_set
            && controller.reason == PacketInReason::Action;
        let miss = if is_miss { MissKind::Explicit } else { MissKind::None };
        self.controller(controller, miss);
    }

    fn output_truncated(&mut self, port: OfPort, max_len: u32) {
        let refused = match port {
            // As Open vSwitch, which truncates for ports that are named only.
            OfPort::IN_PORT => Some("output_trunc does not support port: IN_PORT"),
            _ if port.0 == self.flow.in_port() => Some("skipping output to input port"),
            _ => None,
        };
        if let Some(why) = refused {
            return self.not_sent(DropReason::OutputToInPort, format_args!("{why}"));
        }
        let n_before = self.actions.len();
        self.commit();
        self.emit(DpAction::Truncate(max_len));
        let n_truncated = self.actions.len();
        self.send(port);
        if self.actions.len() == n_truncated {
            self.actions.truncate(n_truncated.saturating_sub(1).max(n_before));
        }
    }
}

/// Entries of the packet's stack at most.
const MAX_STACK: usize = 4096;

/// Whether an action reads or writes what a stale flow does not tell.
fn needs_headers(action: &Action, stale: Stale) -> bool {
    let first = match stale {
        Stale::No => return false,
        Stale::Network => flow::layout::MPLS,
        Stale::All => flow::layout::ETH_DST,
    };
    // The Ethernet type stands before the tags in the key, and behind them in the frame.
    let is_behind = |field: Field| {
        let word = usize::from(field.spec().location.word);
        word >= first && !is_of_pipeline(word) || field == Field::EthType
    };
    if let Some((field, ..)) = action.written() {
        return is_behind(field);
    }
    match action {
        Action::Move { src, dst } => is_behind(src.field) || is_behind(dst.field),
        // The register may name the port that forwards normally.
        Action::OutputReg { src, .. } => stale == Stale::All || is_behind(src.field),
        Action::StackPush(part) | Action::StackPop(part) => is_behind(part.field),
        Action::Output { port: OfPort::NORMAL, .. } => stale == Stale::All,
        Action::CheckPktLarger { dst, .. } => is_behind(dst.field),
        Action::PushMpls(_)
        | Action::PopMpls(_)
        | Action::CopyTtlOut
        | Action::CopyTtlIn
        | Action::PushPbb(_)
        | Action::PopPbb
        | Action::DecTtl(_)
        | Action::DecMplsTtl
        | Action::Learn(_)
        | Action::Multipath(_)
        | Action::Bundle(_)
        | Action::FinTimeout { .. }
        | Action::SetTpSrc(_)
        | Action::SetTpDst(_)
        | Action::PopVlan
        | Action::PushVlan(_)
        | Action::SetVlanVid(_)
        | Action::SetVlanPcp(_) => true,
        _ => false,
    }
}
