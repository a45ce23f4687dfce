//! Versions: which rules a lookup sees.

/// A table version. Changes that belong together (a flow-mod, a bundle) carry the same version and
/// become visible at one instant: when lookups begin to ask for it.
///
/// A rule inserted in version `a` and removed in version `r` is visible to lookups in
/// `a <= version < r`. So a lookup in an older version still sees what it saw before, until
/// [`Classifier::purge`](crate::Classifier::purge) forgets the rule for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The first version: rules that are there from the start.
    pub const MIN: Self = Self(0);
    /// Later than every version in use. A rule removed "in `NEVER`" is not removed.
    pub const NEVER: Self = Self(u64::MAX);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// When a rule is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) added: Version,
    pub(crate) removed: Version,
}

impl Lifetime {
    pub(crate) const fn from(added: Version) -> Self {
        Self { added, removed: Version::NEVER }
    }

    pub(crate) fn includes(self, version: Version) -> bool {
        self.added <= version && version < self.removed
    }

    pub(crate) fn is_open(self) -> bool {
        self.removed == Version::NEVER
    }
}
