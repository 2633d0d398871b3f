//! The flags of the pepper, the key of the hooks' digests: whoever makes or judges a webhook secret needs the same one.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

/// A shorter pepper could be guessed from a stolen table of digests.
const BYTES_MIN: usize = 16;

/// The flags; `#[command(flatten)]` them into a program's own.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Key of the webhook secrets' digests, at least 16 bytes, the same everywhere; prefer the variable or the file
    #[arg(long, env = "MUSTER_HOOK_PEPPER", hide_env_values = true, value_parser = secret,
          required_unless_present = "hook_pepper_file")]
    pub hook_pepper: Option<SecretString>,

    /// File that holds the pepper instead; line ends around it do not count
    #[arg(long, env = "MUSTER_HOOK_PEPPER_FILE")]
    pub hook_pepper_file: Option<PathBuf>,
}

impl Config {
    /// The pepper, from the variable or the file.
    ///
    /// # Errors
    /// One line for stderr: the file cannot be read, or the pepper is too short.
    pub fn read(&self) -> Result<SecretString, String> {
        let (pepper, origin) = match (&self.hook_pepper, &self.hook_pepper_file) {
            (Some(pepper), _) => (pepper.clone(), "MUSTER_HOOK_PEPPER".to_owned()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    format!("--hook-pepper-file (MUSTER_HOOK_PEPPER_FILE): read {}: {error}", path.display())
                })?;
                (SecretString::from(text.trim_matches(['\r', '\n'])), path.display().to_string())
            }
            (None, None) => return Err("--hook-pepper (MUSTER_HOOK_PEPPER) is missing".to_owned()),
        };
        if pepper.expose_secret().len() < BYTES_MIN {
            return Err(format!("--hook-pepper ({origin}) is shorter than {BYTES_MIN} bytes"));
        }
        Ok(pepper)
    }
}

fn secret(value: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(value))
}
