# `./dev test`: every check in parts, each bounded in time, against servers that it starts and stops itself; ends with a
# table of what each part took and the test runner's own summary. Also `./dev sqlx` and `./dev fuzz`.
# shellcheck shell=bash

PART_NAMES=() PART_TIMES=() PART_RESULTS=()
PART_PID=

# ---- one part -----------------------------------------------------------------------------------------------------

# Runs in the background of a waiting shell, so that Ctrl-C is acted on at once, and writes down how it went. The output
# is shown and kept.
part() { # name limit_s command…
  local name=$1 limit_s=$2 began=$SECONDS status out tee_pid
  shift 2
  say ""
  step "== $name"
  exec {out}> >(exec tee "$LOGS/test-$name.log")
  tee_pid=$!
  # timeout makes a process group: at the limit everything that the part started is ended with it
  timeout --kill-after=15 "$limit_s" "$@" </dev/null >&"$out" 2>&1 9>&- &
  PART_PID=$!
  wait "$PART_PID"
  status=$?
  PART_PID=
  exec {out}>&-
  wait "$tee_pid"
  ((status != 124 && status != 137)) || warn "$name: stopped at its limit of $limit_s s"
  finish_part "$name" "$((SECONDS - began)) s" "$status"
}

finish_part() { # name took status
  PART_NAMES+=("$1")
  PART_TIMES+=("$2")
  if (($3 == 0)); then PART_RESULTS+=(ok); else PART_RESULTS+=(FAILED); fi
  return "$3"
}

# What was not checked has not passed: a skipped part fails the run as well.
skip_parts() { # why name…
  local why=$1 name
  shift
  for name; do
    PART_NAMES+=("$name")
    PART_TIMES+=(-)
    PART_RESULTS+=("skipped: $why")
  done
}

# A function of this file as a part: `timeout` starts programs, so ./dev starts itself.
function_part() { # name limit_s function argument…
  part "$1" "$2" "$ROOT/dev" __part "${@:3}"
}

# ---- what the parts do --------------------------------------------------------------------------------------------

test_layering() {
  cargo deny --offline --locked check bans licenses sources
}

