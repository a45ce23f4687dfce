//! Actions that teach: `learn` and `fin_timeout`. What they would do to the tables goes out as credits.

use super::machine::Machine;
use super::report::NodeKind;
use crate::learn::Learned;
use crate::ukey::Credit;
use alloc::sync::Arc;
use flow::proto::ip_proto;
use flow::{Field, Prereq};
use openflow::Learn;

/// TCP's FIN and RST.
const ENDS: u16 = 0b101;

impl Machine<'_> {
    pub(crate) fn learn(&mut self, learn: &Learn) {
        for src in learn.sources() {
            self.read(src);
        }
        let learned = Learned::from(learn, self.flow, self.rule.rule());
        self.report.say(NodeKind::Detail, format_args!("{learned}"));
        let fits = learned.fits(&self.input.state.tables);
        if learn.limit != 0 {
            self.deps.note_everything();
        }
        if let Some(dst) = learn.result_dst {
            self.set_field(dst.field, u128::from(fits) << dst.offset, dst.mask());
        }
        if fits {
            self.credits.push(Credit::Learn(Arc::new(learned)));
        } else {
            self.report.say(NodeKind::Detail, format_args!("Limit exceeded, learn failed"));
        }
    }

    /// The packets that end a connection have a megaflow of their own, which says so when it is
    /// credited.
    pub(crate) fn fin_timeout(&mut self, idle_timeout: u16, hard_timeout: u16) {
        self.mask.set_exact(Field::IpProto);
        if !Prereq::Tcp.holds(self.flow) || self.input.flow.nw_proto() != ip_proto::TCP {
            return;
        }
        self.mask.add(Field::TcpFlags, ENDS.into());
        if self.flow.tcp_flags() & ENDS != 0
            && let Some(rule) = self.rule.rule()
        {
            self.credits.push(Credit::Fin { rule, idle_timeout, hard_timeout });
        }
    }
}
