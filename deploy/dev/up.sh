# The commands around the fleet: up, down, status, logs; and the words that a person reads.
# shellcheck shell=bash

fleet_runs() { # is the lock held? It dies with its holder, unlike a pid file.
  [[ -e $STATE_DIR/up.lock ]] || return 1
  ! flock -n "$STATE_DIR/up.lock" true
}

# ---- numbers ------------------------------------------------------------------------------------------------------

# The database's side of things. ALERTS_NEW were written since the start: the simulator begins anew, the database does not.
# Sets ALERTS, ALERTS_NEW, ALERTS_OPEN, OUTBOX_OLDEST_S, PARKED, ASSETS, ASSET_CLIENTS, ONLINE, OFFLINE, OVERDUE,
# MISSING, PROGRAMS, INSTALLED.
database_counts() {
  read -r ALERTS ALERTS_NEW ALERTS_OPEN OUTBOX_OLDEST_S PARKED ASSETS ASSET_CLIENTS ONLINE OFFLINE OVERDUE MISSING \
    PROGRAMS INSTALLED <<<"$(ask_database -F ' ' \
    -v tenant="$MUSTER_TENANT" -v started="$(cat "$STATE_DIR/started")" -f "$ROOT/deploy/dev/counts.sql" 2>/dev/null)"
}

ask_database() { # psql argument…
  PGCONNECT_TIMEOUT=5 with_url "$MUSTER_DATABASE_URL" timeout 10 psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

# Both ends of the wire, since the processes were started: what the simulator sent, what the gateway accepted, and how old
# a message was when the worker took it. The numbers end with the processes; after that the last ones stand.
sender_counts() { # sets SENT, UNANSWERED, ACCEPTED, AGE_MS
  local answer
  if answer=$(http GET "$MUSTER_SIMULATOR_URL/_control/state"); then
    SENT=$(json_number webhooks <<<"$answer")
    UNANSWERED=$(json_number webhooks_waiting <<<"$answer")
  fi
  if answer=$(http GET "$MUSTER_GATEWAY_ADMIN_URL/metrics"); then
    ACCEPTED=$(awk '/^muster_webhook_requests_total[{].*status="202"/ { sum += $NF } END { printf "%d", sum }' <<<"$answer")
  fi
  if answer=$(http GET "$MUSTER_ALERT_WORKER_URL/metrics"); then
    AGE_MS=$(awk '/^muster_message_age_seconds_sum/ { sum += $NF } /^muster_message_age_seconds_count/ { count += $NF }
      END { if (count) printf "%d", 1000 * sum / count }' <<<"$answer")
  fi
}

# Messages that wait in any queue of the vhost; only where the management API is known.
queued_count() {
  local url=${MUSTER_AMQP_ADMIN_URL:-}
  [[ -n $url ]] || return 0
  http GET "http://${url##*@}/api/queues/muster?columns=messages" '' guest:guest |
    grep -o '"messages":[0-9]*' | awk -F: '{ sum += $2 } END { printf "%d", sum }'
}

alerts_arrived() {
  [[ -z $STOPPING ]] || return 0
  database_counts
  ((${ALERTS_NEW:-0} >= 5))
}

flow_line() {
  database_counts
  sender_counts
  printf 'webhooks sent %s, accepted %s; alerts written %s, in Postgres %s, open %s; parked %s; message age %s ms, oldest event %s s; %s' \
    "${SENT:-?}" "${ACCEPTED:-?}" "${ALERTS_NEW:-?}" "${ALERTS:-?}" "${ALERTS_OPEN:-?}" "${PARKED:-?}" "${AGE_MS:-?}" "${OUTBOX_OLDEST_S:-?}" \
    "$(assets_words)"
}

# As they were read last: how old that is stands in each asset.
assets_words() {
  printf 'assets %s (%s), programs on them %s' "${ASSETS:-?}" "$(states_words)" "${INSTALLED:-?}"
}

# Those that are gone from Tactical only where there are any.
states_words() {
  printf 'online %s, offline %s, overdue %s' "${ONLINE:-?}" "${OFFLINE:-?}" "${OVERDUE:-?}"
  ((${MISSING:-0} == 0)) || printf ', missing %s' "$MISSING"
}

# ---- words --------------------------------------------------------------------------------------------------------

# Nothing is restarted by itself, nor by `up` while the rest runs.
ANEW='what is dead stays so: ./dev down, then ./dev up, starts all of it anew; the data stays'

row() { printf '  %-20s %-9s %s\n' "$@"; }

where() { # name
  case $1 in
    tactical-simulator) printf '%s  plays a Tactical RMM server and sends webhooks' "$MUSTER_SIMULATOR_URL" ;;
    ingest-gateway) printf '%s  turns webhooks into messages' "$MUSTER_GATEWAY_URL" ;;
    alert-worker) printf '%s  writes alerts to Postgres' "$MUSTER_ALERT_WORKER_URL" ;;
    sync-worker) printf '%s  reads clients and devices from Tactical' "$MUSTER_SYNC_WORKER_URL" ;;
    inventory-worker) printf '%s  reads installed software from Tactical' "$MUSTER_INVENTORY_WORKER_URL" ;;
    console) printf '%s  the operators'"'"' API' "$MUSTER_CONSOLE_URL" ;;
    up-rabbitmq) printf '127.0.0.1:%s  carries the messages' "${MUSTER_AMQP_URL##*:}" ;;
    up-postgres) printf '127.0.0.1:%s  holds alerts and assets' "${MUSTER_DATABASE_URL##*:}" ;;
  esac
}

