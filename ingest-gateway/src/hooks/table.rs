//! The hooks in memory, and whether an offered secret opens one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use store::hook::{Digest, Hook, HookState, Snapshot};
use subtle::{Choice, ConstantTimeEq as _};
use uuid::Uuid;

/// Whom a secret was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The connection's integration.
    pub integration_id: Uuid,
    /// Whether its webhooks are recorded.
    pub state: HookState,
}

/// Every hook that is known.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) version: i64,
    hooks: HashMap<Uuid, Hook>,
}

impl Table {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let hooks = snapshot.hooks.into_iter().map(|hook| (hook.tenant, hook)).collect();
        Self { version: snapshot.version, hooks }
    }

    pub(super) fn len(&self) -> usize {
        self.hooks.len()
    }

    pub(super) fn get(&self, tenant: Uuid) -> Option<&Hook> {
        self.hooks.get(&tenant)
    }

    /// Puts one tenant's hook in place, or takes it away.
    pub(super) fn set(&mut self, tenant: Uuid, hook: Option<Hook>) {
        match hook {
            Some(hook) => self.hooks.insert(tenant, hook),
            None => self.hooks.remove(&tenant),
        };
    }

    /// Whom the offered digest is good for. An unknown tenant takes the same path and time as a wrong secret.
    pub(super) fn judge(&self, tenant: Uuid, offered: &Digest, database_now: DateTime<Utc>) -> Option<Known> {
        const NOBODY: Digest = [0; 32];
        let hook = self.hooks.get(&tenant);
        let current = hook.map_or(&NOBODY, |hook| &hook.digest);
        let previous = hook.and_then(|hook| hook.previous.as_ref());
        let in_grace = previous.is_some_and(|(_, valid_until)| database_now < *valid_until);
        let previous = previous.map_or(&NOBODY, |(digest, _)| digest);
        let is_known = Choice::from(u8::from(hook.is_some()));
        let is_previous = offered.ct_eq(previous) & Choice::from(u8::from(in_grace));
        let good: bool = ((offered.ct_eq(current) | is_previous) & is_known).into();
        hook.filter(|_| good).map(|hook| Known { integration_id: hook.integration_id, state: hook.state })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const TENANT: Uuid = Uuid::from_u128(1);

    fn table(hook: Option<Hook>) -> Table {
        let snapshot = Snapshot { version: 1, hooks: hook.into_iter().collect(), database_now: DateTime::UNIX_EPOCH };
        Table::new(snapshot)
    }

    fn hook() -> Hook {
        let valid_until = DateTime::UNIX_EPOCH + TimeDelta::seconds(60);
        Hook {
            tenant: TENANT,
            integration_id: Uuid::from_u128(2),
            digest: [1; 32],
            previous: Some(([2; 32], valid_until)),
            state: HookState::Active,
        }
    }

    #[test]
    fn two_secrets_are_good_during_a_rotation_and_one_after_it() {
        let table = table(Some(hook()));
        let known = Some(Known { integration_id: Uuid::from_u128(2), state: HookState::Active });
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for (digest, seconds, expected) in [
            ([1; 32], 0, known),
            ([1; 32], 61, known),
            ([2; 32], 59, known),
            ([2; 32], 60, None),
            ([3; 32], 0, None),
            ([0; 32], 0, None),
        ] {
            assert_eq!(table.judge(TENANT, &digest, at(seconds)), expected, "{} at {seconds} s", digest[0]);
        }
    }

    #[test]
    fn the_digest_that_stands_for_nobody_opens_nothing() {
        let without = table(None);
        let single = table(Some(Hook { previous: None, ..hook() }));
        for table in [without, single] {
            assert_eq!(table.judge(TENANT, &[0; 32], DateTime::UNIX_EPOCH), None);
            assert_eq!(table.judge(Uuid::nil(), &[0; 32], DateTime::UNIX_EPOCH), None);
        }
    }
}
