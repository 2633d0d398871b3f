# `./dev week`: the simulated week of the fleet tests in its long form, against servers that it starts and stops itself.
# shellcheck shell=bash

cmd_week() { # [--seed N] [--days D | --hours H] [--agents N] [--step MINUTES]
  # a seed of its own each time: what the tests play is always the same day
  local seed=$((RANDOM * 32768 + RANDOM)) hours=168 agents=60 step=15
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
  begin_alone test "a ./dev test runs in this checkout" postgres rabbitmq
  step "building"
  cargo build --workspace --bins --locked && cargo test -p tests --test it --no-run --locked || die "the build failed"
  with_servers test true env MUSTER_WEEK_SEED="$seed" MUSTER_WEEK_HOURS="$hours" MUSTER_WEEK_AGENTS="$agents" \
    MUSTER_WEEK_STEP_MIN="$step" cargo test -p tests --test it --locked -- --nocapture after_a_simulated_week
}