# One row a process: alive with its pid, dead with how it ended, or not started yet. Sets PROCESS_DEAD: the names of the dead.
process_rows() {
  local name pid names=(tactical-simulator ingest-gateway console)
  [[ ! -e $PIDS/up-rabbitmq ]] || names+=(up-rabbitmq)
  names+=(alert-worker sync-worker inventory-worker)
  [[ ! -e $PIDS/up-postgres ]] || names+=(up-postgres)
  PROCESS_DEAD=()
  for name in "${names[@]}"; do
    if pid=$(pid_of "$name"); then
      row "${name#up-}" "$pid" "$(where "$name")"
    elif [[ ! -e $PIDS/$name && $(cat "$STATE" 2>/dev/null) == starting ]]; then
      row "${name#up-}" - "not started yet"
    else
      PROCESS_DEAD+=("${name#up-}")
      row "${name#up-}" DEAD "$(cat "$PIDS/$name.dead" 2>/dev/null || echo 'did not say why'); ./dev logs ${name#up-}"
    fi
  done
  [[ -e $PIDS/up-rabbitmq ]] || row rabbitmq external "${MUSTER_AMQP_URL##*@}"
  [[ -e $PIDS/up-postgres ]] || row postgres external "${MUSTER_DATABASE_URL##*@}"
}

summary() {
  clear_line
  say ""
  say "The fleet stands. What runs where:"
  process_rows
  say ""
  say "What just happened:"
  database_counts
  sender_counts
  local queued
  queued=$(queued_count)
  say "  webhooks sent by the simulated Tactical: ${SENT:-?}, accepted by the gateway: ${ACCEPTED:-?}"
  say "  alerts written since the start: ${ALERTS_NEW:-?}; in Postgres: ${ALERTS:-?}, of them open: ${ALERTS_OPEN:-?}"
  say "  assets of ${ASSET_CLIENTS:-?} clients: ${ASSETS:-?}; $(states_words)"
  say "  programs: ${PROGRAMS:-?}, installed ${INSTALLED:-?} times"
  say "  messages waiting in the broker: ${queued:-?}, parked for a person to look at: ${PARKED:-?}"
  say "  oldest event still to be published: ${OUTBOX_OLDEST_S:-?} s; age of a message when the worker takes it: ${AGE_MS:-?} ms on average"
  say ""
  where_to_look
}

