//! What a machine runs, out of the one text that Tactical has for it. Pure.
//!
//! The texts are the agent's own words (`Microsoft Windows 11 Pro, 64 bit v23H2 (build 22631.3593)`,
//! `Debian 12.5 x86_64 6.1.0-21-amd64`, `Darwin 14.4.1 arm64 23.4.0`). What does not look like one of them is kept whole as
//! the name: an odd text is worth more than none.

/// A family of operating systems, in the words of `workstation_assets.os_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `windows`
    Windows,
    /// `linux`
    Linux,
    /// `macos`
    Macos,
}

impl Family {
    /// The word that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Macos => "macos",
        }
    }

    /// The family by Tactical's platform; where that is absent or new, by the text.
    fn of(platform: Option<&str>, text: &str) -> Option<Self> {
        match platform.map(str::trim).unwrap_or_default().to_ascii_lowercase().as_str() {
            "windows" => return Some(Self::Windows),
            "linux" => return Some(Self::Linux),
            "darwin" | "macos" => return Some(Self::Macos),
            _ => {}
        }
        let text = text.to_ascii_lowercase();
        if text.contains("windows") {
            return Some(Self::Windows);
        }
        if text.starts_with("darwin") || text.starts_with("macos") || text.starts_with("mac os") {
            return Some(Self::Macos);
        }
        let is_linux = text.contains("linux") || LINUX.iter().any(|name| text.starts_with(name));
        is_linux.then_some(Self::Linux)
    }
}

/// Distributions whose own name does not say that they are Linux.
const LINUX: &[&str] =
    &["debian", "ubuntu", "raspbian", "fedora", "centos", "red hat", "rocky", "suse", "opensuse", "proxmox", "nixos"];

/// An operating system as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Os {
    /// Its family.
    pub family: Option<Family>,
    /// `Windows 11 Pro`, `Debian`, `macOS`.
    pub name: Option<String>,
    /// `23H2`, `12.5`, `14.4.1`.
    pub version: Option<String>,
    /// Windows' build, or the kernel: `22631.3593`, `6.1.0-21-amd64`, `23.4.0`.
    pub build: Option<String>,
    /// `x86_64`, `arm64`; Windows' own word is `64 bit`.
    pub architecture: Option<String>,
}

/// Understands Tactical's `plat` and `operating_system`.
#[must_use]
pub fn parse(platform: Option<&str>, text: Option<&str>) -> Os {
    let text = text.map(str::trim).filter(|text| !text.is_empty() && !text.eq_ignore_ascii_case("none"));
    let Some(text) = text else { return Os { family: Family::of(platform, ""), ..Os::default() } };
    let family = Family::of(platform, text);
    match family {
        Some(Family::Windows) => windows(text),
        Some(Family::Macos) => Os { name: Some("macOS".to_owned()), ..unix(text, Family::Macos) },
        Some(Family::Linux) => unix(text, Family::Linux),
        None => Os { name: Some(text.to_owned()), ..Os::default() },
    }
}

/// Whether the system is one that only servers have: the type of a machine that Tactical itself does not name.
#[must_use]
pub fn is_server(os: &Os) -> bool {
    match os.family {
        Some(Family::Linux) => true,
        Some(Family::Macos) | None => false,
        Some(Family::Windows) => os.name.as_deref().is_some_and(|name| name.contains("Server")),
    }
}

/// `Microsoft Windows 11 Pro, 64 bit v23H2 (build 22631.3593)`, `Microsoft Windows 8.1 Pro, 64bit (build 9600)`.
fn windows(text: &str) -> Os {
    let text = text.strip_prefix("Microsoft ").unwrap_or(text);
    let (rest, build) = match text.rsplit_once("(build ") {
        Some((rest, build)) => (rest.trim_end(), build.trim_end().strip_suffix(')').map(str::trim)),
        None => (text, None),
    };
    let (name, details) = rest.rsplit_once(", ").filter(|(_, details)| is_bits(details)).unwrap_or((rest, ""));
    let version = details.rsplit_once(" v").map(|(_, version)| version);
    let bits = details.rsplit_once(" v").map_or(details, |(bits, _)| bits);
    Os {
        family: Some(Family::Windows),
        name: given(name),
        version: version.and_then(given),
        build: build.and_then(given),
        architecture: given(bits),
    }
}

/// `64 bit v23H2`, `64bit`: what stands behind the last comma where it is the architecture and not a part of the name.
fn is_bits(details: &str) -> bool {
    details.starts_with(|first: char| first.is_ascii_digit()) && details.contains("bit")
}

/// `Debian 12.5 x86_64 6.1.0-21-amd64`, `Arch Linux x86_64 6.8.1`: name, version where there is one, architecture, kernel.
fn unix(text: &str, family: Family) -> Os {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (before, architecture, kernel) = match words.as_slice() {
        [before @ .., architecture, kernel] if is_architecture(architecture) => {
            (before, Some(*architecture), Some(*kernel))
        }
        [before @ .., architecture] if is_architecture(architecture) => (before, Some(*architecture), None),
        before => (before, None, None),
    };
    let (name, version) = match before {
        [name @ .., version] if !name.is_empty() && version.starts_with(|first: char| first.is_ascii_digit()) => {
            (name, Some(*version))
        }
        name => (name, None),
    };
    Os {
        family: Some(family),
        name: given(&name.join(" ")),
        version: version.and_then(given),
        build: kernel.and_then(given),
        architecture: architecture.and_then(given),
    }
}

