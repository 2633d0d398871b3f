//! The vault: seals with the present key, opens with that and those before.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::{AeadInOut, Tag, XNonce};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::zeroize::{Zeroize, Zeroizing};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::key::{self, Key};
use crate::{Config, Error};

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The form of what is sealed; another form gets another word, and then neither opens as the other.
const FORM: &[u8] = b"muster secret v1";

/// What stands in the database: the key's id, and nonce, text and tag in one.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that opens it.
    pub key_id: String,
    /// 24 bytes nonce, the sealed text, 16 bytes tag.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The keys of this program; cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

struct Keys {
    present: Key,
    old: Vec<Key>,
    warnings: Vec<String>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("key_ids", &self.key_ids().collect::<Vec<_>>()).finish()
    }
}

impl Vault {
    /// Reads the keys. The variable comes before the file, as everywhere.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Unreadable`], [`Error::BadKey`].
    pub fn open(config: &Config) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        let present = match (&config.vault_key, &config.vault_key_file) {
            (Some(text), _) => Key::parse(text, || "MUSTER_VAULT_KEY".to_owned())?,
            (None, Some(path)) => {
                warnings.extend(open_to_others(path));
                let no_key = || Error::BadKey { place: path.display().to_string() };
                key::read_file(path)?.into_iter().next().ok_or_else(no_key)?
            }
            (None, None) => return Err(Error::NoKey),
        };
        let mut old = Vec::new();
        if let Some(path) = &config.vault_old_keys_file {
            warnings.extend(open_to_others(path));
            old = key::read_file(path)?;
        }
        Ok(Self(Arc::new(Keys { present, old, warnings })))
    }

    /// The id of the key that seals: 16 hexadecimal digits.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.0.present.id
    }

    /// The ids of all keys that open, the present one first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.0.present).chain(&self.0.old).map(|key| key.id.as_str())
    }

    /// Whether this program holds a key.
    #[must_use]
    pub fn holds(&self, key_id: &str) -> bool {
        self.key_ids().any(|id| id == key_id)
    }

    /// What a person should know about the files that the keys came from, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// Seals a tenant's secret with the present key.
    ///
    /// # Panics
    /// When the operating system has no randomness to give; then nothing here is safe.
    #[must_use]
    pub fn seal(&self, tenant: Uuid, name: &str, secret: &SecretString) -> Sealed {
        let key = &self.0.present;
        let mut nonce = [0_u8; NONCE_BYTES];
        OsRng.try_fill_bytes(&mut nonce).expect("the operating system gives random bytes");
        let text = secret.expose_secret().as_bytes();
        // as long as it will be, so that it is never moved and no copy of the text stays behind
        let mut bytes = Vec::with_capacity(NONCE_BYTES + text.len() + TAG_BYTES);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(text);
        let bound = bound_to(tenant, name, &key.id);
        let tag = key
            .cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &bound, (&mut bytes[NONCE_BYTES..]).into())
            .expect("a secret is shorter than the 256 GiB that one nonce may seal");
        bytes.extend_from_slice(&tag);
        Sealed { key_id: key.id.clone(), bytes }
    }

    /// Opens what was sealed for this tenant and name.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Broken`].
    pub fn unseal(&self, tenant: Uuid, name: &str, sealed: &Sealed) -> Result<SecretString, Error> {
        let key_id = || sealed.key_id.clone();
        let key = std::iter::once(&self.0.present).chain(&self.0.old).find(|key| key.id == sealed.key_id);
        let key = key.ok_or_else(|| Error::UnknownKey { tenant, name: name.to_owned(), key_id: key_id() })?;
        opened(key, tenant, name, &sealed.bytes).ok_or_else(|| Error::Broken {
            tenant,
            name: name.to_owned(),
            key_id: key_id(),
        })
    }
}

fn opened(key: &Key, tenant: Uuid, name: &str, bytes: &[u8]) -> Option<SecretString> {
    let (nonce, rest) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let bound = bound_to(tenant, name, &key.id);
    let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
    key.cipher.decrypt_inout_detached(&nonce, &bound, text.as_mut_slice().into(), &tag).ok()?;
    match String::from_utf8(std::mem::take(&mut *text)) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            error.into_bytes().zeroize();
            None
        }
    }
}

/// What a sealed text is bound to. Each piece has its length before it, so that no two lists of pieces are one text.
fn bound_to(tenant: Uuid, name: &str, key_id: &str) -> Vec<u8> {
    let mut bound = Vec::new();
    for piece in [FORM, tenant.as_bytes(), name.as_bytes(), key_id.as_bytes()] {
        bound.extend_from_slice(&(piece.len() as u64).to_be_bytes());
        bound.extend_from_slice(piece);
    }
    bound
}

