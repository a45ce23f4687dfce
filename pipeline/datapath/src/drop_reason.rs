//! Every way in which a frame can die, by name.
//!
//! Nothing is lost silently: a frame that came in is transmitted, consumed by the control side, or
//! counted under exactly one of these ([`crate::accounting`] states the law). The list spans the
//! whole switch, from the device to the last queue, so that one table shows it all; a layer above
//! that decides to drop says so by [`crate::DpAction::Drop`], and its reason is counted here,
//! packet by packet.

use core::fmt;

use sync::counter::Counter;

/// Why a frame was not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DropReason {
    // Receiving.
    /// The device handed over a frame too short to be Ethernet, or a broken device header.
    RxMalformed,
    /// What the frame's sender left to the device makes no sense: a checksum outside of the frame, segments
    /// of no bytes, a large frame that is no TCP.
    RxBadOffload,
    /// The frame is longer than the port's MTU or the largest buffer.
    RxOversize,
    /// No buffer was free to hold the frame.
    RxNoBuffer,
    /// The port does not accept frames: administratively down, or `no-receive`.
    RxPortDown,
    /// The ingress port is not (or no longer) a port of this datapath.
    RxNoSuchPort,
    /// The frame was in the device's ring when the port was reset, and the device did not come up again.
    RxPortReset,
    /// The port receives more than its ingress policing allows.
    RxPoliced,

    // Decided by the OpenFlow side.
    /// No rule matched, and the table-miss policy is to drop.
    NoRule,
    /// A rule without output matched: an explicit drop.
    ActionDrop,
    /// A group without a usable bucket.
    GroupNoBucket,
    /// The only output was the ingress port, which is never implied.
    OutputToInPort,
    /// The output port is administratively down or `no-forward`.
    ForwardingDisabled,
    /// A reserved multicast address (01:80:c2:00:00:0x), which an ordinary bridge must not forward.
    ReservedMulticast,
    /// The source address is one of the switch's own or is not unicast.
    BadSourceMac,
    /// The destination was learned on the port that the frame came from.
    MacOnInPort,
    /// The VLAN of the frame is not allowed on its ingress port.
    VlanNotAllowed,
    /// The ingress port, or the only egress port, is there for a mirror alone.
    MirrorPort,
    /// Ingress and egress port are both protected: such ports do not reach each other.
    ProtectedPort,
    /// Translation gave up: too many resubmits, too deep a stack, a bad field.
    TranslationError,
    /// A fragment where fragments are to be dropped (`frags=drop`).
    FragmentDropped,
    /// TTL ran out and no controller wants to know.
    TtlExceeded,
    /// The megaflow or packet-out has no actions and no one said why.
    EmptyActions,

    // Upcalls and control.
    /// The queue of upcalls to the control core is full.
    UpcallQueueFull,
    /// The ingress port used up its budget of upcalls, and its share of the queue to the control
    /// core too.
    UpcallBudget,
    /// The ingress port has its share of the queue to the control core full, which it was to use for
    /// this packet.
    UpcallPortShare,
    /// The queue of packet-ins to controllers is full.
    ControllerQueueFull,
    /// A frame without megaflow came while the switch was stopping or the bridge was gone.
    UpcallNoBridge,

    // Executing actions.
    /// An output action names a port that does not exist.
    NoSuchPort,
    /// A header action needs bytes that the frame does not have.
    TooShort,
    /// A push needs more room than the buffer has.
    NoHeadroom,
    /// A copy was due and the pool had no buffer.
    PoolExhausted,
    /// A large frame was to be cut and the pool had no buffer for a segment: the rest of it died.
    NoSegmentBuffer,
    /// What the sender left to the device cannot be done: an action took the header away that it was
    /// about, or the frame is to become more segments than [`packet::MAX_SEGMENTS`].
    OffloadLost,
    /// Recirculated or cloned deeper than the limit.
    RecursionTooDeep,
    /// More recirculated packets at once than the stage holds.
    RecirculationQueueFull,
    /// A meter action names a meter that does not exist.
    NoSuchMeter,
    /// A meter's rate was exceeded.
    MeterExceeded,
    /// The egress port, or its queue, may not send so much (`QoS`).
    EgressPoliced,

    // Transmitting.
    /// The port has no link: its device would lose the frame.
    TxPortDown,
    /// The port's transmit ring is full.
    TxRingFull,
    /// Other cores used the port's transmit queue all the time.
    TxContended,
    /// The frame is longer than the egress port's MTU.
    MtuExceeded,
    /// The transmit queue is dead until its port is reset.
    TxFault,
    /// The ring from the control core to the core that is to send the frame is full.
    ForwardRingFull,
    /// The port went away or was reset with the frame still queued.
    PortReset,
}

