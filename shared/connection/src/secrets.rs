//! Between the vault, which seals, and the store, which keeps what is sealed; and what a person may see of it.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use store::secret::{self, Sealed};
use uuid::Uuid;
use vault::Vault;

use crate::{Connections, Error};

/// Fewer characters than this are not shown in part: four of them would be too many.
const MASKED_CHARS_MIN: usize = 16;
/// How much of a secret is shown.
const SHOWN_CHARS: usize = 4;

/// A secret as a person may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name, one of `store::secret`.
    pub name: String,
    /// `…` and the last four characters of an API key; `None` where nothing may be shown (a password, a session, a short
    /// text) or where it cannot be opened.
    pub masked: Option<String>,
    /// When it was entered, or sealed anew.
    pub updated_at: DateTime<Utc>,
}

/// Seals a secret for the store.
#[must_use]
pub fn seal(vault: &Vault, tenant: Uuid, name: &str, secret: &SecretString) -> Sealed {
    let vault::Sealed { key_id, bytes } = vault.seal(tenant, name, secret);
    Sealed { key_id, bytes }
}

/// Opens what the store kept.
///
/// # Errors
/// The key is not here, or the row was changed.
pub fn unseal(vault: &Vault, tenant: Uuid, name: &str, sealed: &Sealed) -> Result<SecretString, vault::Error> {
    let sealed = vault::Sealed { key_id: sealed.key_id.clone(), bytes: sealed.bytes.clone() };
    vault.unseal(tenant, name, &sealed)
}

impl Connections {
    /// Seals a secret for `store::connection::save`.
    #[must_use]
    pub fn seal(&self, tenant: Uuid, name: &str, secret: &SecretString) -> Sealed {
        seal(&self.vault, tenant, name, secret)
    }

    /// Which secrets of a tenant are set, by name.
    ///
    /// # Errors
    /// What the database said.
    pub async fn shown(&self, tenant: Uuid) -> Result<Vec<Shown>, Error> {
        let rows = secret::list(&self.store, tenant).await?;
        let shown = rows.into_iter().map(|row| {
            let text = (row.name == secret::API_KEY).then(|| unseal(&self.vault, tenant, &row.name, &row.sealed).ok());
            Shown { masked: text.flatten().and_then(|text| masked(&text)), name: row.name, updated_at: row.updated_at }
        });
        Ok(shown.collect())
    }

    /// The secrets of a tenant that can be opened: for whoever must keep them out of a text.
    ///
    /// # Errors
    /// What the database said.
    pub async fn texts(&self, tenant: Uuid) -> Result<Vec<SecretString>, Error> {
        let rows = secret::list(&self.store, tenant).await?;
        Ok(rows.iter().filter_map(|row| unseal(&self.vault, tenant, &row.name, &row.sealed).ok()).collect())
    }

    /// A tenant's secret, if it is set.
    pub(crate) async fn secret(&self, tenant: Uuid, name: &'static str) -> Result<Option<SecretString>, Error> {
        let sealed = secret::get(&self.store, tenant, name).await?;
        Ok(sealed.map(|sealed| unseal(&self.vault, tenant, name, &sealed)).transpose()?)
    }
}

fn masked(text: &SecretString) -> Option<String> {
    let chars: Vec<char> = text.expose_secret().chars().collect();
    (chars.len() >= MASKED_CHARS_MIN)
        .then(|| format!("…{}", chars[chars.len() - SHOWN_CHARS..].iter().collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_of_a_long_secret_are_shown_and_nothing_of_a_short_one() {
        assert_eq!(masked(&"SIMULATORKEYSYNC000000000000WXYZ".into()).as_deref(), Some("…WXYZ"));
        assert_eq!(masked(&"äääääääääääääöüß".into()).as_deref(), Some("…äöüß"));
        assert_eq!(masked(&"fifteen letters".into()), None);
    }
}
