# The fleet of `./dev up`: its processes, their settings, and the loop that watches them and stops them in order.
# shellcheck shell=bash

# In the order of starting, so that whoever is asked is there before whoever asks; they stop in the reverse one.
CHILDREN=(alert-worker ingest-gateway tactical-simulator sync-worker inventory-worker console)
DEMO=$STATE_DIR/demo.env
STATE=$STATE_DIR/state
ENV_FILE=$STATE_DIR/env
# A worker gives itself MUSTER_GRACE_MS (40 s) to finish what it holds, and then says itself that it could not: it is killed
# from here only well after that.
GRACE_S=75
SIMULATED_TACTICAL=(MUSTER_TACTICAL_ALLOW_HTTP=true MUSTER_TACTICAL_ALLOW_NETWORKS=127.0.0.0/8)
DEAD=()
# Who ended otherwise than with exit code 0 when it was asked to stop; in a file, because `down` is another process.
UNCLEAN=()
UNCLEAN_FILE=$STATE_DIR/unclean
STOPPING=

binary() { printf '%s/release/%s' "${CARGO_TARGET_DIR:-$ROOT/target}" "$1"; }

# ---- settings -----------------------------------------------------------------------------------------------------

# Sets what a file of KEY=value lines holds. It is never sourced: a value may hold `&` or `$(…)`, and a URL of an external
# server is nothing that this script has written. `read` would cut a value's last `=` off, therefore the line is cut here.
load_env() { # file
  local line
  while IFS= read -r line; do
    [[ ! ${line%%=*} =~ ^MUSTER_[A-Z_]+$ ]] || export "${line%%=*}=${line#*=}"
  done <"$1"
}

# Sets what every child reads. A URL that points at this checkout's own private server (somebody took it from .muster/env) is
# not an external one.
settings() {
  local ports
  ports=$(cut -d= -f2 "$STATE_DIR/up.ports" 2>/dev/null | paste -sd'|')
  PRIVATE=()
  is_ours() { [[ -n $ports && $1 =~ 127\.0\.0\.1:($ports)/ ]]; }
  if [[ -z ${MUSTER_DATABASE_URL:-} ]] || is_ours "$MUSTER_DATABASE_URL"; then PRIVATE+=(postgres); fi
  if [[ -z ${MUSTER_AMQP_URL:-} ]] || is_ours "$MUSTER_AMQP_URL"; then PRIVATE+=(rabbitmq); fi
}

is_private() { [[ " ${PRIVATE[*]} " == *" $1 "* ]]; }

# .muster/env: what runs, for people, scripts and tests, one KEY=value a line, raw: whoever reads it must not source it.
# Written in one step, so that nobody reads half of it.
write_env() {
  local name
  (
    umask 077
    for name in MUSTER_DATABASE_URL MUSTER_AMQP_URL MUSTER_AMQP_ADMIN_URL MUSTER_GATEWAY_URL MUSTER_GATEWAY_ADMIN_URL \
      MUSTER_CONSOLE_URL MUSTER_CONSOLE_ADMIN_URL MUSTER_TOKEN MUSTER_ALERT_WORKER_URL MUSTER_SYNC_WORKER_URL MUSTER_INVENTORY_WORKER_URL \
      MUSTER_SIMULATOR_URL MUSTER_TENANT \
      MUSTER_WEBHOOK_SECRET MUSTER_HOOK_PEPPER MUSTER_VAULT_KEY MUSTER_VAULT_KEY_FILE MUSTER_OTLP_URL; do
      [[ -z ${!name:-} ]] || printf '%s=%s\n' "$name" "${!name//$'\n'/}"
    done >"$ENV_FILE.new"
  )
  mv "$ENV_FILE.new" "$ENV_FILE"
}

# ---- starting -----------------------------------------------------------------------------------------------------

