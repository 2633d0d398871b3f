//! Hooks: what the gateway compares a webhook's secret with, and whether its connection takes webhooks at all.
//!
//! A secret is stored only as [`digest`]: HMAC-SHA-256 under a pepper that the database does not know. During a rotation
//! two digests are good. `muster.hook_version` rises in the transaction of every change that a gateway must see: of a hook
//! by a trigger on our table, of `rmm_integrations.is_active` and of whether `tenants.suspended_at` is set by triggers on
//! AlgaPSA's (so also when AlgaPSA itself writes them). Versions commit in their order: who has seen n has seen all up to n.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sqlx::postgres::{PgConnection, PgListener};
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::error::Attempt as _;
use crate::{Error, Store};

/// The provider whose connections have hooks.
pub const PROVIDER: &str = "tacticalrmm";
/// What a trigger notifies when the version rises. An accelerator: who misses it compares [`version`].
const CHANNEL: &str = "muster_hook";
/// What is attempted where a secret is set or replaced.
const ROTATE: &str = "rotate a hook's secret";
/// A generated secret's randomness, 256 bits: it cannot be guessed, so its digest needs no slow hash.
const SECRET_BYTES: usize = 32;

/// How long a secret stays good after its rotation where nobody says otherwise, in seconds: a day, time to paste the new one
/// into Tactical while the old one still works.
pub const GRACE_S: u64 = 24 * 60 * 60;
/// The longest such time, in seconds: 31 days. An old secret that is good for longer was not replaced.
pub const GRACE_S_MAX: u64 = 31 * 24 * 60 * 60;

/// A secret's digest, HMAC-SHA-256. Compare in constant time.
pub type Digest = [u8; 32];

/// Whether a webhook that knows the secret is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// It is.
    Active,
    /// The connection is switched off.
    Inactive,
    /// The tenant is suspended; stronger than [`HookState::Inactive`].
    Suspended,
}

/// One connection's hook. Also what the gateway keeps on its disk, so the shape may only grow.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Whose.
    pub tenant: Uuid,
    /// The connection that a good secret stands for.
    pub integration_id: Uuid,
    /// The digest of the secret.
    pub digest: Digest,
    /// The digest of the secret before the last rotation, and until when it is good, on the database's clock.
    pub previous: Option<(Digest, DateTime<Utc>)>,
    /// Whether webhooks are recorded.
    pub state: HookState,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // no digests: with the pepper they would tell whether a guess is right
        f.debug_struct("Hook")
            .field("tenant", &self.tenant)
            .field("integration_id", &self.integration_id)
            .field("state", &self.state)
            .field("previous_valid_until", &self.previous.as_ref().map(|(_, until)| until))
            .finish_non_exhaustive()
    }
}

/// Every hook at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version that these hooks are.
    pub version: i64,
    /// The hooks, by tenant.
    pub hooks: Vec<Hook>,
    /// The database's clock when it read them; from it the gateway measures its own offset.
    pub database_now: DateTime<Utc>,
}

/// What a new digest did to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was no hook.
    Created,
    /// The hook has this digest already; nothing was written.
    Unchanged,
    /// The digest was replaced; the one before is good until then.
    Rotated {
        /// On the database's clock.
        previous_valid_until: DateTime<Utc>,
    },
    /// Nothing was written: the secret before the present one is still good, may be the one that Tactical sends, and would
    /// have ended at once. See [`Rotation::is_forced`].
    UnderWay {
        /// Until when it is good, on the database's clock.
        previous_valid_until: DateTime<Utc>,
    },
}

/// How a secret gives way to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// How long it stays good.
    pub grace: Duration,
    /// Also while the secret before it is still good, which ends then: two are good at a time.
    pub is_forced: bool,
}

impl Rotation {
    /// One that ends no secret before its time.
    #[must_use]
    pub fn gentle(grace: Duration) -> Self {
        Self { grace, is_forced: false }
    }
}

/// A secret's digest: HMAC-SHA-256 under the pepper. Pure.
#[must_use]
pub fn digest(pepper: &[u8], secret: &str) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper).expect("HMAC takes a key of any length");
    mac.update(secret.as_bytes());
    mac.finalize().into_bytes().into()
}

