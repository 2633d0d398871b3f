//! Who may post webhooks: in memory for every request, on disk for a restart, reloaded from Postgres as it changes.
//!
//! A request never waits for Postgres except where its secret would be refused. Then Postgres is asked once, for a
//! bounded time; if it cannot be asked the answer is "not now" and never "no": Tactical does not send again, and the
//! table may simply be too old.

pub mod disk;
mod miss;
pub mod source;
mod table;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use store::hook::{self, Hook};
use telemetry::metric;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::Limits;
use miss::Misses;
use source::{Changes, HookSource, SourceError};
use table::Table;

pub use table::Known;

/// Wait after a failed reload; the database may be back sooner than the next one is due.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Why a request may not post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No hooks were ever loaded: nothing can be said of the secret.
    NothingLoaded,
    /// The secret opens nothing that is known, and the database could not be asked.
    CannotAsk,
    /// Unknown tenant, no secret or a wrong one.
    Refused,
}

/// The hooks.
pub struct Hooks {
    source: Arc<dyn HookSource>,
    pepper: SecretString,
    folder: PathBuf,
    reload_every: Duration,
    table: RwLock<Option<Arc<Table>>>,
    /// The database's clock minus ours in microseconds; beside the table, which is not copied for it.
    clock_offset_us: AtomicI64,
    misses: Misses,
    saving: TaskTracker,
    /// One write at a time: they share the name of the temporary file.
    saving_turn: Arc<Mutex<()>>,
}

impl Hooks {
    /// The hooks as the disk has them. A file that is not whole is reported and ignored.
    #[must_use]
    pub fn open(source: Arc<dyn HookSource>, pepper: SecretString, folder: PathBuf, limits: &Limits) -> Self {
        let hooks = Self {
            source,
            pepper,
            folder,
            reload_every: Duration::from_millis(limits.hook_reload_ms),
            table: RwLock::default(),
            clock_offset_us: AtomicI64::new(0),
            misses: Misses::new(miss::Limits {
                timeout: Duration::from_millis(limits.hook_lookup_timeout_ms),
                in_flight_max: limits.hook_lookups_max,
                ttl: Duration::from_millis(limits.hook_miss_ttl_ms),
                tenants_max: limits.hook_misses_max,
            }),
            saving: TaskTracker::new(),
            saving_turn: Arc::default(),
        };
        match disk::load(&hooks.folder) {
            Ok(None) => {}
            Ok(Some(state)) => {
                let table = Table::new(state.snapshot);
                hooks.clock_offset_us.store(state.clock_offset_us, Ordering::Relaxed);
                tracing::info!(hooks.loaded = table.len(), "hooks loaded from disk");
                hooks.install(table);
            }
            Err(error) => {
                tracing::warn!(error = %error, "load the hooks from disk failed, they are ignored");
            }
        }
        hooks
    }

    /// Whether hooks were ever loaded, from disk or from the database.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.table().is_some()
    }

    /// Now, on the database's clock, in whole microseconds.
    #[must_use]
    pub fn database_now(&self) -> DateTime<Utc> {
        let offset = TimeDelta::microseconds(self.clock_offset_us.load(Ordering::Relaxed));
        (Utc::now() + offset).trunc_subsecs(6)
    }

    /// Whom the secret is good for.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn authenticate(&self, tenant: Uuid, secret: Option<&str>) -> Result<Known, Denied> {
        let table = self.table().ok_or(Denied::NothingLoaded)?;
        let offered = hook::digest(self.pepper.expose_secret().as_bytes(), secret.unwrap_or_default());
        let known = table.judge(tenant, &offered, self.database_now());
        if secret.is_none_or(str::is_empty) {
            return Err(Denied::Refused);
        }
        if let Some(known) = known {
            return Ok(known);
        }
        let version = || self.table().map(|table| table.version);
        let keep = |asked_at, hook| self.keep_one(asked_at, tenant, hook);
        let asked = self.misses.ask(self.source.as_ref(), tenant, version, keep).await;
        asked.map_err(|miss::CannotAsk| Denied::CannotAsk)?;
        let table = self.table().ok_or(Denied::NothingLoaded)?;
        table.judge(tenant, &offered, self.database_now()).ok_or(Denied::Refused)
    }

    /// Keeps the table true until `cancel`: by version, on every reconnect as a whole, and at once when told to.
    pub async fn keep_current(&self, cancel: CancellationToken) {
        let mut whole = true;
        let mut changes = None;
        loop {
            let pause = match self.reload(whole).await {
                Ok(()) => {
                    whole = false;
                    self.reload_every
                }
                Err(error) => {
                    if !whole || !self.is_loaded() {
                        tracing::warn!(error = %error, "reload the hooks failed, the known ones stay in use");
                    }
                    (whole, changes) = (true, None);
                    RETRY_PAUSE.min(self.reload_every)
                }
            };
            if !whole && changes.is_none() {
                changes = self.source.listen().await.ok();
                if changes.is_some() {
                    // once more, for what changed before we listened
                    continue;
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                told = told(changes.as_mut()) => if told.is_err() { changes = None },
            }
        }
    }

    async fn reload(&self, whole: bool) -> Result<(), SourceError> {
        let version = self.source.version().await?;
        let clock_offset_us = self.measure_offset().await?.num_microseconds().unwrap_or_default();
        self.clock_offset_us.store(clock_offset_us, Ordering::Relaxed);
        if !whole && self.table().is_some_and(|table| table.version == version) {
            return Ok(());
        }
        let snapshot = self.source.snapshot().await?;
        let state = disk::State { snapshot: snapshot.clone(), clock_offset_us };
        let table = Table::new(snapshot);
        tracing::info!(hooks.loaded = table.len(), "hooks loaded from the database");
        self.install(table);
        self.save(state);
        Ok(())
    }

    /// The database's clock minus ours; half a round trip is the error.
    async fn measure_offset(&self) -> Result<TimeDelta, SourceError> {
        let before = Utc::now();
        let database_now = self.source.now().await?;
        let middle = before + (Utc::now() - before) / 2;
        Ok(database_now - middle)
    }

    /// A disk that cannot be written costs the next restart its knowledge, not this process its work.
    fn save(&self, state: disk::State) {
        let folder = self.folder.clone();
        let turn = Arc::clone(&self.saving_turn);
        self.saving.spawn_blocking(move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = disk::save(&folder, &state) {
                tracing::warn!(error = %error, "save the hooks to disk failed, \
                     a restart without the database will not know them");
            }
        });
    }

    /// Waits for what is being written to the disk; nothing may be reloaded any more.
    pub async fn saved(&self) {
        self.saving.close();
        self.saving.wait().await;
    }

    /// Keeps one tenant's hook in the table of that version; false if there is another one by now.
    fn keep_one(&self, version: Option<i64>, tenant: Uuid, hook: Option<Hook>) -> bool {
        let mut slot = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match slot.as_mut() {
            Some(table) if Some(table.version) == version => {
                if table.get(tenant) != hook.as_ref() {
                    Arc::make_mut(table).set(tenant, hook);
                }
                true
            }
            _ => false,
        }
    }

    fn table(&self) -> Option<Arc<Table>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn install(&self, table: Table) {
        metrics::gauge!(metric::HOOKS_LOADED).set(u32::try_from(table.len()).unwrap_or(u32::MAX));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(table));
        self.misses.forget();
    }
}

/// Returns when the database says that a hook changed; where it cannot say, the timer does.
async fn told(changes: Option<&mut Box<dyn Changes>>) -> Result<(), SourceError> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