start_servers() {
  if ((${#PRIVATE[@]} > 0)); then
    step "starting private ${PRIVATE[*]}"
    servers_start up "${PRIVATE[@]}" || fail "the private servers did not start: see ./dev logs"
    PRIVATE_SERVERS_RUN=1
  fi
  if is_private postgres; then export MUSTER_DATABASE_URL=$DATABASE_URL; fi
  if is_private rabbitmq; then
    export MUSTER_AMQP_URL=$AMQP_URL MUSTER_AMQP_ADMIN_URL=$AMQP_ADMIN_URL
  fi
}

choose_addresses() {
  choose_ports "$STATE_DIR/fleet.ports" GATEWAY_PORT GATEWAY_ADMIN_PORT WORKER_PORT SIMULATOR_PORT \
    SYNC_WORKER_PORT CONSOLE_PORT CONSOLE_ADMIN_PORT INVENTORY_WORKER_PORT
  export MUSTER_GATEWAY_URL=http://127.0.0.1:$GATEWAY_PORT
  export MUSTER_GATEWAY_ADMIN_URL=http://127.0.0.1:$GATEWAY_ADMIN_PORT
  export MUSTER_ALERT_WORKER_URL=http://127.0.0.1:$WORKER_PORT
  export MUSTER_SYNC_WORKER_URL=http://127.0.0.1:$SYNC_WORKER_PORT
  export MUSTER_INVENTORY_WORKER_URL=http://127.0.0.1:$INVENTORY_WORKER_PORT
  export MUSTER_CONSOLE_URL=http://127.0.0.1:$CONSOLE_PORT
  export MUSTER_CONSOLE_ADMIN_URL=http://127.0.0.1:$CONSOLE_ADMIN_PORT
  export MUSTER_SIMULATOR_URL=http://127.0.0.1:$SIMULATOR_PORT
}

start_child() { # name
  : >"$LOGS/$1.log"
  case $1 in
    # the simulated Tactical speaks plain HTTP on this machine, which nobody else's may
    alert-worker)
      spawn "$1" env MUSTER_PROBE_LISTEN="127.0.0.1:$WORKER_PORT" "${SIMULATED_TACTICAL[@]}" "$(binary "$1")"
      wait_ready "$1" "$MUSTER_ALERT_WORKER_URL/readyz"
      ;;
    sync-worker)
      spawn "$1" env MUSTER_PROBE_LISTEN="127.0.0.1:$SYNC_WORKER_PORT" "${SIMULATED_TACTICAL[@]}" "$(binary "$1")"
      wait_ready "$1" "$MUSTER_SYNC_WORKER_URL/readyz"
      ;;
    inventory-worker)
      spawn "$1" env MUSTER_PROBE_LISTEN="127.0.0.1:$INVENTORY_WORKER_PORT" "${SIMULATED_TACTICAL[@]}" "$(binary "$1")"
      wait_ready "$1" "$MUSTER_INVENTORY_WORKER_URL/readyz"
      ;;
    console)
      spawn "$1" env MUSTER_CONSOLE_LISTEN="127.0.0.1:$CONSOLE_PORT" \
        MUSTER_PROBE_LISTEN="127.0.0.1:$CONSOLE_ADMIN_PORT" "${SIMULATED_TACTICAL[@]}" "$(binary "$1")"
      wait_ready "$1" "$MUSTER_CONSOLE_URL/readyz"
      ;;
    ingest-gateway)
      spawn "$1" env MUSTER_GATEWAY_LISTEN="127.0.0.1:$GATEWAY_PORT" \
        MUSTER_GATEWAY_ADMIN_LISTEN="127.0.0.1:$GATEWAY_ADMIN_PORT" \
        MUSTER_GATEWAY_STATE_DIR="$STATE_DIR/gateway" "$(binary "$1")"
      wait_ready "$1" "$MUSTER_GATEWAY_URL/readyz"
      ;;
    tactical-simulator)
      # command lines are seen by every local user, also that of `env`; the environment is not
      SIMULATOR_WEBHOOK_SECRET=$MUSTER_WEBHOOK_SECRET spawn "$1" "$(binary "$1")" \
        --listen "127.0.0.1:$SIMULATOR_PORT" --alert-interval-ms 1000 \
        --webhook-url "$MUSTER_GATEWAY_URL/api/webhooks/tacticalrmm?tenant=$MUSTER_TENANT"
      wait_ready "$1" "$MUSTER_SIMULATOR_URL/_control/state"
      ;;
  esac
}