/// A new secret: 256 random bits of the operating system, as 64 hexadecimal digits.
///
/// # Panics
/// When the operating system has no randomness to give; then nothing here is safe.
#[must_use]
pub fn generate_secret() -> String {
    let mut bytes = [0; SECRET_BYTES];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every hook, with the version that they are, in one read. Hooks whose connection is gone are left out.
///
/// # Errors
/// What the database said.
pub async fn snapshot(store: &Store) -> Result<Snapshot, Error> {
    let rows = sqlx::query_file!("sql/hook_snapshot.sql", PROVIDER);
    let rows = store.run("read the hooks", rows.fetch_all(store.pool())).await?;
    // a left join: without any hook there is still one row, with the version
    let first = rows.first().ok_or_else(|| Error::Setup {
        what: "read the hooks".into(),
        reason: "muster.hook_version is empty; it must hold one row".to_owned(),
    })?;
    let (version, database_now) = (first.version, first.database_now);
    let hooks = rows.into_iter().filter_map(|row| {
        HookRow {
            tenant: row.tenant?,
            integration_id: row.integration_id?,
            digest: row.digest?,
            previous_digest: row.previous_digest,
            previous_valid_until: row.previous_valid_until,
            is_active: row.is_active?,
            is_suspended: row.is_suspended?,
        }
        .into_hook()
    });
    Ok(Snapshot { version, hooks: hooks.collect(), database_now })
}

/// The version of the hooks; equal to a snapshot's: the snapshot is still true.
///
/// # Errors
/// What the database said.
pub async fn version(store: &Store) -> Result<i64, Error> {
    let version = sqlx::query_scalar!("select version from muster.hook_version");
    store.run("read the hooks' version", version.fetch_one(store.pool())).await
}

/// One tenant's hook; what the gateway asks once before it says no.
///
/// # Errors
/// What the database said.
pub async fn find(store: &Store, tenant: Uuid) -> Result<Option<Hook>, Error> {
    let row = sqlx::query_as!(
        HookRow,
        r#"select h.tenant, h.integration_id, h.digest, h.previous_digest, h.previous_valid_until,
                  coalesce(i.is_active, false) as "is_active!", t.suspended_at is not null as "is_suspended!"
           from muster.hook h
           join rmm_integrations i on i.tenant = h.tenant and i.integration_id = h.integration_id
           join tenants t on t.tenant = h.tenant
           where h.tenant = $1 and i.provider = $2"#,
        tenant,
        PROVIDER
    );
    let row = store.run("find a tenant's hook", row.fetch_optional(store.pool())).await?;
    Ok(row.and_then(HookRow::into_hook))
}

/// Replaces a connection's digest, with the audit of who did it; the one before stays good for a while. The same digest
/// again changes nothing, and going back to the one before is always possible.
///
/// # Errors
/// What the database said.
pub async fn rotate(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    digest: &Digest,
    rotation: Rotation,
    entry: &Entry,
) -> Result<Change, Error> {
    let rotated = async {
        let mut transaction = store.pool().begin().await.attempt(ROTATE)?;
        let change = set_by(&mut transaction, tenant, integration_id, digest, rotation, entry).await?;
        transaction.commit().await.attempt(ROTATE)?;
        Ok(change)
    };
    store.within(ROTATE, store.work_ends(), rotated).await
}

/// Makes or rotates a hook in the caller's transaction, with an audit row where that changed something.
pub(crate) async fn set_by(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    digest: &Digest,
    rotation: Rotation,
    entry: &Entry,
) -> Result<Change, Error> {
    let change = set(connection, tenant, integration_id, digest, rotation).await.attempt(ROTATE)?;
    if matches!(change, Change::Created | Change::Rotated { .. }) {
        audit::insert(connection, entry).await?;
    }
    Ok(change)
}

async fn set(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    digest: &Digest,
    rotation: Rotation,
) -> Result<Change, sqlx::Error> {
    // two that make it at once: the second waits here, then finds it
    let inserted = sqlx::query!(
        "insert into muster.hook (tenant, integration_id, digest) values ($1, $2, $3) on conflict do nothing",
        tenant,
        integration_id,
        digest.as_slice()
    );
    if inserted.execute(&mut *connection).await?.rows_affected() == 1 {
        return Ok(Change::Created);
    }
    let rotated = sqlx::query_scalar!(
        r#"update muster.hook
           set previous_digest = digest, previous_valid_until = now() + make_interval(secs => $4), digest = $3,
               rotated_at = now()
           where tenant = $1 and integration_id = $2 and digest <> $3
             and ($5 or previous_digest is null or previous_digest = $3 or previous_valid_until <= now())
           returning previous_valid_until as "previous_valid_until!""#,
        tenant,
        integration_id,
        digest.as_slice(),
        rotation.grace.as_secs_f64(),
        rotation.is_forced
    );
    if let Some(previous_valid_until) = rotated.fetch_optional(&mut *connection).await? {
        return Ok(Change::Rotated { previous_valid_until });
    }
    let under_way = sqlx::query_scalar!(
        "select previous_valid_until from muster.hook where tenant = $1 and integration_id = $2 and digest <> $3",
        tenant,
        integration_id,
        digest.as_slice()
    );
    let under_way = under_way.fetch_optional(connection).await?.flatten();
    Ok(under_way.map_or(Change::Unchanged, |previous_valid_until| Change::UnderWay { previous_valid_until }))
}

/// Tells when hooks change, sooner than the next look at [`version`]. Holds one connection of the pool.
#[derive(Debug)]
pub struct Changes(PgListener);

/// Listens from now on. What changed before is not told: take a [`snapshot`] after this.
///
/// # Errors
/// What the database said.
pub async fn listen(store: &Store) -> Result<Changes, Error> {
    store
        .run("listen for changed hooks", async {
            let mut listener = PgListener::connect_with(store.pool()).await?;
            listener.listen(CHANNEL).await?;
            Ok(Changes(listener))
        })
        .await
}

impl Changes {
    /// Waits for the next change, or for a reconnect, during which changes may have been missed: reload in both cases.
    ///
    /// Waits without a limit, and does not notice a connection that silently broke: look at [`version`] on a timer too.
    ///
    /// # Errors
    /// [`Error::Outage`] when the connection broke and could not be made again; then listen anew.
    pub async fn next(&mut self) -> Result<(), Error> {
        self.0.try_recv().await.attempt("wait for changed hooks").map(drop)
    }
}

/// A hook as the database has it.
struct HookRow {
    tenant: Uuid,
    integration_id: Uuid,
    digest: Vec<u8>,
    previous_digest: Option<Vec<u8>>,
    previous_valid_until: Option<DateTime<Utc>>,
    is_active: bool,
    is_suspended: bool,
}

impl HookRow {
    fn into_hook(self) -> Option<Hook> {
        Some(Hook {
            tenant: self.tenant,
            integration_id: self.integration_id,
            digest: to_digest(&self.digest)?,
            previous: self.previous_digest.as_deref().and_then(to_digest).zip(self.previous_valid_until),
            state: to_state(self.is_suspended, self.is_active),
        })
    }
}

fn to_digest(bytes: &[u8]) -> Option<Digest> {
    // the table's check makes every digest 32 bytes
    bytes.try_into().ok()
}

pub(crate) fn to_state(is_suspended: bool, is_active: bool) -> HookState {
    match (is_suspended, is_active) {
        (true, _) => HookState::Suspended,
        (false, true) => HookState::Active,
        (false, false) => HookState::Inactive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_standards_hmac() {
        // RFC 4231, test case 2
        let hex: String = digest(b"Jefe", "what do ya want for nothing?").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn the_pepper_counts() {
        assert_ne!(digest(b"a", "secret"), digest(b"b", "secret"));
        assert_ne!(digest(b"a", "secret"), digest(b"a", "secret "));
    }

    #[test]
    fn two_generated_secrets_differ_and_have_256_bits() {
        let (one, two) = (generate_secret(), generate_secret());
        assert_ne!(one, two);
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn a_hook_survives_the_disk_and_hides_its_digests() {
        let hook = Hook {
            tenant: Uuid::nil(),
            integration_id: Uuid::nil(),
            digest: [0xAB; 32],
            previous: Some(([0xCD; 32], DateTime::UNIX_EPOCH)),
            state: HookState::Active,
        };
        let text = serde_json::to_string(&hook).unwrap();
        assert_eq!(serde_json::from_str::<Hook>(&text).unwrap(), hook);
        let shown = format!("{hook:?}");
        assert!(!shown.contains("171") && !shown.contains("205"), "{shown}");
    }
}
