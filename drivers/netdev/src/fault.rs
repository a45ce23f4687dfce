//! What can go wrong with a device.

use core::fmt;

/// A device broke its protocol on one queue. The queue is dead until the netdev is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFault {
    /// What it did.
    pub kind: FaultKind,
    /// Queue number as the device counts them.
    pub queue: u16,
}

/// What a device did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Its index says that more buffers came back than were ever given.
    BadIndex,
    /// It returned a buffer number that does not exist.
    BadId,
    /// It returned a buffer that it did not have (twice, for example).
    NotInFlight,
    /// It claims to have written more than the buffer holds.
    BadLength,
    /// A frame over several buffers that cannot be: none, or more than there are.
    BadChain,
    /// It asked for a reset itself.
    NeedsReset,
    /// A fault made by [`crate::fake::Fault`].
    Injected,
}

impl FaultKind {
    /// Kebab-case name, for counters and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadIndex => "bad-index",
            Self::BadId => "bad-id",
            Self::NotInFlight => "not-in-flight",
            Self::BadLength => "bad-length",
            Self::BadChain => "bad-chain",
            Self::NeedsReset => "needs-reset",
            Self::Injected => "injected",
        }
    }
}

impl fmt::Display for QueueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue {}: {}", self.queue, self.kind.name())
    }
}

impl core::error::Error for QueueFault {}

/// Why a device did not come up (or not go down).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is open; reset it first.
    AlreadyOpen,
    /// No pair, or more than the device has, was asked for.
    QueuePairs,
    /// It lacks something that the driver cannot do without; the name says what.
    Unsupported(&'static str),
    /// It refused the features that it had offered.
    FeaturesRefused,
    /// It has no such queue, or one of a size that cannot be used.
    QueueSize,
    /// No memory for the rings.
    NoDmaMemory,
    /// The pool has no buffers for the receive rings.
    NoBuffers,
    /// It did not answer a command in time, or refused it.
    CommandFailed,
    /// It did not stop when told to.
    NotStopping,
    /// Its configuration space cannot be read.
    Config,
    /// Queues that are not this netdev's, or not all of them, were returned.
    WrongQueues,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::AlreadyOpen => "already open",
            Self::QueuePairs => "number of queue pairs not possible",
            Self::Unsupported(what) => return write!(f, "device lacks {what}"),
            Self::FeaturesRefused => "device refused the features it had offered",
            Self::QueueSize => "device has no usable queue there",
            Self::NoDmaMemory => "no memory for rings",
            Self::NoBuffers => "no buffers for the receive rings",
            Self::CommandFailed => "device did not accept a control command",
            Self::NotStopping => "device does not stop",
            Self::Config => "configuration space unreadable",
            Self::WrongQueues => "not the queues of this device",
        };
        f.write_str(text)
    }
}

impl core::error::Error for OpenError {}
