# The private PostgreSQL and the private RabbitMQ node: each on free loopback ports, under .muster, as an unprivileged
# user. An *instance* is `up`, `test` or `bench`: they never share a server, so that tests can run beside a running fleet.
# shellcheck shell=bash

SERVERS=$STATE_DIR/servers

# ---- who owns the servers -----------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root, and RabbitMQ should not: root hands both to their packages' users.
server_user() { # postgres|rabbitmq
  if ((EUID == 0)); then printf '%s' "$1"; else id -un; fi
}

as_server() { # user folder command…: changes the user (root only) and the folder, keeps the process id
  local user=$1 folder=$2
  shift 2
  if ((EUID == 0)); then
    setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- env -C "$folder" "$@"
  else
    env -C "$folder" "$@"
  fi
}

# Both users must be able to enter the servers' folder. Below a closed folder (a checkout in /root) they cannot: then
# the data lives in a folder of its own under /var/tmp, with a link from .muster.
make_servers_dir() {
  local folder
  [[ -L $SERVERS && ! -d $SERVERS ]] && rm -f "$SERVERS"
  if [[ ! -d $SERVERS ]]; then
    mkdir -p "$SERVERS" && chmod 0755 "$STATE_DIR" "$SERVERS"
    if ((EUID == 0)) && ! as_server postgres / test -x "$SERVERS/."; then
      rmdir "$SERVERS"
      folder=$(mktemp -d /var/tmp/muster.XXXXXXXX) || die "cannot make a folder for the servers in /var/tmp"
      ln -s "$folder" "$SERVERS"
    fi
    chmod 0711 "$SERVERS/"
  fi
}

server_dir() { # instance postgres|rabbitmq
  local dir=$SERVERS/$1/$2
  mkdir -p "$dir"
  chmod 0711 "$SERVERS/$1"
  chmod 0700 "$dir"
  ((EUID != 0)) || chown "$2:" "$dir"
  readlink -f "$dir"
}

# ---- PostgreSQL ---------------------------------------------------------------------------------------------------

# The folder of initdb and postgres: the version that made the data where there is data, else the newest.
postgres_bin() { # [data folder]
  local version=
  [[ -n ${1:-} && -s $1/PG_VERSION ]] && version=$(cat "$1/PG_VERSION")
  if [[ -n $version && -x /usr/lib/postgresql/$version/bin/postgres ]]; then
    printf '/usr/lib/postgresql/%s/bin' "$version"
  else
    # shellcheck disable=SC2012  # folder names are version numbers
    ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1
  fi
}

postgres_init() { # instance dir
  local instance=$1 dir=$2 bin=$3 auth=scram-sha-256
  # a test makes hundreds of connections, and each would spend milliseconds on hashing the password of a throw-away server
  [[ $instance == test ]] && auth=password
  rm -rf "${dir:?}/data"
  [[ -s $dir/password ]] || random_hex 24 >"$dir/password"
  ((EUID != 0)) || chown postgres: "$dir/password"
  as_server "$(server_user postgres)" "$dir" LC_ALL=C.UTF-8 "$bin/initdb" --pgdata="$dir/data" --username=muster \
    --pwfile="$dir/password" --auth="$auth" --encoding=UTF8 --no-sync >>"$LOGS/$instance-postgres.log" 2>&1 || {
    last_lines "$instance-postgres" 10
    die "initdb failed in $dir"
  }
}