where_to_look() {
  say "Where to look next:"
  say "  the rows      ./dev psql -c 'select * from rmm_alerts order by updated_at desc limit 5'"
  [[ -z ${MUSTER_AMQP_ADMIN_URL:-} ]] || say "  the queues    http://${MUSTER_AMQP_ADMIN_URL##*@}/ (guest, guest)"
  say "  the API       curl -H \"Authorization: Bearer \$(head -n 1 .muster/token)\" $MUSTER_CONSOLE_URL/api/v1/tenants/$MUSTER_TENANT/integrations/tacticalrmm"
  say "  the command   ./dev muster status (sync devices --wait, assets, software list, --help …); it is $(binary muster)"
  say "  the schedules ./dev muster schedule list: alerts, devices, clients and software are read by themselves from now on"
  say "  the metrics   /metrics of $MUSTER_GATEWAY_ADMIN_URL $MUSTER_CONSOLE_ADMIN_URL $MUSTER_ALERT_WORKER_URL $MUSTER_SYNC_WORKER_URL $MUSTER_INVENTORY_WORKER_URL"
  [[ -z ${MUSTER_OTLP_URL:-} ]] || say "  the traces    sent to $MUSTER_OTLP_URL; in Jaeger look for the service ingest-gateway"
  say "  the logs      ./dev logs [name] [-f]"
  say "  the settings  .muster/env (it holds secrets: keep it private). It is data, not a script; into a shell it goes with"
  say "                while IFS= read -r line; do export \"\$line\"; done < .muster/env"
}

# ---- commands -----------------------------------------------------------------------------------------------------

cmd_up() { # [--detach]
  case ${1:-} in
    '' | -d | --detach) ;;
    *) die "unknown option of up: $1 (there is --detach)" ;;
  esac
  make_dirs
  if fleet_runs; then
    already_runs
    return
  fi
  need_cargo
  settings
  need_servers "${PRIVATE[@]}"
  step "building (the first time takes some minutes)"
  # --workspace: the same features, hence the same artefacts, as in every other build
  cargo build --release --workspace "${CHILDREN[@]/#/--bin=}" --bin=muster --locked || die "the build failed"
  # another `up` may have been faster while this one built; nothing of its is touched
  if ! lock_fleet; then
    already_runs
  elif [[ -z ${1:-} ]]; then
    supervise
  else
    up_detached
  fi
}

# Takes the lock that says that the fleet runs; whoever is started with it holds it, too.
lock_fleet() {
  exec 9>"$STATE_DIR/up.lock"
  # whoever asks whether the fleet runs holds it for a moment
  flock -w 2 9
}

# What `up` says where it has nothing to do; the state as it is says the rest.
already_runs() {
  case $(cat "$STATE" 2>/dev/null) in
    running | degraded) say "the fleet already runs from this checkout; nothing was changed" ;;
    stopping) say "the fleet is being stopped; nothing was changed: ./dev up once it has stopped" ;;
    *) say "another ./dev up is starting the fleet of this checkout; nothing was changed" ;;
  esac
  cmd_status
}

# Holds the lock, and hands it to the background half.
up_detached() {
  local pid tail_pid
  : >"$LOGS/dev.log"
  rm -f "$STATE"
  setsid "$ROOT/dev" __supervise </dev/null >>"$LOGS/dev.log" 2>&1 &
  pid=$!
  exec 9>&-
  trap 'kill "$pid" 2>/dev/null' INT TERM HUP
  tail -n +1 -f --pid="$pid" "$LOGS/dev.log" &
  tail_pid=$!
  until_true 300 started_or_dead "$pid"
  sleep 0.5 # tail looks once a second at the most; what it has not shown yet stands in the log
  kill "$tail_pid" 2>/dev/null
  wait "$tail_pid" 2>/dev/null
  if [[ $(cat "$STATE" 2>/dev/null) == running ]]; then
    disown "$pid"
    say ""
    say "running in the background: ./dev status, ./dev logs, ./dev down"
  else
    wait "$pid"
    die "the fleet did not start: $LOGS/dev.log says why"
  fi
}