ready_or_dead() { gone "$1" || http_ok GET "$2"; }

wait_ready() { # name url
  until_true 60 ready_or_dead "$1" "$2"
  if ! pid_of "$1" >/dev/null; then
    last_lines "$1" 15
    fail "$1 ended while it was starting"
  elif ! http_ok GET "$2"; then
    last_lines "$1" 15
    fail "$1 is not ready after 60 s ($2)"
  fi
  step "$1 is ready"
}

# ---- watching -----------------------------------------------------------------------------------------------------

# Everything that should be alive: the fleet and the private servers.
watched() {
  printf '%s\n' "${CHILDREN[@]}"
  [[ -z ${PRIVATE_SERVERS_RUN:-} ]] || printf 'up-%s\n' "${PRIVATE[@]}"
}

# Reports each death once, with its exit code and last words. Nothing is restarted: a crash must be seen, not papered over.
report_deaths() {
  local name pid status
  for name in $(watched); do
    [[ " ${DEAD[*]} " != *" $name "* ]] || continue
    pid_of "$name" >/dev/null && continue
    read -r pid _ <"$PIDS/$name"
    wait "$pid" 2>/dev/null
    status=$?
    DEAD+=("$name")
    clear_line
    step "DEAD: $name ended with $(exit_words "$status"); its last lines:"
    last_lines "$name" 10
    step "$ANEW"
    printf 'degraded\n' >"$STATE"
    printf '%s\n' "$(exit_words "$status")" >"$PIDS/$name.dead"
  done
}

exit_words() { # status
  if (($1 > 128)); then printf 'signal %s' "$(kill -l "$1")"; else printf 'exit code %s' "$1"; fi
}

clear_line() { [[ ! -t 1 ]] || printf '\r\e[K'; }

# A line a few seconds on a terminal; a line a minute where the output is a file.
show_progress() { # seconds since start
  if [[ -t 1 ]]; then
    (($1 % 3 == 0)) || return 0
    clear_line
    printf '%s' "$(date +%H:%M:%S)  $(flow_line)"
  elif (($1 % 60 == 0)); then
    step "$(flow_line)"
  fi
}

watch_until_stopped() {
  local began=$SECONDS last=-1
  while [[ -z $STOPPING ]]; do
    report_deaths
    if ((SECONDS != last)); then
      last=$SECONDS
      show_progress $((last - began + 1))
    fi
    # in the background, so that a signal is acted on at once
    sleep 0.5 9>&- &
    wait $! 2>/dev/null
  done
}

# ---- stopping -----------------------------------------------------------------------------------------------------

# Stops one of the fleet and says how it ended: only exit code 0 means that nothing was left half done.
stop_child() { # name grace_s
  local began=$SECONDS ran status
  # a death that was reported is not told twice
  [[ " ${DEAD[*]} " != *" $1 "* ]] || { rm -f "$PIDS/$1"; return 0; }
  ran=$(pid_of "$1")
  stop_process "$1" "$2"
  status=$?
  # what a reboot left is only a file
  [[ -n $ran$ENDED ]] || return 0
  if ((status == 0)) && [[ -z $ENDED ]]; then
    step "$1 stopped in $((SECONDS - began)) s; how it ended only its log can tell"
  elif ((status == 0)); then
    step "$1 drained and stopped in $((SECONDS - began)) s"
  else
    step "NOT DRAINED: $1 ended with $(exit_words "$status") after $((SECONDS - began)) s; its last lines:"
    last_lines "$1" 5
    UNCLEAN+=("$1")
    printf '%s\n' "${UNCLEAN[*]}" >"$UNCLEAN_FILE"
  fi
}

