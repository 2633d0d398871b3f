//! A program's command line and environment, read with one line of complaint instead of clap's several.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Command, Parser};

/// Why a program cannot start: one line for stderr that names the flag and its variable. The exit code that belongs to it
/// is 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Reads the command line and the environment: `read::<Args, _>(std::env::args_os())`, the program's own name first.
///
/// `--help` and `--version` are printed here, and end the process with 0 as clap does.
///
/// # Errors
/// [`Refused`]: a flag or variable is missing, unknown or has no value that it takes.
pub fn read<T: Parser, A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> Result<T, Refused> {
    match T::try_parse_from(arguments) {
        Ok(config) => Ok(config),
        Err(error) if error.use_stderr() => Err(Refused(one_line(&error, &T::command()))),
        Err(help) => help.exit(),
    }
}

/// What clap says over several lines, in one, with the variables of the flags that it names.
fn one_line(error: &clap::Error, command: &Command) -> String {
    let text = error.to_string();
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let mut named = Vec::new();
    let mut name = |text: &str| named.extend(variable_of(text, command));
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => name(argument),
        Some(ContextValue::Strings(arguments)) => arguments.iter().for_each(|argument| name(argument)),
        _ => {}
    }
    let line = line.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    if named.is_empty() { line.to_owned() } else { format!("{line} (variable {})", named.join(", ")) }
}

/// The variable of the flag that a text such as `--listen <LISTEN>` begins with.
fn variable_of(argument: &str, command: &Command) -> Option<String> {
    let flag = argument
        .split([' ', '<', '|', '='])
        .map(|word| word.trim_start_matches(['<', '(']))
        .find(|word| !word.is_empty())?;
    let flag = flag.strip_prefix("--")?;
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag))?;
    argument.get_env().map(|variable| variable.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables of its own, so that no environment of a test run holds them.
    #[derive(Debug, Parser)]
    #[command(name = "probe", version)]
    struct Probe {
        #[arg(long, env = "MUSTER_TEST_COMMAND_COUNT", default_value_t = 3,
              value_parser = clap::value_parser!(u8).range(1..))]
        count: u8,
        #[arg(long, env = "MUSTER_TEST_COMMAND_URL")]
        url: String,
        #[arg(long, env = "MUSTER_TEST_COMMAND_KEY", required_unless_present = "key_file")]
        key: Option<String>,
        #[arg(long)]
        key_file: Option<String>,
    }

    fn with(more: &[&str]) -> Result<Probe, Refused> {
        read(["probe", "--url", "x", "--key", "y"].iter().chain(more))
    }

    fn refusal(more: &[&str]) -> String {
        let line = with(more).unwrap_err().to_string();
        assert!(!line.contains('\n') && !line.starts_with("error"), "{line}");
        line
    }

    #[test]
    fn what_is_sound_is_read() {
        let probe = with(&["--count", "1", "--key-file", "z"]).unwrap();
        assert_eq!((probe.count, probe.url.as_str(), probe.key.as_deref()), (1, "x", Some("y")));
        assert_eq!(probe.key_file.as_deref(), Some("z"));
    }

    #[test]
    fn a_bad_value_is_one_line_that_names_the_flag_and_its_variable() {
        for value in ["0", "256", "many", ""] {
            let line = refusal(&["--count", value]);
            assert!(line.contains("--count") && line.contains("MUSTER_TEST_COMMAND_COUNT"), "{line}");
        }
        let line = refusal(&["--count"]);
        assert!(line.contains("--count") && line.contains("MUSTER_TEST_COMMAND_COUNT"), "{line}");
    }

    #[test]
    fn all_that_is_missing_stands_in_one_line_with_its_variables() {
        let line = read::<Probe, _>(["probe"]).unwrap_err().to_string();
        for name in ["--url", "MUSTER_TEST_COMMAND_URL", "--key", "MUSTER_TEST_COMMAND_KEY"] {
            assert!(line.contains(name) && !line.contains('\n'), "{name}: {line}");
        }
    }

    #[test]
    fn an_unknown_flag_is_one_line_that_names_it() {
        assert!(refusal(&["--cuont", "1"]).contains("--cuont"));
        assert!(refusal(&["word"]).contains("word"));
    }

    #[test]
    fn a_flag_without_a_variable_names_none() {
        assert!(!refusal(&["--key-file"]).contains("variable"));
    }
}
