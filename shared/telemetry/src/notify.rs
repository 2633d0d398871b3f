//! What a process tells systemd: that it runs, that it is alive, that it stops (`sd_notify`).
//!
//! Nothing is said where nobody asked: the socket is named by `NOTIFY_SOCKET`, as a service of `Type=notify` has it.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The process does its work: what it listens on is bound. It says nothing of servers that it needs; `/readyz` does.
pub fn ready() {
    tell("READY=1");
}

/// The process was told to end, and drains.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

/// The process is alive; to be said at least every half of [`watchdog_period`].
pub(crate) fn alive() {
    tell("WATCHDOG=1");
}

/// Within which time systemd wants to hear that this process is alive (`WatchdogSec=`); `None` where it does not ask.
pub(crate) fn watchdog_period() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    // a process that was started by the service's own inherits the variables, and is not meant
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros)
}

fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!({ crate::field::ERROR } = %error, "cannot tell systemd {state}");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    // a name that begins with @ is of Linux's abstract namespace
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // a full queue of systemd's must not hold this process up
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut state = [0; 64];
        let length = socket.recv(&mut state).unwrap();
        String::from_utf8(state[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_state_reaches_a_socket_of_the_file_system_and_an_abstract_one() {
        let folder = std::env::temp_dir().join(format!("muster-notify-{}", std::process::id()));
        let named = UnixDatagram::bind(&folder).unwrap();
        send(folder.as_os_str(), "READY=1").unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(received(&named), "READY=1");

        let name = format!("muster-notify-{}", std::process::id());
        let hidden = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        assert_eq!(received(&hidden), "STOPPING=1");
    }

    #[test]
    fn a_socket_that_nobody_reads_is_an_error_and_no_wait() {
        assert!(send(OsStr::new("/nowhere/notify"), "READY=1").is_err());
    }
}
