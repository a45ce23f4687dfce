//! Bundles: many requests, carried out as one or not at all (OpenFlow 1.4.1 §6.8, and the ONF's
//! extension 230 of 1.3).
//!
//! # What
//! A controller collects flow-mods, group-mods, meter-mods, port-mods and packet-outs in a [`Bundle`]
//! and commits it. The requests are prepared in their order, unseen, as one change of the tables
//! ([`crate::change`]); groups and meters are prepared on a copy of their lists. If one is refused, all before it are taken back and nothing is left: no rule, no statistics, no
//! timeout, no report, no number. Otherwise tables, groups, meters and ports flip at one instant, under the write guard
//! of the state; then the packets are sent through what is in force from then on.
//!
//! # In slices
//! A bundle may have a hundred thousand requests. [`Bridge::run`] does [`BATCH`] steps in a call, so
//! that polling goes on beside it, and says to be called again at once. Who changes the tables in the
//! meantime (a flow-mod on another connection, a lost controller) has the bundle finished first, in
//! one go: changes happen in the order in which they were asked for. Timeouts wait.
//!
//! # Memory
//! Requests wait in a compact form ([`crate::staged`]), of which [`Bundle::n_bytes`] is the size; a rule goes
//! from there into its table as it is. So a bundle of a million rules takes no more at its height than
//! its rules do.

use crate::bridge::Bridge;
use crate::change::Change;
use crate::changes::SyncTicket;
use crate::check::{Known, check_packet_out};
use crate::staged::{Common, Staged, StagedRule};
use crate::sweep::Sweep;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::Dpif;
use flow::{CompactMask, CompactMatch, FlowMeta, extract};
use gradual::Queue;
use openflow::{
    Dialect, HEADER_BYTES, Instructions, Message, MeterConfig, MeterModCommand, OfErrorKind,
    PacketOut, PortMod, PortReason, Version,
};
use sync::time::Nanos;

/// Steps of a bundle in one call of [`Bridge::run`].
const BATCH: usize = 256;
/// Rules that may be looked at in one go.
const FEW_RULES: usize = 1024;
/// Requests in a bundle.
pub const MAX_BUNDLED: usize = 2_000_000;

/// Requests to be carried out as one.
#[derive(Clone, Debug)]
pub struct Bundle {
    dialect: Dialect,
    requests: Queue<Staged>,
    /// What its rules have in common.
    common: Option<Box<Common>>,
    n_bytes: usize,
    /// The meters that its requests set, in their order.
    meters: Vec<MeterConfig>,
}

impl Bundle {
    /// An empty bundle of a connection that speaks `dialect`.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        let (requests, meters) = (Queue::new(), Vec::new());
        Self { dialect, requests, common: None, n_bytes: 0, meters }
    }

    /// Adds a request: a whole message with its header.
    ///
    /// # Errors
    /// It cannot be decoded, cannot be in a bundle, or is one too many.
    pub fn add(&mut self, message: &[u8]) -> Result<(), OfErrorKind> {
        if self.requests.len() >= MAX_BUNDLED {
            return Err(OfErrorKind::BundleMsgTooMany);
        }
        if message.len() < HEADER_BYTES {
            return Err(OfErrorKind::BundleMsgBadLen);
        }
        let version = self.dialect.version;
        if let Some(common) = &mut self.common
            && let Some(staged) = Staged::alike(message, version, common)
        {
            self.n_bytes += staged.n_bytes();
            self.requests.push_back(staged);
            return Ok(());
        }
        let (_, decoded) = self.dialect.decode(message).map_err(|error| error.error.kind)?;
        let staged = match decoded {
            Message::FlowMod(flow_mod) => {
                let common = self.common.get_or_insert_with(|| {
                    self.n_bytes += Common::N_BYTES;
                    Box::default()
                });
                Staged::rule(&flow_mod, message, version, common)
            }
            Message::MeterMod(meter_mod) => {
                if meter_mod.command != MeterModCommand::Delete {
                    self.meters.push(meter_mod.config);
                }
                None
            }
            Message::GroupMod(_) | Message::PortMod(_) | Message::PacketOut(_) => None,
            _ => return Err(OfErrorKind::BundleMsgUnsup),
        };
        let staged = staged.unwrap_or_else(|| Staged::Message(message.into()));
        self.n_bytes += staged.n_bytes();
        self.requests.push_back(staged);
        Ok(())
    }

    /// Bytes of memory that its requests take.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// How many requests it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// A bundle that was committed, until its outcome is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(u64);

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleOutcome {
    /// It is in the tables.
    Done {
        /// It is in force in all caches, and its commit to be confirmed, when this ticket is reached
        /// ([`Bridge::reached`]).
        ticket: SyncTicket,
        /// Its group-mods and meter-mods, of which other controllers may want to hear.
        forwards: Vec<Message>,
    },
    /// A request was refused, and nothing has changed.
    Refused {
        /// Why.
        error: OfErrorKind,
        /// The request as it came, or the beginning of it that an error has to quote.
        message: Box<[u8]>,
    },
}