# After a crash or a reboot the lock file may name a process that is something else by now.
postgres_heal() { # data folder
  local pid
  [[ -s $1/postmaster.pid ]] || return 0
  pid=$(head -n 1 "$1/postmaster.pid")
  if [[ -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "-D $1 "; then
    warn "stopping a PostgreSQL that was left behind (pid $pid)"
    kill -s INT "$pid"
    until_true 20 process_gone "$pid" || kill -s QUIT "$pid"
    until_true 10 process_gone "$pid"
  fi
  rm -f "$1/postmaster.pid"
}

process_gone() { ! started_at "$1" >/dev/null; }

postgres_answers() { # bin
  "$1/pg_isready" -q -h 127.0.0.1 -p "$PG_PORT"
}

postgres_start() { # instance: sets DATABASE_URL
  local instance=$1 name=$1-postgres dir bin settings=()
  dir=$(server_dir "$instance" postgres)
  bin=$(postgres_bin "$dir/data")
  [[ -x $bin/postgres ]] || die "PostgreSQL is not installed: run ./dev setup"
  if [[ $instance == test ]]; then
    # nobody needs the tests' databases after a crash
    settings=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_wal_senders=0)
  fi
  # what was written to the log is counted afterwards, and no checkpoint but those that were asked for repeats whole pages
  [[ $instance != bench ]] || settings=(-c max_wal_size=16GB -c wal_keep_size=8GB -c checkpoint_timeout=1d)
  postgres_heal "$dir/data"
  [[ $instance != test && -s $dir/data/PG_VERSION ]] || postgres_init "$instance" "$dir" "$bin"
  spawn "$name" "${AS_SERVER_POSTGRES[@]}" env -C "$dir" LC_ALL=C.UTF-8 "$bin/postgres" -D "$dir/data" -p "$PG_PORT" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 -c shared_buffers=128MB \
    -c log_line_prefix='%m [%p] %d ' "${settings[@]}"
  until_true 60 postgres_up_or_dead "$name" "$bin"
  pid_of "$name" >/dev/null || { last_lines "$name" 10; return 1; }
  DATABASE_URL_PRIVATE=postgres://muster:$(cat "$dir/password")@127.0.0.1:$PG_PORT
  sql_private "$bin" postgres "select 1 from pg_database where datname = 'muster'" | grep -q 1 ||
    sql_private "$bin" postgres 'create database muster' >/dev/null || return 1
  DATABASE_URL=$DATABASE_URL_PRIVATE/muster
}

postgres_up_or_dead() { gone "$1" || postgres_answers "$2"; }

sql_private() { # bin database statement
  with_url "$DATABASE_URL_PRIVATE/$2" "$1/psql" -XAtq -v ON_ERROR_STOP=1 -c "$3"
}

# ---- RabbitMQ -----------------------------------------------------------------------------------------------------

RABBITMQ_SERVER=/usr/lib/rabbitmq/bin/rabbitmq-server

rabbitmq_configure() { # instance dir
  cat >"$2/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$AMQP_PORT
management.tcp.ip = 127.0.0.1
management.tcp.port = $AMQP_ADMIN_PORT
default_vhost = muster
loopback_users.guest = true
disk_free_limit.absolute = 50MB
log.file = false
log.console = true
log.console.level = warning
CONF
  printf '[rabbitmq_management].\n' >"$2/enabled_plugins"
  : >"$2/rabbitmq-env.conf"
  ((EUID != 0)) || chown rabbitmq: "$2"/*
}

# epmd, the Erlang nodes' directory, is started here on a port of its own: the node would start one that outlives it.
# The packaged wrapper changes the user and reads /etc, therefore the server's script is started directly;
# RUNNING_UNDER_SYSTEMD makes it become the node, so that its process id is the node's.
rabbitmq_start() { # instance: sets AMQP_URL, AMQP_ADMIN_URL
  local instance=$1 name=$1-rabbitmq dir
  [[ -x $RABBITMQ_SERVER ]] || die "RabbitMQ is not installed: run ./dev setup"
  dir=$(server_dir "$instance" rabbitmq)
  [[ $instance != test ]] || rm -rf "${dir:?}/mnesia"
  rabbitmq_configure "$instance" "$dir"
  spawn "$instance-epmd" "${AS_SERVER_RABBITMQ[@]}" env -i -C "$dir" PATH="$PATH" HOME="$dir" \
    epmd -port "$EPMD_PORT" -address 127.0.0.1
  spawn "$name" "${AS_SERVER_RABBITMQ[@]}" env -i -C "$dir" PATH="$PATH" HOME="$dir" LC_ALL=C.UTF-8 \
    RUNNING_UNDER_SYSTEMD=true RABBITMQ_NODENAME="muster-$instance@localhost" RABBITMQ_MNESIA_BASE="$dir/mnesia" \
    RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_CONF_ENV_FILE="$dir/rabbitmq-env.conf" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" RABBITMQ_DIST_PORT="$DIST_PORT" ERL_EPMD_PORT="$EPMD_PORT" \
    ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +S 2:2' \
    "$RABBITMQ_SERVER"
  AMQP_URL=amqp://guest:guest@127.0.0.1:$AMQP_PORT/muster
  AMQP_ADMIN_URL=http://guest:guest@127.0.0.1:$AMQP_ADMIN_PORT
}

# Answers once the vhost stands and the AMQP port is open; the management listener opens last.
rabbitmq_answers() {
  port_taken "$AMQP_PORT" && http_ok GET "http://127.0.0.1:$AMQP_ADMIN_PORT/api/vhosts/muster" '' guest:guest
}

rabbitmq_up_or_dead() { gone "$1" || rabbitmq_answers; }

rabbitmq_wait() { # instance
  until_true 90 rabbitmq_up_or_dead "$1-rabbitmq"
  pid_of "$1-rabbitmq" >/dev/null && rabbitmq_answers && return 0
  last_lines "$1-rabbitmq" 15
  return 1
}

# ---- both ---------------------------------------------------------------------------------------------------------

# Starts what is asked for (`postgres`, `rabbitmq`), RabbitMQ first because it takes longest. A port that somebody took
# between choosing and binding is the one failure worth a second try.
servers_start() { # instance server…
  local instance=$1 try
  shift
  make_servers_dir
  AS_SERVER_POSTGRES=() AS_SERVER_RABBITMQ=()
  if ((EUID == 0)); then
    AS_SERVER_POSTGRES=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups --)
    AS_SERVER_RABBITMQ=(setpriv --reuid=rabbitmq --regid="$(id -g rabbitmq)" --init-groups --)
  fi
  for try in 1 2; do
    servers_stop "$instance"
    choose_ports "$STATE_DIR/$instance.ports" PG_PORT AMQP_PORT AMQP_ADMIN_PORT DIST_PORT EPMD_PORT
    servers_try "$instance" "$@" && return 0
    ((try == 2)) || { warn "the private servers did not start; once more on other ports"; rm -f "$STATE_DIR/$instance.ports"; }
    PG_PORT=0 AMQP_PORT=0 AMQP_ADMIN_PORT=0 DIST_PORT=0 EPMD_PORT=0
  done
  return 1
}

servers_try() { # instance server…
  local instance=$1
  shift
  : >"$LOGS/$instance-postgres.log"
  : >"$LOGS/$instance-rabbitmq.log"
  [[ " $* " != *" rabbitmq "* ]] || rabbitmq_start "$instance"
  [[ " $* " != *" postgres "* ]] || postgres_start "$instance" || return 1
  [[ " $* " != *" rabbitmq "* ]] || rabbitmq_wait "$instance"
}

# Safe to call at any time: what does not run is left alone. The node ends cleanly on TERM; a test's node is thrown
# away, so nothing waits for it to tidy up.
servers_stop() { # instance
  local signal=TERM
  [[ $1 != test ]] || signal=KILL
  stop_process "$1-rabbitmq" 60 "$signal"
  stop_process "$1-epmd" 5
  stop_process "$1-postgres" 30 INT
}

# ---- a program with servers of its own -----------------------------------------------------------------------------

# One at a time in this checkout, with what it needs, and with nothing of the settings of whoever runs it.
begin_alone() { # lock what-is-said-when-it-is-taken server…
  local name
  make_dirs
  exec 9>"$STATE_DIR/$1.lock"
  flock -n 9 || die "$2"
  need_cargo
  (($# == 2)) || need_servers "${@:3}"
  for name in "${!MUSTER_@}"; do unset "$name"; done
}

# Runs a program against an instance's servers, which end with it, and then the clean-up; also after Ctrl-C.
with_servers() { # instance clean-up program argument…
  local status
  WITH_SERVERS=$1 WITH_CLEANUP=$2
  shift 2
  trap 'with_servers_end; exit 130' INT TERM HUP
  step "starting private servers"
  servers_start "$WITH_SERVERS" rabbitmq postgres ||
    { with_servers_end; die "the private servers did not start: $LOGS/$WITH_SERVERS-*.log"; }
  MUSTER_DATABASE_URL=$DATABASE_URL_PRIVATE/postgres MUSTER_AMQP_URL=$AMQP_URL MUSTER_AMQP_ADMIN_URL=$AMQP_ADMIN_URL \
    "$@" 9>&-
  status=$?
  with_servers_end
  return "$status"
}

with_servers_end() {
  trap '' INT TERM HUP
  servers_stop "$WITH_SERVERS"
  "$WITH_CLEANUP"
}
