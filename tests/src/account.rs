//! The account that a server of a test's own runs under where the tests are root, and ports for it.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// An account by its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// Hands a folder to the account of a server's package where the tests are root, who may not be the server.
    pub(crate) fn owning(name: &str, folder: &Path) -> Option<Self> {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if !is_root {
            return None;
        }
        let accounts = std::fs::read_to_string("/etc/passwd").expect("every machine has accounts");
        let is_it = |line: &&str| line.split(':').next() == Some(name);
        let line = accounts.lines().find(is_it).expect("its package made the account");
        let mut ids = line.split(':').skip(2).map(|id| id.parse().expect("an account has numbers"));
        let account = Self { uid: ids.next().expect("a uid"), gid: ids.next().expect("a gid") };
        account.own(folder);
        Some(account)
    }

    /// Hands it a file or a folder.
    pub(crate) fn own(self, path: &Path) {
        chown(path, Some(self.uid), Some(self.gid)).expect("root may give away what is its own");
    }

    /// Lets a command run under it.
    pub(crate) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// Ports that are free now; held together, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port"));
    held.each_ref().map(|one| one.local_addr().expect("a bound socket has an address").port())
}