/// Requests between the one that is prepared and the one whose place in the tables is asked for.
const AHEAD: usize = 4;

/// How far a bundle is.
#[derive(Debug)]
enum Phase {
    Preparing,
    Settling(SyncTicket),
    Undoing {
        error: OfErrorKind,
        message: Box<[u8]>,
    },
    /// Nothing is left to do but to send packets.
    Sending(SyncTicket),
}

/// The mask and the instructions of a rule as its bundle has them, and as the bridge does.
#[derive(Debug)]
struct InCommon {
    mask: Option<(Arc<CompactMask>, Arc<CompactMask>)>,
    instructions: (Arc<Instructions>, Arc<Instructions>),
}

impl InCommon {
    /// Whether it is of a rule with this mask and these instructions.
    fn is_of(&self, match_: &CompactMatch, instructions: &Arc<Instructions>) -> bool {
        let has_mask = match (match_.mask(), &self.mask) {
            (Some(mask), Some((own, _))) => Arc::ptr_eq(mask, own),
            (None, None) => true,
            _ => false,
        };
        has_mask && Arc::ptr_eq(instructions, &self.instructions.0)
    }
}

#[derive(Debug)]
struct Underway {
    /// `None` for what the bridge does of itself, whose outcome nobody takes.
    id: Option<BundleId>,
    bundle: Bundle,
    change: Change,
    /// What the request that was prepared last wants of every rule of a kind, and that request.
    sweep: Option<(Box<Sweep>, Box<[u8]>)>,
    /// What became of the meters that were made for it and are not placed yet.
    reserved: VecDeque<Result<u32, OfErrorKind>>,
    /// What its last rule has in common with others of the bundle, and with all others.
    shared: Option<InCommon>,
    forwards: Vec<Message>,
    ports: Vec<PortMod>,
    packets: VecDeque<PacketOut>,
    phase: Phase,
}

/// The bundles that are being carried out, and what became of those that were.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    waiting: VecDeque<Box<Underway>>,
    underway: Option<Box<Underway>>,
    /// Bundles that are in the tables and have packets to send.
    sending: VecDeque<Box<Underway>>,
    outcomes: VecDeque<(BundleId, BundleOutcome)>,
    n_committed: u64,
}

impl Bundles {
    /// Whether there is something to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.holds_tables() || !self.sending.is_empty()
    }

    /// Whether nobody else may change the tables.
    pub(crate) fn holds_tables(&self) -> bool {
        self.underway.is_some() || !self.waiting.is_empty()
    }
}

impl Bridge {
    /// Has a bundle carried out by the next calls of [`Bridge::run`], after those committed before.
    pub fn commit_bundle(&mut self, bundle: Bundle, dpif: &mut dyn Dpif, now: Nanos) -> BundleId {
        self.bundles.n_committed += 1;
        let id = BundleId(self.bundles.n_committed);
        let configs = bundle.meters.iter();
        let reserved = configs.map(|config| self.reserve_meter(config, dpif, now)).collect();
        let underway = self.begin_underway(Some(id), bundle, reserved);
        self.bundles.waiting.push_back(Box::new(underway));
        id
    }

    fn begin_underway(
        &self,
        id: Option<BundleId>,
        bundle: Bundle,
        reserved: VecDeque<Result<u32, OfErrorKind>>,
    ) -> Underway {
        Underway {
            id,
            bundle,
            change: self.begin_change(),
            sweep: None,
            reserved,
            shared: None,
            forwards: Vec::new(),
            ports: Vec::new(),
            packets: VecDeque::new(),
            phase: Phase::Preparing,
        }
    }

    /// Has a sweep made that nobody asked for in a message: at once where the tables have few rules, else as a bundle
    /// of its own, after those committed before.
    pub(crate) fn begin_sweep(&mut self, mut sweep: Sweep, now: Nanos) {
        if self.state.tables.n_rules() <= FEW_RULES {
            self.finish_bundles(now);
            let mut change = self.begin_change();
            let swept = self.go_on_sweeping(&mut sweep, &mut change, &mut usize::MAX.clone(), now);
            // What takes rules out is never refused.
            let _done = self.end_change(change, swept.map(|_| ()), now);
            return;
        }
        let bundle = Bundle::new(Dialect::plain(Version::V13));
        let mut underway = self.begin_underway(None, bundle, VecDeque::new());
        underway.sweep = Some((Box::new(sweep), Box::default()));
        self.bundles.waiting.push_back(Box::new(underway));
    }

