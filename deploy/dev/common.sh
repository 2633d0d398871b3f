# Words, ports, processes and a tiny HTTP client: what every other file of ./dev stands on. Sourced by ../../dev.
# shellcheck shell=bash

STATE_DIR=$ROOT/.muster
LOGS=$STATE_DIR/log
PIDS=$STATE_DIR/pid
TOOLS=$STATE_DIR/tools

say() { printf '%s\n' "$*"; }
step() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*"; }
warn() { printf 'dev: %s\n' "$*" >&2; }
die() { warn "$*"; exit 1; }

# Everything below .muster is private to the one who runs ./dev; only the servers' own folders are opened (servers.sh).
make_dirs() {
  mkdir -p "$LOGS" "$PIDS" "$TOOLS" || die "cannot write below $STATE_DIR: run ./dev as the owner of the checkout"
}

# ---- processes ----------------------------------------------------------------------------------------------------

# Start time of a process in clock ticks since boot: with the pid it names a process for good, because pids are reused.
started_at() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # the command name may hold spaces and brackets; what follows its last bracket does not
  read -r -a stat <<<"${stat##*) }"
  [[ ${stat[0]} != Z ]] || return 1
  printf '%s' "${stat[19]}"
}

record_pid() { # name pid
  printf '%s %s\n' "$2" "$(started_at "$2")" >"$PIDS/$1"
}

# Prints the pid of a recorded process; fails when it does not run (any more).
pid_of() { # name
  local pid started
  read -r pid started 2>/dev/null <"$PIDS/$1" || return 1
  [[ -n $started && $(started_at "$pid") == "$started" ]] || return 1
  printf '%s' "$pid"
}

# Starts a process in a session of its own, so that a Ctrl-C on the terminal reaches ./dev alone and ./dev decides the
# order in which things stop. The lock (fd 9) is not inherited: a killed ./dev must not leave it taken.
spawn() { # name command…
  local name=$1
  shift
  setsid "$@" </dev/null >>"$LOGS/$name.log" 2>&1 9>&- &
  record_pid "$name" $!
}

# Polls a command every 100 ms until it succeeds or the deadline has passed.
until_true() { # seconds command…
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

gone() { ! pid_of "$1" >/dev/null; }

# Asks a process to stop (TERM unless told otherwise), waits, and kills it only after its grace period. Returns how it ended:
# its exit code, above 128 for a signal. Where that cannot be known, because another shell had started it, the answer is 0
# and ENDED is empty.
stop_process() { # name grace_s [signal]
  local name=$1 grace_s=$2 signal=${3:-TERM} pid status=0
  ENDED=
  read -r pid _ 2>/dev/null <"$PIDS/$name" || return 0
  if pid_of "$name" >/dev/null; then
    kill -s "$signal" "$pid" 2>/dev/null
    if ! until_true "$grace_s" gone "$name"; then
      warn "$name did not stop within $grace_s s and was killed"
      kill -s KILL "$pid" 2>/dev/null
      until_true 10 gone "$name"
      status=137
    fi
  fi
  # also keeps bash from announcing the death; 127 says that it is no child of this shell
  wait "$pid" 2>/dev/null
  ENDED=$?
  if ((ENDED == 127)); then ENDED=; else status=$ENDED; fi
  rm -f "$PIDS/$name"
  return "$status"
}

last_lines() { # name count
  [[ -s $LOGS/$1.log ]] && tail -n "$2" "$LOGS/$1.log" | sed "s/^/    $1 | /" >&2
}

# ---- ports --------------------------------------------------------------------------------------------------------

# Is a TCP port being listened on? Read from the kernel: a fresh machine has neither ss nor lsof.
port_taken() { # port
  local hex
  printf -v hex ':%04X' "$1"
  awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' \
    /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Sets the variables named to free ports, below the kernel's own range for outgoing connections (32768 and up). They are
# kept in a file, so that a checkout keeps its ports while they are free and two checkouts never meet.
choose_ports() { # file variable…
  local file=$1 variable port tries
  local -A used=()
  shift
  [[ ! -s $file ]] || while IFS='=' read -r variable port; do
    [[ $port =~ ^[0-9]+$ ]] && printf -v "$variable" '%s' "$port"
  done <"$file"
  for variable; do
    port=${!variable:-0}
    for ((tries = 0; tries < 200; tries++)); do
      ((port > 0)) && [[ -z ${used[$port]:-} ]] && ! port_taken "$port" && break
      port=$((20000 + RANDOM % 12000))
    done
    used[$port]=1
    printf -v "$variable" '%s' "$port"
  done
  for variable; do printf '%s=%s\n' "$variable" "${!variable}"; done >"$file"
}

# ---- HTTP ---------------------------------------------------------------------------------------------------------

# One request over bash's own TCP, so that no curl is needed: prints the body, fails unless the answer is 2xx.
http() { # method url [body] [basic-auth user:password]
  local method=$1 url=${2#http://} body=${3:-} login=${4:-} answer head
  local host=${url%%/*} path=/
  [[ $url == */* ]] && path=/${url#*/}
  [[ -z $login ]] || login="Authorization: Basic $(printf '%s' "$login" | base64 -w0)"$'\r\n'
  # shellcheck disable=SC2016  # the inner shell expands its own arguments
  answer=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1##*:}" && printf "%s" "$2" >&3 && cat <&3' _ "$host" \
    "$method $path HTTP/1.0"$'\r\n'"Host: $host"$'\r\n'"${login}Content-Type: application/json"$'\r\n'"Content-Length: ${#body}"$'\r\n\r\n'"$body" \
    2>/dev/null | tr -d '\0\r')
  head=${answer%%$'\n'*}
  [[ $head == HTTP/1.?\ 2* ]] || return 1
  [[ $answer == *$'\n\n'* ]] && printf '%s' "${answer#*$'\n\n'}"
  return 0
}

http_ok() { http "$@" >/dev/null; }

# One number out of a flat JSON answer, without jq.
json_number() { # key
  grep -o "\"$1\": *-\?[0-9.]*" | head -n 1 | sed 's/.*: *//'
}

# The value of one Prometheus sample summed over its labels; empty when there is none.
metric_sum() { # name (reads the text from stdin)
  awk -v name="$1" 'index($1, name) == 1 && substr($1, length(name) + 1, 1) ~ /^[{]?$/ { sum += $NF; seen = 1 }
    END { if (seen) printf "%d", sum }'
}

random_hex() { # bytes
  od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'
}