impl DropReason {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Self; 46] = [
        Self::RxMalformed,
        Self::RxBadOffload,
        Self::RxOversize,
        Self::RxNoBuffer,
        Self::RxPortDown,
        Self::RxNoSuchPort,
        Self::RxPortReset,
        Self::RxPoliced,
        Self::NoRule,
        Self::ActionDrop,
        Self::GroupNoBucket,
        Self::OutputToInPort,
        Self::ForwardingDisabled,
        Self::ReservedMulticast,
        Self::BadSourceMac,
        Self::MacOnInPort,
        Self::VlanNotAllowed,
        Self::MirrorPort,
        Self::ProtectedPort,
        Self::TranslationError,
        Self::FragmentDropped,
        Self::TtlExceeded,
        Self::EmptyActions,
        Self::UpcallQueueFull,
        Self::UpcallBudget,
        Self::UpcallPortShare,
        Self::ControllerQueueFull,
        Self::UpcallNoBridge,
        Self::NoSuchPort,
        Self::TooShort,
        Self::NoHeadroom,
        Self::PoolExhausted,
        Self::NoSegmentBuffer,
        Self::OffloadLost,
        Self::RecursionTooDeep,
        Self::RecirculationQueueFull,
        Self::NoSuchMeter,
        Self::MeterExceeded,
        Self::EgressPoliced,
        Self::TxPortDown,
        Self::TxRingFull,
        Self::TxContended,
        Self::MtuExceeded,
        Self::TxFault,
        Self::ForwardRingFull,
        Self::PortReset,
    ];

    /// The reason's name in statistics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RxMalformed => "rx-malformed",
            Self::RxBadOffload => "rx-bad-offload",
            Self::RxOversize => "rx-oversize",
            Self::RxNoBuffer => "rx-no-buffer",
            Self::RxPortDown => "rx-port-down",
            Self::RxNoSuchPort => "rx-no-such-port",
            Self::RxPortReset => "rx-port-reset",
            Self::RxPoliced => "rx-policed",
            Self::NoRule => "no-rule",
            Self::ActionDrop => "action-drop",
            Self::GroupNoBucket => "group-no-bucket",
            Self::OutputToInPort => "output-to-in-port",
            Self::ForwardingDisabled => "forwarding-disabled",
            Self::ReservedMulticast => "reserved-multicast",
            Self::BadSourceMac => "bad-source-mac",
            Self::MacOnInPort => "mac-on-in-port",
            Self::VlanNotAllowed => "vlan-not-allowed",
            Self::MirrorPort => "mirror-port",
            Self::ProtectedPort => "protected-port",
            Self::TranslationError => "translation-error",
            Self::FragmentDropped => "fragment-dropped",
            Self::TtlExceeded => "ttl-exceeded",
            Self::EmptyActions => "empty-actions",
            Self::UpcallQueueFull => "upcall-queue-full",
            Self::UpcallBudget => "upcall-budget",
            Self::UpcallPortShare => "upcall-port-share",
            Self::ControllerQueueFull => "controller-queue-full",
            Self::UpcallNoBridge => "upcall-no-bridge",
            Self::NoSuchPort => "no-such-port",
            Self::TooShort => "too-short",
            Self::NoHeadroom => "no-headroom",
            Self::PoolExhausted => "pool-exhausted",
            Self::NoSegmentBuffer => "no-segment-buffer",
            Self::OffloadLost => "offload-lost",
            Self::RecursionTooDeep => "recursion-too-deep",
            Self::RecirculationQueueFull => "recirculation-queue-full",
            Self::NoSuchMeter => "no-such-meter",
            Self::MeterExceeded => "meter-exceeded",
            Self::EgressPoliced => "egress-policed",
            Self::TxPortDown => "tx-port-down",
            Self::TxRingFull => "tx-ring-full",
            Self::TxContended => "tx-contended",
            Self::MtuExceeded => "mtu-exceeded",
            Self::TxFault => "tx-fault",
            Self::ForwardRingFull => "forward-ring-full",
            Self::PortReset => "port-reset",
        }
    }

    /// Whether the frame died on its way out, so that it counts as a transmit drop of the egress
    /// port (all others are receive drops of the ingress port).
    #[must_use]
    pub const fn is_tx(self) -> bool {
        matches!(
            self,
            Self::TxPortDown
                | Self::TxRingFull
                | Self::TxContended
                | Self::MtuExceeded
                | Self::TxFault
                | Self::ForwardRingFull
                | Self::PortReset
        )
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One counter a reason. Written by one core, read by any.
#[derive(Debug)]
pub struct DropCounters([Counter; DropReason::ALL.len()]);

impl DropCounters {
    /// Counts `n_packets` under `reason`.
    #[inline]
    pub fn add(&self, reason: DropReason, n_packets: u64) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.add(n_packets);
        }
    }

    /// The packets counted under `reason`.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).map_or(0, Counter::get)
    }
}

impl Default for DropCounters {
    fn default() -> Self {
        Self([const { Counter::new() }; DropReason::ALL.len()])
    }
}

/// Dropped packets by reason, as read (and summed over cores).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// The packets counted under `reason`.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Counts `n_packets` more under `reason`.
    pub fn add(&mut self, reason: DropReason, n_packets: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count = count.wrapping_add(n_packets);
        }
    }

    /// Adds what `counters` show.
    pub fn collect(&mut self, counters: &DropCounters) {
        for reason in DropReason::ALL {
            self.add(reason, counters.get(reason));
        }
    }

    /// The reasons under which anything was counted, with how much.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, n)| *n > 0)
    }

    /// All drops.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, n)| n).sum()
    }

    /// The drops on the way in and through ([`DropReason::is_tx`] does not hold).
    #[must_use]
    pub fn total_rx(&self) -> u64 {
        self.iter().filter(|(reason, _)| !reason.is_tx()).map(|(_, n)| n).sum()
    }

    /// The drops on the way out.
    #[must_use]
    pub fn total_tx(&self) -> u64 {
        self.total() - self.total_rx()
    }
}

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_lists_each_reason_at_its_index() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason}");
        }
        let names: HashSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
    }

    #[test]
    fn drops_sum_counters() {
        let counters = DropCounters::default();
        counters.add(DropReason::NoRule, 2);
        counters.add(DropReason::PortReset, 3);
        let mut drops = Drops::default();
        drops.collect(&counters);
        drops.collect(&counters);
        assert_eq!(drops.total(), 10);
        assert_eq!(drops.total_tx(), 6);
        assert_eq!(
            drops.iter().collect::<std::vec::Vec<_>>(),
            [(DropReason::NoRule, 4), (DropReason::PortReset, 6)]
        );
    }
}