    /// What became of the bundle whose end was first of those not taken yet.
    pub fn take_bundle_outcome(&mut self) -> Option<(BundleId, BundleOutcome)> {
        self.bundles.outcomes.pop_front()
    }

    /// Whether a bundle is on its way into the tables. Whoever changes them meanwhile has it finished
    /// first, which may take long: better to wait.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.bundles.holds_tables()
    }

    /// Goes on with the bundles, a bounded part of the work.
    pub(crate) fn work_on_bundles(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        let mut budget = BATCH;
        self.advance_bundles(&mut budget, now);
        while budget > 0
            && let Some(mut underway) = self.bundles.sending.pop_front()
        {
            while budget > 0
                && let Some(packet_out) = underway.packets.pop_front()
            {
                budget -= 1;
                // It was checked when the bundle was prepared, and a port that is gone since then has
                // taken the packet with it.
                let version = underway.bundle.dialect.version;
                let _gone = self.packet_out(&packet_out, version, dpif, now);
            }
            if underway.packets.is_empty() {
                self.end_bundle(*underway);
            } else {
                self.bundles.sending.push_front(underway);
            }
        }
    }

    /// Finishes what is on its way into the tables, all of it.
    pub(crate) fn finish_bundles(&mut self, now: Nanos) {
        while self.bundles.holds_tables() {
            self.advance_bundles(&mut usize::MAX.clone(), now);
        }
    }

    fn advance_bundles(&mut self, budget: &mut usize, now: Nanos) {
        while *budget > 0 {
            let Some(mut underway) = self.next_bundle() else { return };
            if !self.advance(&mut underway, budget, now) {
                self.bundles.underway = Some(underway);
                return;
            }
            match underway.phase {
                Phase::Sending(_) => self.bundles.sending.push_back(underway),
                _ => self.end_bundle(*underway),
            }
        }
    }

    fn next_bundle(&mut self) -> Option<Box<Underway>> {
        if let Some(underway) = self.bundles.underway.take() {
            return Some(underway);
        }
        let mut underway = self.bundles.waiting.pop_front()?;
        underway.change = self.begin_change();
        Some(underway)
    }

    /// Returns whether the tables are done with the bundle.
    fn advance(&mut self, underway: &mut Underway, budget: &mut usize, now: Nanos) -> bool {
        loop {
            match &underway.phase {
                Phase::Preparing => {
                    if *budget == 0 {
                        return false;
                    }
                    if let Some((mut sweep, message)) = underway.sweep.take() {
                        let change = &mut underway.change;
                        match self.go_on_sweeping(&mut sweep, change, budget, now) {
                            Ok(true) => {}
                            Ok(false) => {
                                underway.sweep = Some((sweep, message));
                                return false;
                            }
                            Err(error) => underway.phase = Phase::Undoing { error, message },
                        }
                        continue;
                    }
                    let Some(staged) = underway.bundle.requests.pop_front() else {
                        underway.phase = Phase::Settling(self.flip_bundle(underway));
                        continue;
                    };
                    if let Some(Staged::Rule(ahead)) = underway.bundle.requests.get(AHEAD) {
                        let StagedRule { addition, match_, .. } = ahead;
                        let table = self.state.tables.get(addition.table_id);
                        table.iter().for_each(|table| table.rules.prefetch(match_.words()));
                    }
                    let before = underway.change.len();
                    let prepared = match staged {
                        Staged::Rule(rule) => self.prepare_rule(underway, rule, now),
                        Staged::Message(message) => match self.prepare(underway, &message, now) {
                            Ok(sweep) => {
                                underway.sweep = sweep.map(|sweep| (sweep, message));
                                Ok(())
                            }
                            Err(error) => Err((error, message)),
                        },
                    };
                    if let Err((error, message)) = prepared {
                        underway.phase = Phase::Undoing { error, message };
                        continue;
                    }
                    *budget -= (underway.change.len() - before).clamp(1, *budget);
                }
                Phase::Settling(ticket) => {
                    if !self.settle(&mut underway.change, budget, now) {
                        return false;
                    }
                    underway.phase = Phase::Sending(*ticket);
                }
                Phase::Undoing { .. } => return self.roll_back(&mut underway.change, budget),
                Phase::Sending(_) => return true,
            }
        }
    }

    /// Prepares a rule that was staged. An error comes with the message that it quotes.
    fn prepare_rule(
        &mut self,
        underway: &mut Underway,
        rule: StagedRule,
        now: Nanos,
    ) -> Result<(), (OfErrorKind, Box<[u8]>)> {
        let version = underway.bundle.dialect.version;
        let StagedRule { addition, match_, instructions, quoted } = rule;
        let result = self.check_table(addition.table_id, version).and_then(|()| {
            let Underway { shared, change, .. } = underway;
            let shared = match shared {
                Some(shared) if shared.is_of(&match_, &instructions) => shared,
                _ => shared.insert(self.in_common(&match_, &instructions)),
            };
            let match_ = match &shared.mask {
                Some((_, mask)) => match_.shared_with(|_| Arc::clone(mask)),
                None => match_,
            };
            let instructions = Arc::clone(&shared.instructions.1);
            self.add_rule(change, addition, match_, instructions, version, now)
        });
        let sweep = result.map_err(|error| (error, Box::from(quoted)))?;
        underway.sweep = sweep.map(|sweep| (sweep, Box::from(quoted)));
        Ok(())
    }

    /// What a rule of a bundle can have in common with all others.
    fn in_common(&mut self, match_: &CompactMatch, instructions: &Arc<Instructions>) -> InCommon {
        let both = |mask: &Arc<CompactMask>| (Arc::clone(mask), self.masks.keep_arc(mask));
        let mask = match_.mask().map(both);
        let shared = self.instructions.keep_arc(instructions);
        InCommon { mask, instructions: (Arc::clone(instructions), shared) }
    }

    /// Prepares one request, but for the sweep that it may come to.
    fn prepare(
        &mut self,
        underway: &mut Underway,
        message: &[u8],
        now: Nanos,
    ) -> Result<Option<Box<Sweep>>, OfErrorKind> {
        let dialect = underway.bundle.dialect;
        let (_, message) = dialect.decode(message).map_err(|error| error.error.kind)?;
        match message {
            Message::FlowMod(flow_mod) => {
                self.stage_flow_mod(&mut underway.change, &flow_mod, dialect.version, now)
            }
            Message::GroupMod(group_mod) => {
                let change = &mut underway.change;
                let sweep = self.stage_group_mod(change, &group_mod, dialect.version, now)?;
                underway.forwards.push(Message::GroupMod(group_mod));
                Ok(sweep.map(Box::new))
            }
            Message::MeterMod(meter_mod) => {
                let is_set = meter_mod.command != MeterModCommand::Delete;
                let reserved = if is_set { underway.reserved.pop_front() } else { None };
                let change = &mut underway.change;
                let sweep = self.stage_meter_mod(change, &meter_mod, reserved, now)?;
                underway.forwards.push(Message::MeterMod(meter_mod));
                Ok(sweep.map(Box::new))
            }
            Message::PortMod(change) => {
                self.state.ports.check_modify(&change)?;
                underway.ports.push(change);
                Ok(None)
            }
            Message::PacketOut(packet_out) => {
                Self::check_packet(&packet_out, dialect.version)?;
                let flow = extract(&packet_out.data, &FlowMeta::of_port(0)).flow;
                let known = Known::after(&underway.change, &self.state);
                check_packet_out(&packet_out.actions, &flow, dialect.version, known)?;
                underway.packets.push_back(packet_out);
                Ok(None)
            }
            _ => Err(OfErrorKind::BundleMsgUnsup),
        }
    }

    /// The instant at which all requests are in force.
    fn flip_bundle(&mut self, underway: &mut Underway) -> SyncTicket {
        let mut state = self.state.write();
        state.tables.version = underway.change.version();
        Self::show_objects(&mut underway.change, &mut state);
        let mut changed = Vec::new();
        for change in &underway.ports {
            // A port that is gone since the check needs no change.
            if let Ok(Some(port)) = state.ports.modify(change) {
                changed.push((port.number(), port.desc()));
            }
        }
        drop(state);
        self.note_change(&mut underway.change);
        self.note_objects(&mut underway.change);
        for (number, desc) in changed {
            self.changes.port_changed(number);
            self.port_status(PortReason::Modify, desc);
        }
        self.sync_point()
    }

    fn end_bundle(&mut self, underway: Underway) {
        let left: Vec<u32> = underway.reserved.iter().copied().filter_map(Result::ok).collect();
        self.give_back_meters(&left);
        let forwards = underway.forwards;
        let outcome = match underway.phase {
            Phase::Undoing { error, message } => BundleOutcome::Refused { error, message },
            Phase::Settling(ticket) | Phase::Sending(ticket) => {
                BundleOutcome::Done { ticket, forwards }
            }
            Phase::Preparing => return,
        };
        self.bundles.outcomes.extend(underway.id.map(|id| (id, outcome)));
    }
}
