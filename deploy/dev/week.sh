# `./dev week`: the simulated week of the fleet tests in its long form, against servers that it starts and stops itself.
# shellcheck shell=bash

cmd_week() { # [--seed N] [--days D | --hours H] [--agents N] [--step MINUTES]
  # a seed of its own each time: what the tests play is always the same day
  local seed=$((RANDOM * 32768 + RANDOM)) hours=168 agents=60 step=15 i status
  while (($# > 0)); do
    [[ ${2:-} =~ ^[0-9]+$ ]] || die "$1 wants a number"
    case $1 in
      --seed) seed=$2 ;;
      --days) hours=$(($2 * 24)) ;;
      --hours) hours=$2 ;;
      --agents) agents=$2 ;;
      --step) step=$2 ;;
      *) die "unknown option: $1 (there are --seed, --days, --hours, --agents, --step)" ;;
    esac
    shift 2
  done
  make_dirs
  exec 9>"$STATE_DIR/test.lock"
  flock -n 9 || die "a ./dev test runs in this checkout"
  need_cargo
  need_servers postgres rabbitmq
  # what happens must not depend on the settings of whoever runs it
  for i in "${!MUSTER_@}"; do unset "$i"; done
  step "building"
  cargo build --workspace --bins --locked && cargo test -p tests --test it --no-run --locked || die "the build failed"
  trap test_interrupted INT TERM HUP
  step "starting private servers"
  servers_start test rabbitmq postgres || { servers_stop test; die "the private servers did not start: $LOGS/test-*.log"; }
  MUSTER_WEEK_SEED=$seed MUSTER_WEEK_HOURS=$hours MUSTER_WEEK_AGENTS=$agents MUSTER_WEEK_STEP_MIN=$step \
    MUSTER_DATABASE_URL=$DATABASE_URL_PRIVATE/postgres MUSTER_AMQP_URL=$AMQP_URL MUSTER_AMQP_ADMIN_URL=$AMQP_ADMIN_URL \
    cargo test -p tests --test it --locked -- --nocapture after_a_simulated_week 9>&-
  status=$?
  trap '' INT TERM HUP
  servers_stop test
  return "$status"
}
