//! A rule in a classifier, as a reader sees it.

use alloc::sync::Arc;

use flow::{Flow, Match};

use crate::shape::Shape;
use crate::version::{Lifetime, Version};
use crate::{Clause, Priority};

/// A rule together with what the classifier knows of it.
///
/// The match is kept compact and is built when asked for: a caller that stores millions of rules
/// need not store their matches a second time.
#[derive(Debug)]
pub struct Entry<'a, R> {
    pub(crate) shape: &'a Shape,
    pub(crate) key: &'a [u64],
    pub(crate) rule: &'a Arc<R>,
    pub(crate) priority: Priority,
    pub(crate) lifetime: Lifetime,
    pub(crate) clauses: &'a [Clause],
}

impl<'a, R> Entry<'a, R> {
    /// The rule itself.
    #[must_use]
    pub fn rule(&self) -> &'a Arc<R> {
        self.rule
    }

    /// Its priority.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The clauses of conjunctive matches that it is part of.
    #[must_use]
    pub fn clauses(&self) -> &'a [Clause] {
        self.clauses
    }

    /// What it matches. Builds the full match from the compact one.
    #[must_use]
    pub fn to_match(self) -> Match {
        Match::new(&self.to_flow(), &self.shape.to_mask())
    }

    /// The first version in which it is visible.
    #[must_use]
    pub fn added(&self) -> Version {
        self.lifetime.added
    }

    /// The version in which it is no longer visible, or [`Version::NEVER`].
    #[must_use]
    pub fn removed(&self) -> Version {
        self.lifetime.removed
    }

    /// The values that it matches; zero where it does not care.
    fn to_flow(self) -> Flow {
        self.shape.to_flow(self.key)
    }

    /// Whether this rule has all the values of `criteria`, which examines no bit that this rule's
    /// mask does not.
    pub(crate) fn has_values_of(&self, criteria: &Match) -> bool {
        self.overlaps(criteria)
    }

    /// Whether some packet matches both this rule and `other`.
    pub(crate) fn overlaps(&self, other: &Match) -> bool {
        self.shape.words().iter().zip(self.key).all(|(word, &value)| {
            let common = word.bits & other.mask().word(word.index);
            (value ^ other.flow().word(word.index)) & common == 0
        })
    }
}

impl<R> Clone for Entry<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Entry<'_, R> {}