started_or_dead() { # pid
  [[ $(cat "$STATE" 2>/dev/null) == running ]] || process_gone "$1"
}

cmd_down() { # [--wipe]
  local pid began=$SECONDS
  case ${1:-} in
    '' | --wipe) ;;
    *) die "unknown option of down: $1 (there is --wipe)" ;;
  esac
  make_dirs
  if fleet_runs && pid=$(pid_of dev); then
    step "asking the fleet to drain and stop"
    kill -s TERM "$pid"
    # each part's own limit, one after the other, makes 425 s
    until_true 450 process_gone "$pid" || die "it did not stop within 450 s: ./dev logs dev"
    [[ ! -s $UNCLEAN_FILE ]] || die "stopped; these did not end cleanly: $(cat "$UNCLEAN_FILE"): ./dev logs <name> says why"
    step "stopped in $((SECONDS - began)) s"
  else
    # the lock keeps a starting `up` away while leftovers are tidied
    exec 9>"$STATE_DIR/up.lock"
    flock -w 5 9 || die "something holds $STATE_DIR/up.lock"
    stop_leftovers
    rm -f "$STATE" "$PIDS/dev"
    say "the fleet does not run"
  fi
  if [[ ${1:-} == --wipe ]]; then
    # the vault's key stays: an external database still holds what is sealed with it
    rm -rf "${SERVERS:?}/up" "${STATE_DIR:?}/gateway" "$DEMO" "$TOKEN"
    # a folder outside the checkout is not left behind empty
    [[ ! -L $SERVERS ]] || { rmdir "$(readlink -f "$SERVERS")" 2>/dev/null && rm -f "$SERVERS"; }
    say "its data is deleted"
  fi
}

# Exit code: 0 all is well, 1 something is dead, 3 nothing runs.
cmd_status() {
  if ! fleet_runs; then
    say "the fleet does not run from this checkout: ./dev up starts it (and ends what a killed one left behind)"
    return 3
  fi
  local state
  state=$(cat "$STATE" 2>/dev/null)
  say "state: ${state:-starting}"
  [[ -s $ENV_FILE ]] || return 0
  load_env "$ENV_FILE"
  process_rows
  say ""
  say "  $(flow_line)"
  ((${#PROCESS_DEAD[@]} > 0)) || return 0
  say "  dead: ${PROCESS_DEAD[*]}; $ANEW"
  return 1
}

# psql on the running fleet's database; its arguments are psql's.
cmd_psql() { # psql argument…
  fleet_runs && [[ -s $ENV_FILE ]] || die "the fleet does not run from this checkout: ./dev up starts it"
  load_env "$ENV_FILE"
  with_url "$MUSTER_DATABASE_URL" psql "$@"
}

# The operators' command on the running fleet; its arguments are the command's.
cmd_muster() { # argument…
  fleet_runs && [[ -s $ENV_FILE ]] || die "the fleet does not run from this checkout: ./dev up starts it"
  load_env "$ENV_FILE"
  exec "$(binary muster)" "$@"
}

cmd_logs() { # [name] [-f]
  local follow=() names=() word
  for word; do
    case $word in
      -f | --follow) follow=(-f) ;;
      -*) die "unknown option of logs: $word (there is -f)" ;;
      *) names+=("$word") ;;
    esac
  done
  if ((${#names[@]} == 0)); then names=("${CHILDREN[@]}"); fi
  local files=() name
  for name in "${names[@]}"; do
    if [[ -e $LOGS/$name.log ]]; then
      files+=("$LOGS/$name.log")
    elif [[ -e $LOGS/up-$name.log ]]; then
      files+=("$LOGS/up-$name.log")
    else
      die "no log of $name; there are: $(cd "$LOGS" && ls | sed 's/\.log$//' | paste -sd' ')"
    fi
  done
  exec tail -n 50 "${follow[@]}" "${files[@]}"
}
