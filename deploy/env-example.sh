#!/usr/bin/env bash
# Prints .env.example out of the programs' own --help, so that the two cannot differ: deploy/env-example.sh > .env.example
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
bin=${CARGO_TARGET_DIR:-target}/debug
# of the operators' command one command of each group of flags is enough
commands=(ingest-gateway alert-worker sync-worker inventory-worker console 'muster migrate' 'muster doctor' 'muster tenant connect' 'muster vault rotate'
  'muster connect')

for command in "${commands[@]}"; do
  read -r -a words <<<"$command"
  program=${words[0]}
  [[ -x $bin/$program ]] || { echo "no $bin/$program: cargo build --workspace --bins" >&2; exit 1; }
  # a value of the caller's environment would show up as one of the program's
  env -i "$bin/$program" "${words[@]:1}" -h | sed "s/^/$program\t/"
done | awk -F '\t' '
  # a flag begins; its words follow on the same line or on the next
  $2 ~ /^ +-/ { words = $2; sub(/^ +(-[a-zA-Z], )?--[a-z-]+( <[^>]*>)?(\.\.\.)? */, "", words) }
  $2 ~ /^ +[^ -]/ { line = $2; sub(/^ +/, "", line); words = words (words == "" ? "" : " ") line }
  match(words, /\[env: [A-Z_]+=?[^]]*\]/) {
    name = substr(words, RSTART + 6, RLENGTH - 7); sub(/=.*/, "", name)
    value = ""
    if (match(words, /\[default: [^]]*\]/)) value = substr(words, RSTART + 10, RLENGTH - 11)
    if (match(words, /\[possible values: [^]]*\]/)) values = substr(words, RSTART + 1, RLENGTH - 2); else values = ""
    sub(/ *\[env: .*/, "", words)
    if (!(name in text)) { order[++count] = name; text[name] = words (values == "" ? "" : " (" values ")"); preset[name] = value }
    if (index(users[name] ",", $1 ",") == 0) users[name] = users[name] (users[name] == "" ? "" : ", ") $1
    words = ""
  }
  END {
    print "# Every variable that a program of Muster reads. What stands behind a = is the default; made by"
    print "# deploy/env-example.sh from the programs'"'"' own --help, and compared with it by ./dev test."
    for (i = 1; i <= count; i++) {
      name = order[i]
      if (users[name] != last) { printf "\n# ==== %s\n", users[name]; last = users[name] }
      printf "\n# %s\n", text[name]
      printf "# %s=%s\n", name, preset[name]
    }
  }'