stop_fleet() {
  local i name
  for ((i = ${#CHILDREN[@]} - 1; i >= 0; i--)); do
    name=${CHILDREN[i]}
    [[ ! -e $PIDS/$name ]] || stop_child "$name" "$GRACE_S"
  done
  rm -f "$ENV_FILE" "$PIDS"/*.dead
}

# What a killed ./dev left running. Harmless when there is nothing.
stop_leftovers() {
  local name found=
  for name in "${CHILDREN[@]}" up-postgres up-rabbitmq; do
    ! pid_of "$name" >/dev/null || found+=" $name"
  done
  [[ -z $found ]] || step "stopping what an earlier ./dev up left behind:$found"
  stop_fleet
  servers_stop up
}

# Everything after this line of a failed start is cleaning up.
fail() {
  trap '' INT TERM HUP
  warn "$*"
  stop_fleet
  servers_stop up
  printf 'failed\n' >"$STATE"
  rm -f "$PIDS/dev"
  exit 1
}

# The process behind both forms of `up`: holds the lock (fd 9, which it was started with), starts everything, watches, stops
# everything.
supervise() {
  flock -n 9 2>/dev/null || die "the fleet already runs from this checkout: ./dev status"
  trap 'STOPPING=1; [[ $(cat "$STATE") != starting ]] || fail "interrupted while starting"' INT TERM HUP
  printf 'starting\n' >"$STATE"
  record_pid dev $$
  DEAD=()
  rm -f "$PIDS"/*.dead
  stop_leftovers
  UNCLEAN=()
  rm -f "$UNCLEAN_FILE"
  settings
  load_demo
  choose_addresses
  start_servers
  prepare_database
  write_env
  local name
  for name in "${CHILDREN[@]}"; do start_child "$name"; done
  connect_demo
  step "waiting for the first alerts to arrive"
  until_true 60 alerts_arrived || warn "not five alerts arrived within 60 s: ./dev logs says why"
  summary
  # last: whoever waits for this word wants to have seen the summary
  printf 'running\n' >"$STATE"
  watch_until_stopped
  finish
}

# Lets the simulator's alerts end before the simulator does, so that the numbers of both ends can be compared.
quiet_sender() {
  pid_of tactical-simulator >/dev/null || return 0
  http_ok POST "$MUSTER_SIMULATOR_URL/_control/set_webhook" '{"settings":null}' && until_true 10 all_answered
  sender_counts
}

all_answered() {
  sender_counts
  [[ ${UNANSWERED:-0} == 0 ]]
}

# Prints the last numbers when everything has drained and the database still answers.
finish() {
  local began=$SECONDS name
  trap 'warn "killing what is left"; kill_all; exit 1' INT TERM HUP
  clear_line
  step "stopping: first whoever sends, then whoever receives"
  printf 'stopping\n' >"$STATE"
  quiet_sender
  for name in console inventory-worker sync-worker tactical-simulator ingest-gateway alert-worker; do stop_child "$name" "$GRACE_S"; done
  step "$(flow_line)"
  stop_fleet
  servers_stop up
  rm -f "$STATE" "$PIDS/dev"
  ((${#DEAD[@]} == 0)) || die "stopped; these had died before: ${DEAD[*]}"
  ((${#UNCLEAN[@]} == 0)) || die "stopped; these did not end cleanly: ${UNCLEAN[*]}"
  say "stopped in $((SECONDS - began)) s"
  exit 0
}

kill_all() {
  local name pid
  for name in "${CHILDREN[@]}" up-rabbitmq up-epmd up-postgres; do
    ! pid=$(pid_of "$name") || kill -s KILL "$pid"
  done
}
