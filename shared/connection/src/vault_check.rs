//! Whether the vault's key is the right one, asked at start, where a wrong one must be a clear error.

use std::time::Duration;

use fault::{Class, Classify};
use store::Store;
use store::secret;
use vault::Vault;

use crate::Error;

/// How often a database that was away at start is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What the check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultCheck {
    /// The key opens what is sealed, or nothing is sealed yet.
    Sound,
    /// The database is away: a program starts nevertheless and lets [`check_vault_when_back`] run beside it.
    DatabaseAway,
}

/// Looks whether this program holds a key of the secrets that are sealed, without opening any, and says the vault's warnings.
///
/// Secrets of which some can be opened and others not are no wrong key (a rotation may have left them): they are warned of,
/// and their tenants' runs fail with the cause.
///
/// # Errors
/// [`Error::WrongKey`] where none of them can be opened; end with exit code 2.
pub async fn check_vault(store: &Store, vault: &Vault) -> Result<VaultCheck, Error> {
    for warning in vault.warnings() {
        tracing::warn!("{warning}");
    }
    match secret::key_ids(store).await {
        Ok(in_use) => judge(&in_use, vault).map(|()| VaultCheck::Sound),
        Err(error) if error.class() == Class::Permanent => Err(error.into()),
        Err(error) => {
            tracing::warn!("the vault's key is not checked yet: {}", fault::chain(&error));
            Ok(VaultCheck::DatabaseAway)
        }
    }
}

/// The same check for a program that started while the database was away: asks until it answers.
///
/// # Errors
/// [`Error::WrongKey`]; log it and shut down with exit code 2.
pub async fn check_vault_when_back(store: &Store, vault: &Vault) -> Result<(), Error> {
    loop {
        tokio::time::sleep(AGAIN).await;
        if let Ok(in_use) = secret::key_ids(store).await {
            return judge(&in_use, vault);
        }
    }
}

/// Ends with why the vault's key is the wrong one, once the database answers; with the right one it never ends. For whoever
/// drains before it shuts down.
pub async fn wrong_key(store: Store, vault: Vault) -> String {
    match check_vault_when_back(&store, &vault).await {
        Ok(()) => std::future::pending().await,
        Err(error) => fault::chain(&error),
    }
}

fn judge(in_use: &[(String, i64)], vault: &Vault) -> Result<(), Error> {
    let say = |keys: &[&(String, i64)]| {
        let keys = keys.iter().map(|(key_id, secrets)| format!("key {key_id} ({secrets} secrets)"));
        keys.collect::<Vec<_>>().join(", ")
    };
    let (_, missing): (Vec<_>, Vec<_>) = in_use.iter().partition(|(key_id, _)| vault.holds(key_id));
    if missing.is_empty() {
        return Ok(());
    }
    if missing.len() == in_use.len() {
        let held: Vec<String> = vault.key_ids().map(|key_id| format!("key {key_id}")).collect();
        return Err(Error::WrongKey { in_use: say(&missing), held: held.join(", ") });
    }
    tracing::warn!(
        "secrets are sealed with {}, which this program does not hold: give the key in --vault-old-keys-file, or enter \
         those secrets again",
        say(&missing)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        let config = vault::Config { vault_key: Some("00".repeat(32).into()), ..vault::Config::default() };
        Vault::open(&config).expect("it is a key")
    }

    fn key(id: &str) -> (String, i64) {
        (id.to_owned(), 2)
    }

    #[test]
    fn only_a_key_that_opens_nothing_is_the_wrong_one() {
        let ours = vault().key_id().to_owned();
        assert!(judge(&[], &vault()).is_ok());
        assert!(judge(&[key(&ours)], &vault()).is_ok());
        assert!(judge(&[key(&ours), key("left")], &vault()).is_ok());
        let error = judge(&[key("one"), key("two")], &vault()).expect_err("neither is held").to_string();
        for part in ["key one (2 secrets)", "key two", &ours, "MUSTER_VAULT_KEY_FILE", "--vault-old-keys-file"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
