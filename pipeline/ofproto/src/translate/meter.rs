//! What a meter does to a flow (OpenFlow 1.3.5 §5.7).
//!
//! The datapath meters; a translation only says where. A packet whose DSCP a band may raise is no
//! longer what its key says: whoever looks at its headers next lets it be extracted anew.

use super::machine::{Machine, Stale};
use super::report::NodeKind;
use alloc::sync::Arc;
use datapath::DpAction;

impl Machine<'_> {
    /// The meter instruction, and the meter action of OpenFlow 1.5.
    pub(crate) fn meter(&mut self, id: u32) {
        self.deps.note_meter(id);
        let Some(meter) = self.input.state.meters.get(id) else {
            // Its rules go with it: this one is about to.
            self.report.say(NodeKind::Warn, format_args!("nonexistent meter {id}"));
            return;
        };
        let remarks = meter.remarks() && self.flow.is_ip();
        if remarks {
            // What was set in the DSCP before is what is raised.
            self.commit();
            self.go_stale(Stale::Network);
        }
        self.emit(DpAction::Meter(meter.dp));
        self.has_meter = true;
    }

    /// A packet for controllers, limited by the meter that the action names, or by the one for all
    /// of them.
    pub(crate) fn emit_metered(&mut self, upcall: DpAction, own: Option<u32>) {
        let meters = &self.input.state.meters;
        let ids = [own, Some(openflow::METER_CONTROLLER)];
        let mut known = ids.into_iter().flatten().filter_map(|id| {
            self.deps.note_meter(id);
            meters.get(id)
        });
        match known.next().map(|meter| meter.dp) {
            Some(dp) => self.emit_clone(Arc::from([DpAction::Meter(dp), upcall])),
            None => self.emit(upcall),
        }
    }
}
