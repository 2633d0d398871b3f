//! Tactical's words for what an agent is and how it is.

use std::str::FromStr;

/// What an agent is watched as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitoring {
    /// `server`
    Server,
    /// `workstation`
    Workstation,
}

/// Tactical's own judgement, made when it is asked: by `last_seen` and the agent's own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Seen within its offline time.
    Online,
    /// Not seen for longer than that, or never.
    Offline,
    /// Not seen for longer than its overdue time.
    Overdue,
}

/// The operating system's family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// `windows`
    Windows,
    /// `linux`
    Linux,
    /// `darwin`
    Mac,
}

/// The words of an enum, both ways.
macro_rules! words {
    ($type:ident { $($word:literal = $variant:ident),+ }) => {
        impl $type {
            /// Tactical's word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $type {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text.to_ascii_lowercase().as_str() { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}

words!(Monitoring { "server" = Server, "workstation" = Workstation });
words!(Status { "online" = Online, "offline" = Offline, "overdue" = Overdue });
words!(Platform { "windows" = Windows, "linux" = Linux, "darwin" = Mac });
