# The demo tenant of `./dev up`: its secrets, and the simulated Tactical connected, mapped and synced by the operators' own
# command. Everything here may be done again and then changes nothing.
# shellcheck shell=bash

VAULT_KEY=$STATE_DIR/vault.key
TOKEN=$STATE_DIR/token
# A role with few permissions, as a careful operator would give it (tests/src/simulator/accounts.rs).
SIMULATOR_KEY=SIMULATORKEYSYNC0000000000000000

# The demo tenant, its webhook secret, the pepper and the vault's key outlive a restart, as their database does. Each
# checkout has its own tenant, so that two of them may share an external database.
load_demo() {
  if [[ ! -s $DEMO ]]; then
    (umask 077 && printf 'MUSTER_TENANT=%s\nMUSTER_WEBHOOK_SECRET=%s\nMUSTER_HOOK_PEPPER=%s\n' \
      "$(cat /proc/sys/kernel/random/uuid)" "$(random_hex 24)" "$(random_hex 32)" >"$DEMO")
  fi
  load_env "$DEMO"
  # whoever shares an external database brings the key that its secrets are sealed with
  [[ -z ${MUSTER_VAULT_KEY:-}${MUSTER_VAULT_KEY_FILE:-} ]] || return 0
  [[ -s $VAULT_KEY ]] || (umask 077 && random_hex 32 >"$VAULT_KEY")
  export MUSTER_VAULT_KEY_FILE=$VAULT_KEY
}

# A token for everything of the demo tenant, made once and again only where the database does not know it (any more). The
# first line of its file is the token, the second its id.
ensure_token() { # muster
  local made id
  id=$(sed -n 2p "$TOKEN" 2>/dev/null)
  if [[ -z $id ]] || ! "$1" token list | grep -q "^$id  good"; then
    made=$("$1" token add --name './dev up' --tenant "$MUSTER_TENANT" --all-permissions 2>"$STATE_DIR/token.id") ||
      fail "the token could not be made: $(cat "$STATE_DIR/token.id")"
    (umask 077 && printf '%s\n%s\n' "$made" "$(awk '{ print $2; exit }' "$STATE_DIR/token.id")" >"$TOKEN")
    rm -f "$STATE_DIR/token.id"
  fi
  MUSTER_TOKEN=$(head -n 1 "$TOKEN")
  export MUSTER_TOKEN
}

prepare_database() {
  local muster
  muster=$(binary muster)
  step "migrating the database"
  "$muster" migrate || fail "the migration failed"
  step "connecting the demo tenant"
  "$muster" tenant connect --tenant "$MUSTER_TENANT" --name 'Demo tenant' --gateway-url "$MUSTER_GATEWAY_URL" \
    --secret-file <(printf '%s' "$MUSTER_WEBHOOK_SECRET") >/dev/null || fail "the demo tenant could not be connected"
  ensure_token "$muster"
  # the database's own clock, because that is what stands in its rows
  ask_database -c 'select now()' >"$STATE_DIR/started" || fail "the database does not answer"
}

# What an operator does with a new Tactical, in the same order and by the same command.
connect_demo() {
  local muster clients
  muster=$(binary muster)
  step "connecting the simulated Tactical"
  "$muster" connect --url "$MUSTER_SIMULATOR_URL" --api-key-file <(printf '%s' "$SIMULATOR_KEY") >"$LOGS/demo.log" 2>&1 ||
    demo_failed "the simulated Tactical could not be connected"
  step "syncing its clients"
  "$muster" sync clients --wait >>"$LOGS/demo.log" 2>&1 || demo_failed "its clients could not be synced"
  # the demo's PSA has the same customers; a real one has its own already
  clients=$(ask_database -v tenant="$MUSTER_TENANT" -f "$ROOT/deploy/dev/clients.sql") ||
    fail "the demo's PSA clients could not be made"
  step "mapping them (${clients:-0} PSA clients made for the demo)"
  "$muster" mappings accept-proposals >>"$LOGS/demo.log" 2>&1 || demo_failed "its clients could not be mapped"
  step "syncing its devices"
  "$muster" sync devices --wait >>"$LOGS/demo.log" 2>&1 || demo_failed "its devices could not be synced"
  step "reading what is installed on them"
  "$muster" sync software --wait >>"$LOGS/demo.log" 2>&1 || demo_failed "its software could not be read"
}

demo_failed() { # why
  last_lines demo 15
  fail "$1"
}