# Migrates an empty database, and one that AlgaPSA made, which is what came before the first release; each twice, because the
# second run must find nothing to do.
test_migrations() { # in the server of MUSTER_DATABASE_URL: an argument could be read by every local user
  local muster=${CARGO_TARGET_DIR:-target}/debug/muster fixture name status=0
  local server=${MUSTER_DATABASE_URL%/*} psql=(psql -XAtq -v ON_ERROR_STOP=1)
  for fixture in '' shared/store/tests/it/algapsa.sql; do
    name=migrations_$RANDOM$RANDOM
    echo "-- on ${fixture:-an empty database}"
    with_url "$server/postgres" "${psql[@]}" -c "create database $name" || return 1
    [[ -z $fixture ]] || with_url "$server/$name" "${psql[@]}" -f "$fixture" >/dev/null || status=1
    MUSTER_DATABASE_URL=$server/$name "$muster" migrate && MUSTER_DATABASE_URL=$server/$name "$muster" migrate || status=1
    with_url "$server/postgres" "${psql[@]}" -c "drop database $name with (force)"
  done
  return "$status"
}

# Compiles every statement against a freshly migrated database and compares the result with what is committed.
test_sqlx() {
  DATABASE_URL=$MUSTER_DATABASE_URL shared/store/prepare.sh --check --migrate
}

test_env_example() {
  deploy/env-example.sh | diff -u .env.example - && return
  echo "the flags and .env.example differ: deploy/env-example.sh > .env.example" >&2
  return 1
}

# ---- all of them --------------------------------------------------------------------------------------------------

test_cleanup() {
  [[ -z $PART_PID ]] || { kill "$PART_PID" 2>/dev/null; wait "$PART_PID" 2>/dev/null; }
  servers_stop test
}

test_interrupted() {
  trap '' INT TERM HUP
  warn "interrupted: stopping"
  test_cleanup
  print_table
  exit 130
}

print_table() {
  local i
  printf '\n%-14s %8s  %s\n' part took result
  for i in "${!PART_NAMES[@]}"; do
    printf '%-14s %8s  %s\n' "${PART_NAMES[i]}" "${PART_TIMES[i]}" "${PART_RESULTS[i]}"
  done
}

start_test_servers() {
  local began=$SECONDS status=0
  say ""
  step "== servers"
  servers_start test rabbitmq postgres || status=1
  if ((status == 0)); then
    export MUSTER_DATABASE_URL=$DATABASE_URL_PRIVATE/postgres MUSTER_AMQP_URL=$AMQP_URL MUSTER_AMQP_ADMIN_URL=$AMQP_ADMIN_URL
    step "PostgreSQL on port $PG_PORT, RabbitMQ on port $AMQP_PORT"
  fi
  finish_part servers "$((SECONDS - began)) s" "$status"
}

cheap_parts() {
  part format 120 cargo fmt --all --check
  function_part layering 300 test_layering
}

# What compiles. The statements first: their check makes every later part compile the store anew.
compiled_parts() {
  function_part sqlx 1200 test_sqlx
  part clippy 1800 cargo clippy --workspace --all-targets --locked -- -D warnings
  RUSTDOCFLAGS='-D warnings' part docs 1800 cargo doc --workspace --no-deps --locked
}

tests_part() { # test runner arguments…
  part tests 2400 cargo nextest run --workspace --locked --no-fail-fast "$@"
}

all_parts() {
  cheap_parts
  start_test_servers || { skip_parts "no servers" sqlx clippy docs build migrations env-example tests doc-tests; return; }
  compiled_parts
  # all targets, as the test runner builds them: the same features, so nothing is compiled twice
  part build 1800 cargo build --workspace --all-targets --locked ||
    { skip_parts "the build failed" migrations env-example tests doc-tests; return; }
  function_part migrations 120 test_migrations
  function_part env-example 60 test_env_example
  tests_part
  part doc-tests 900 cargo test --doc --workspace --locked
}

chosen_parts() { # test runner arguments…
  start_test_servers || { skip_parts "no servers" build tests; return; }
  # all targets, as the test runner builds them: the same features, so nothing is compiled twice
  part build 1800 cargo build --workspace --all-targets --locked || { skip_parts "the build failed" tests; return; }
  tests_part "$@"
}

cmd_test() { # test runner arguments…
  local began=$SECONDS i failed=()
  make_dirs
  exec 9>"$STATE_DIR/test.lock"
  flock -n 9 || die "another ./dev test runs in this checkout"
  need_cargo
  need_servers postgres rabbitmq
  need_tool cargo-nextest || exit 1
  (($# > 0)) || need_tool cargo-deny
  # what is checked must not depend on the servers or settings of whoever runs it
  for i in "${!MUSTER_@}"; do [[ $i == MUSTER_RECORDED ]] || unset "$i"; done
  unset DATABASE_URL
  # what nobody will build on is not kept: it takes more of the disk than all the rest, and time to write
  [[ -z ${CI:-} ]] || export CARGO_INCREMENTAL=0
  rm -f "$LOGS"/test-*.log
  trap test_interrupted INT TERM HUP
  if (($# == 0)); then all_parts; else chosen_parts "$@"; fi
  trap '' INT TERM HUP
  test_cleanup
  print_table
  # the runner's own words last: they name what failed
  say ""
  for i in doc-tests tests; do
    [[ ! -s $LOGS/test-$i.log ]] ||
      grep -aE '^ +Summary|^ +(FAIL|TIMEOUT|SIG[A-Z]+) |^test result: FAILED|^error: could not compile' "$LOGS/test-$i.log" | awk '!seen[$0]++'
  done
  for i in "${!PART_NAMES[@]}"; do [[ ${PART_RESULTS[i]} == ok ]] || failed+=("${PART_NAMES[i]}"); done
  ((${#failed[@]} == 0)) || die "failed after $((SECONDS - began)) s: ${failed[*]}"
  say "passed after $((SECONDS - began)) s"
}

# ---- neighbours ---------------------------------------------------------------------------------------------------

cmd_sqlx() {
  make_dirs
  exec 9>"$STATE_DIR/test.lock"
  flock -n 9 || die "a ./dev test runs in this checkout"
  need_cargo
  need_servers postgres
  trap 'test_interrupted' INT TERM HUP
  servers_start test postgres || die "the private PostgreSQL did not start"
  DATABASE_URL=$DATABASE_URL_PRIVATE/postgres shared/store/prepare.sh --migrate
  local status=$?
  servers_stop test
  return "$status"
}

cmd_fuzz() { # [seconds]
  make_dirs
  need_cargo
  need_tool cargo-fuzz || exit 1
  cd ingest-gateway || exit 1
  # libFuzzer's instrumentation needs unstable flags: RUSTC_BOOTSTRAP lets the pinned stable compiler accept them
  RUSTC_BOOTSTRAP=1 exec cargo fuzz run parse -- \
    -max_total_time="${1:-60}" -max_len=8192 -dict="$ROOT/ingest-gateway/fuzz/json.dict" -print_final_stats=1
}
