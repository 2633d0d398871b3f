//! The vault's flags and their environment variables.

use std::convert::Infallible;
use std::path::PathBuf;

use secrecy::SecretString;

/// The flags of this crate; `#[command(flatten)]` them into a binary's own. `Debug` never shows a key.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Vault")]
pub struct Config {
    /// Key that tenants' secrets are sealed with, the same everywhere: 32 bytes as 64 hexadecimal digits or base64, made by
    /// `muster vault key`; prefer the variable or the file
    // taken as it is and understood by `Vault::open`: a refused value would be printed by the flag parser
    #[arg(long, env = "MUSTER_VAULT_KEY", hide_env_values = true, value_parser = secret)]
    pub vault_key: Option<SecretString>,

    /// File that holds the key instead
    #[arg(long, env = "MUSTER_VAULT_KEY_FILE")]
    pub vault_key_file: Option<PathBuf>,

    /// File with the keys before it, one a line, until `muster vault rotate` has sealed everything anew
    #[arg(long, env = "MUSTER_VAULT_OLD_KEYS_FILE")]
    pub vault_old_keys_file: Option<PathBuf>,
}

fn secret(value: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(value))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser, Debug)]
    struct Flags {
        #[command(flatten)]
        vault: Config,
    }

    #[test]
    fn the_key_is_neither_in_debug_nor_in_help() {
        let flags = Flags::parse_from(["x", "--vault-key", "canary-5c1d"]);
        assert!(!format!("{flags:?}").contains("canary"), "{flags:?}");
        let help = Flags::command().render_long_help().to_string();
        assert!(help.contains("MUSTER_VAULT_KEY") && !help.contains("MUSTER_VAULT_KEY="), "{help}");
    }
}