/// A sentence where others than the owner and the group may read the file.
fn open_to_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| format!("every user of this machine can read {}: chmod 600 it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "tacticalrmm_api_key";
    const CANARY: &str = "canary-9b24";

    fn tenant(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn vault(present: u8, old: &[u8]) -> Vault {
        let key = |seed: &u8| Key::parse(&format!("{seed:02x}").repeat(32).into(), String::new).unwrap();
        Vault(Arc::new(Keys { present: key(&present), old: old.iter().map(key).collect(), warnings: Vec::new() }))
    }

    fn sealed() -> Sealed {
        vault(1, &[]).seal(tenant(1), NAME, &CANARY.into())
    }

    #[test]
    fn what_was_sealed_is_opened_again_and_never_looks_the_same() {
        for text in ["", "x", CANARY, "pässwörd \u{1f511}", &"long".repeat(10_000)] {
            let (one, two) =
                (vault(1, &[]).seal(tenant(1), NAME, &text.into()), vault(1, &[]).seal(tenant(1), NAME, &text.into()));
            assert_ne!(one.bytes, two.bytes, "each has a nonce of its own");
            assert_eq!(vault(1, &[]).unseal(tenant(1), NAME, &one).unwrap().expose_secret(), text);
        }
    }

    #[test]
    fn another_tenant_name_or_key_cannot_open_it() {
        let one = sealed();
        let broken = |result: Result<SecretString, Error>| matches!(result, Err(Error::Broken { .. }));
        assert!(broken(vault(1, &[]).unseal(tenant(2), NAME, &one)));
        assert!(broken(vault(1, &[]).unseal(tenant(1), "tacticalrmm_api_ke", &one)));
        assert!(matches!(vault(2, &[]).unseal(tenant(1), NAME, &one), Err(Error::UnknownKey { .. })));
        let relabelled = Sealed { key_id: vault(2, &[]).key_id().to_owned(), bytes: one.bytes.clone() };
        assert!(broken(vault(2, &[1]).unseal(tenant(1), NAME, &relabelled)));
        // the id alone, over the bytes of the right key: the id is bound too
        let bound = bound_to(tenant(1), NAME, "a");
        assert_ne!(bound, bound_to(tenant(1), &NAME[..NAME.len() - 1], "ya"));
    }

    #[test]
    fn a_flipped_bit_or_a_lost_byte_is_noticed_wherever_it_is() {
        let one = sealed();
        for at in 0..one.bytes.len() {
            for bit in 0..8 {
                let mut flipped = one.clone();
                flipped.bytes[at] ^= 1 << bit;
                assert!(vault(1, &[]).unseal(tenant(1), NAME, &flipped).is_err(), "byte {at}, bit {bit}");
            }
            let cut = Sealed { bytes: one.bytes[..at].to_vec(), ..one.clone() };
            assert!(vault(1, &[]).unseal(tenant(1), NAME, &cut).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_old_key_opens_and_does_not_seal() {
        let rotating = vault(2, &[1]);
        assert_eq!(rotating.unseal(tenant(1), NAME, &sealed()).unwrap().expose_secret(), CANARY);
        assert_eq!(rotating.seal(tenant(1), NAME, &CANARY.into()).key_id, vault(2, &[]).key_id());
        assert!(rotating.holds(vault(1, &[]).key_id()) && !rotating.holds(vault(3, &[]).key_id()));
    }

    #[test]
    fn neither_secret_nor_key_is_ever_shown() {
        let key = "01".repeat(32);
        let opened = vault(1, &[]).unseal(tenant(1), NAME, &sealed()).unwrap();
        let unknown = vault(2, &[]).unseal(tenant(1), NAME, &sealed()).unwrap_err();
        let broken = vault(1, &[]).unseal(tenant(2), NAME, &sealed()).unwrap_err();
        for error in [&unknown, &broken] {
            assert!(error.to_string().contains(NAME) && error.to_string().contains(vault(1, &[]).key_id()), "{error}");
        }
        let chains = [fault::chain(&unknown), fault::chain(&broken)].concat();
        let shown = format!("{:?}{:?}{opened:?}{unknown:?}{broken:?}{chains}", vault(1, &[2]), sealed());
        assert!(!shown.contains("canary") && !shown.contains(&key), "{shown}");
    }

    #[test]
    fn keys_come_from_the_variable_or_the_file_and_a_file_for_everybody_is_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, missing) = (folder.path().join("key"), folder.path().join("missing"));
        std::fs::write(&path, format!("{}\n", "01".repeat(32))).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let config = Config { vault_key_file: Some(path.clone()), ..Config::default() };
        let opened = Vault::open(&config).unwrap();
        assert_eq!(opened.key_id(), vault(1, &[]).key_id());
        assert!(opened.warnings()[0].contains("chmod 600"), "{:?}", opened.warnings());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Vault::open(&config).unwrap().warnings().is_empty());

        let both = Config { vault_key: Some("02".repeat(32).into()), ..config.clone() };
        assert_eq!(Vault::open(&both).unwrap().key_id(), vault(2, &[]).key_id());
        let rotating = Config { vault_old_keys_file: Some(path.clone()), ..both };
        assert!(Vault::open(&rotating).unwrap().holds(vault(1, &[]).key_id()));
        assert!(matches!(Vault::open(&Config::default()), Err(Error::NoKey)));
        let away = Config { vault_key_file: Some(missing.clone()), ..Config::default() };
        assert!(Vault::open(&away).unwrap_err().to_string().contains(&missing.display().to_string()));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Vault::open(&config), Err(Error::BadKey { .. })));
    }
}
