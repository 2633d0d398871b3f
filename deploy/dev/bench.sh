# `./dev bench`: figures of release builds against private servers that keep what they promise (fsync on, as in
# production), unlike those of `./dev test`.
# shellcheck shell=bash

cmd_bench() { # devices|software|ticks|accept|park [argument…]
  local program servers=(postgres rabbitmq) what=${1:-}
  case $what in
    devices | software | ticks | park) ;;
    accept) servers=() ;;
    *) die "unknown bench: $what (there are devices, software, ticks, accept, park)" ;;
  esac
  shift
  begin_alone bench "another ./dev bench runs in this checkout" "${servers[@]}"
  step "building (the first time takes some minutes)"
  case $what in
    devices | ticks | park) cargo build --release --workspace --bins --locked ;;
    software) cargo build --release -p store --features testing --example first_ingest --locked ;;
    accept) cargo build --release -p ingest-gateway --example accept --locked ;;
  esac || die "the build failed"
  case $what in
    accept) # on the disk of this checkout, without servers
      TMPDIR=$STATE_DIR "$(binary examples/accept)" "$@" 9>&-
      return
      ;;
    devices | ticks | park) program=$(binary "bench-$what") ;;
    software) program=$(binary examples/first_ingest) ;;
  esac
  # the data is worth nothing once the figures are printed, and there are gigabytes of it
  with_servers bench bench_cleanup "$program" "$@"
}

bench_cleanup() { rm -rf "${SERVERS:?}/bench"; }
