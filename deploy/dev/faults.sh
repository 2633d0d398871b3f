# `./dev faults`: the fault suite in its long form, against servers that it starts and stops itself.
# shellcheck shell=bash

cmd_faults() { # [option…]
  local program=${CARGO_TARGET_DIR:-target}/faults/faults
  if [[ " $* " == *" --list "* ]]; then
    need_cargo
    cargo build --profile faults -p tests --bin faults --locked --quiet && "$program" "$@"
    return
  fi
  begin_alone test "a ./dev test runs in this checkout" postgres rabbitmq
  step "building (the first time takes some minutes)"
  cargo build --profile faults --workspace --bins --locked || die "the build failed"
  with_servers test true "$program" --logs "$LOGS/faults" "$@"
}