fn is_architecture(word: &str) -> bool {
    let is_known = ["x86_64", "amd64", "i386", "i586", "i686", "riscv64", "ppc64le", "s390x", "mips64"].contains(&word);
    is_known || word.starts_with("arm") || word.starts_with("aarch64")
}

fn given(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches(',').trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Platform, text, and what is understood: family, name, version, build, architecture.
    type Row = (Option<&'static str>, &'static str, &'static str, [&'static str; 4]);

    #[test]
    fn the_table_of_operating_systems() {
        let (windows, linux, darwin) = (Some("windows"), Some("linux"), Some("darwin"));
        let table: &[Row] = &[
            (
                windows,
                "Microsoft Windows 11 Pro, 64 bit v23H2 (build 22631.3007)",
                "windows",
                ["Windows 11 Pro", "23H2", "22631.3007", "64 bit"],
            ),
            (
                windows,
                "Microsoft Windows 10 Pro, 64bit (build 18363)",
                "windows",
                ["Windows 10 Pro", "", "18363", "64bit"],
            ),
            (
                windows,
                "Microsoft Windows Server 2012 R2 Standard, 64bit (build 9600)",
                "windows",
                ["Windows Server 2012 R2 Standard", "", "9600", "64bit"],
            ),
            (
                windows,
                "Microsoft Windows Server 2022 Standard, 64 bit v21H2 (build 20348.2461)",
                "windows",
                ["Windows Server 2022 Standard", "21H2", "20348.2461", "64 bit"],
            ),
            (
                windows,
                "Microsoft Windows 8.1 Pro, 32bit (build 9600)",
                "windows",
                ["Windows 8.1 Pro", "", "9600", "32bit"],
            ),
            (
                None,
                "Windows 11 Pro, 64 bit v23H2 (build 22631.3007)",
                "windows",
                ["Windows 11 Pro", "23H2", "22631.3007", "64 bit"],
            ),
            (
                windows,
                "Windows Storage Server, Workgroup",
                "windows",
                ["Windows Storage Server, Workgroup", "", "", ""],
            ),
            (linux, "Debian 12.5 x86_64 6.1.0-21-amd64", "linux", ["Debian", "12.5", "6.1.0-21-amd64", "x86_64"]),
            (
                linux,
                "Ubuntu 22.04 x86_64 5.15.0-105-generic",
                "linux",
                ["Ubuntu", "22.04", "5.15.0-105-generic", "x86_64"],
            ),
            (linux, "Raspbian 11.2 armv7l 5.10.92-v7+", "linux", ["Raspbian", "11.2", "5.10.92-v7+", "armv7l"]),
            (linux, "Linux Mint 21.3 x86_64 5.15.0-91", "linux", ["Linux Mint", "21.3", "5.15.0-91", "x86_64"]),
            (linux, "Arch Linux x86_64 6.8.1-arch1", "linux", ["Arch Linux", "", "6.8.1-arch1", "x86_64"]),
            (linux, "NixOS", "linux", ["NixOS", "", "", ""]),
            (None, "Debian 12.5 x86_64 6.1.0", "linux", ["Debian", "12.5", "6.1.0", "x86_64"]),
            (darwin, "Darwin 14.4.1 arm64 23.4.0", "macos", ["macOS", "14.4.1", "23.4.0", "arm64"]),
            (darwin, "Darwin 12.7.4 x86_64 21.6.0", "macos", ["macOS", "12.7.4", "21.6.0", "x86_64"]),
            (Some("plan9"), "Plan 9 from Bell Labs", "", ["Plan 9 from Bell Labs", "", "", ""]),
            (linux, "  ", "linux", ["", "", "", ""]),
            (windows, "None", "windows", ["", "", "", ""]),
        ];
        for (platform, text, family, expected) in table {
            let os = parse(*platform, Some(text));
            assert_eq!(os.family.map_or("", Family::as_str), *family, "{text}");
            let seen = [os.name, os.version, os.build, os.architecture].map(Option::unwrap_or_default);
            assert_eq!(seen, *expected, "{text}");
        }
        assert_eq!(parse(Some("windows"), None), Os { family: Some(Family::Windows), ..Os::default() });
        assert_eq!(parse(None, None), Os::default());
    }

    #[test]
    fn a_linux_machine_and_a_windows_server_are_servers() {
        let is = |platform, text| is_server(&parse(Some(platform), Some(text)));
        assert!(is("linux", "Debian 12.5 x86_64 6.1.0-21-amd64"));
        assert!(is("windows", "Microsoft Windows Server 2019 Standard, 64bit (build 17763)"));
        assert!(!is("windows", "Microsoft Windows 11 Pro, 64 bit v23H2 (build 22631.3007)"));
        assert!(!is("darwin", "Darwin 14.4.1 arm64 23.4.0"));
        assert!(!is("plan9", "Plan 9"));
    }
}
