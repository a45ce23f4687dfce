//! Locks: names that at most one client owns at a time (RFC 7047 §4.1.8–10).

use super::ClientId;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How a lock is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// After those who asked before.
    Wait,
    /// At once, whoever has it.
    Steal,
}

/// All locks: who owns each, and who waits, in order.
#[derive(Debug, Default)]
pub(super) struct Locks {
    queues: BTreeMap<String, VecDeque<(ClientId, Manner)>>,
}

impl Locks {
    /// The owner of a lock.
    pub(super) fn owner(&self, name: &str) -> Option<ClientId> {
        self.queues.get(name)?.front().map(|(client, _)| *client)
    }

    /// Asks for a lock; the client from whom it was stolen. That one is the next to have it, unless it had
    /// stolen it itself.
    pub(super) fn ask(&mut self, name: &str, client: ClientId, manner: Manner) -> Option<ClientId> {
        let queue = self.queues.entry(name.to_string()).or_default();
        match manner {
            Manner::Wait => {
                queue.push_back((client, manner));
                None
            }
            Manner::Steal => {
                let victim = queue.front().copied();
                if let Some((_, Manner::Steal)) = victim {
                    queue.pop_front();
                }
                queue.push_front((client, manner));
                victim.map(|(victim, _)| victim)
            }
        }
    }

    /// Gives a lock up, or the wish for it; the client that now owns it, if that is another one.
    pub(super) fn release(&mut self, name: &str, client: ClientId) -> Option<ClientId> {
        let queue = self.queues.get_mut(name)?;
        let is_of = |(other, _): &(ClientId, Manner)| *other == client;
        let was_owner = queue.front().is_some_and(is_of);
        queue.retain(|entry| !is_of(entry));
        let owner = queue.front().map(|(owner, _)| *owner);
        if owner.is_none() {
            self.queues.remove(name);
        }
        owner.filter(|_| was_owner)
    }

    /// Gives up everything of a client; the locks that pass to others.
    pub(super) fn forget(&mut self, client: ClientId) -> Vec<(String, ClientId)> {
        let names: Vec<String> = self.queues.keys().cloned().collect();
        let passed = names.into_iter().filter_map(|name| {
            let owner = self.release(&name, client)?;
            Some((name, owner))
        });
        passed.collect()
    }
}
