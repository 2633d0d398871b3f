# `./dev bench`: figures of release builds against private servers that keep what they promise (fsync on, as in
# production), unlike those of `./dev test`.
# shellcheck shell=bash

cmd_bench() { # devices|software|ticks|accept|park [argument…]
  local status name program what=${1:-}
  case $what in
    devices | software | ticks | accept | park) ;;
    *) die "unknown bench: $what (there are devices, software, ticks, accept, park)" ;;
  esac
  shift
  make_dirs
  exec 9>"$STATE_DIR/bench.lock"
  flock -n 9 || die "another ./dev bench runs in this checkout"
  need_cargo
  [[ $what == accept ]] || need_servers postgres rabbitmq
  # what is measured must not depend on the settings of whoever runs it
  for name in "${!MUSTER_@}"; do unset "$name"; done
  step "building (the first time takes some minutes)"
  case $what in
    devices | ticks | park) cargo build --release --workspace --bins --locked ;;
    software) cargo build --release -p store --features testing --example first_ingest --locked ;;
    accept) cargo build --release -p ingest-gateway --example accept --locked ;;
  esac || die "the build failed"
  if [[ $what == accept ]]; then # on the disk of this checkout, without servers
    TMPDIR=$STATE_DIR "$(binary examples/accept)" "$@" 9>&-
    return
  fi
  trap 'bench_cleanup; exit 130' INT TERM HUP
  step "starting private servers"
  servers_start bench rabbitmq postgres || { bench_cleanup; die "the private servers did not start: $LOGS/bench-*.log"; }
  case $what in
    devices | ticks | park) program=$(binary "bench-$what") ;;
    software) program=$(binary examples/first_ingest) ;;
  esac
  MUSTER_DATABASE_URL=$DATABASE_URL_PRIVATE/postgres MUSTER_AMQP_URL=$AMQP_URL MUSTER_AMQP_ADMIN_URL=$AMQP_ADMIN_URL \
    "$program" "$@" 9>&-
  status=$?
  bench_cleanup
  return "$status"
}

# The data is worth nothing once the figures are printed, and there are gigabytes of it.
bench_cleanup() {
  trap '' INT TERM HUP
  servers_stop bench
  rm -rf "${SERVERS:?}/bench"
}
