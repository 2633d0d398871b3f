# Installs what a fresh Debian or Ubuntu lacks, and says in one line what to do where it cannot.
# shellcheck shell=bash

# cargo may be installed and still not be on the path: sudo and non-login shells drop ~/.cargo/bin.
need_cargo() {
  local home
  if ! command -v cargo >/dev/null; then
    for home in "${CARGO_HOME:-$HOME/.cargo}" "$(getent passwd "${SUDO_USER:-}" | cut -d: -f6)/.cargo"; do
      [[ ! -x $home/bin/cargo ]] || PATH=$home/bin:$PATH
    done
  fi
  PATH=$TOOLS/bin:$PATH
  command -v cargo >/dev/null ||
    die "cargo is missing: install Rust from https://rustup.rs (or set PATH so that cargo is found), then run this again"
  command -v cc >/dev/null || need_packages gcc libc6-dev
}

# The servers and, for a linker, gcc. Which servers: all, unless the caller brings his own.
need_servers() { # server…
  local packages=()
  [[ " $* " != *" postgres "* ]] || [[ -x $(postgres_bin)/initdb && -n $(command -v psql) ]] || packages+=(postgresql)
  [[ " $* " != *" rabbitmq "* ]] || [[ -x $RABBITMQ_SERVER ]] || packages+=(rabbitmq-server)
  # the counts of `./dev status` are asked for with psql, also from somebody else's server
  [[ " ${packages[*]} " == *" postgresql "* || -n $(command -v psql) ]] || packages+=(postgresql-client)
  ((${#packages[@]} == 0)) || need_packages "${packages[@]}"
}

need_packages() { # package…
  local root=()
  command -v apt-get >/dev/null || die "install these yourself, this is not Debian or Ubuntu: $*"
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "no right to install: run 'apt-get install --no-install-recommends $*' as root, then this again"
    root=(sudo)
    step "installing $* needs root: sudo may ask for your password"
    sudo -v || die "no right to install: run 'apt-get install --no-install-recommends $*' as root, then this again"
  fi
  step "installing $* with apt-get"
  "${root[@]}" bash -c "$(declare -f install_quietly); install_quietly \"\$@\"" _ "$@" ||
    die "apt-get could not install $*: see its message above (is the network there?), then run this again"
  step "installed $*"
}

# Runs as root. The packages start their system-wide servers and enable them for the next boot; Muster wants only the
# programs. A server that ran before is somebody else's and stays as it is.
install_quietly() { # package…
  local guard=/usr/sbin/policy-rc.d ours='' before='' unit status=0
  local units=(postgresql.service rabbitmq-server.service epmd.socket epmd.service)
  if command -v systemctl >/dev/null; then
    for unit in "${units[@]}"; do
      ! systemctl list-unit-files "$unit" 2>/dev/null | grep -q "^$unit" || before+=" $unit "
    done
  fi
  if [[ ! -e $guard ]]; then
    ours=1
    # policy-rc.d 101: "do not start it", Debian's own way to say so during an installation
    printf '#!/bin/sh\nexit 101\n' >"$guard" && chmod 0755 "$guard"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --yes --no-install-recommends "$@" ||
    { apt-get update && apt-get install --yes --no-install-recommends "$@"; } || status=1
  [[ -z $ours ]] || rm -f "$guard"
  if command -v systemctl >/dev/null; then
    for unit in "${units[@]}"; do
      [[ $before != *" $unit "* ]] || continue
      [[ ! -d /run/systemd/system ]] || systemctl stop "$unit" >/dev/null 2>&1
      systemctl disable "$unit" >/dev/null 2>&1
    done
  fi
  return "$status"
}

# A cargo subcommand, installed beside the checkout unless the machine has it.
need_tool() { # crate
  ! command -v "$1" >/dev/null || return 0
  step "installing $1 into .muster/tools (once, some minutes)"
  # its own target folder: a tool's build must not mix with the workspace's
  CARGO_TARGET_DIR=$TOOLS/target cargo install --quiet --locked --root "$TOOLS" "$1" ||
    { warn "$1 could not be installed: 'cargo install --locked $1' says why"; return 1; }
  rm -rf "${TOOLS:?}/target"
}

cmd_setup() {
  make_dirs
  need_cargo
  need_servers postgres rabbitmq
  need_tool cargo-nextest
  need_tool cargo-deny
  say "everything is there: ./dev up starts the fleet, ./dev test checks it"
}
