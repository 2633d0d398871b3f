# Keeps passwords off command lines, which every local user may read. Sourced by ./dev and by shared/store/prepare.sh.
# shellcheck shell=bash

# Runs a command with a connection URL as its last argument: without its password, which goes by PGPASSWORD instead.
with_url() { # url command…
  local url=$1 password=
  shift
  # postgres://user:password@host/database: the password ends at the last @ before the path
  if [[ $url =~ ^([a-z]+://[^/?#@:]*):([^/?#]*)@(.*)$ ]]; then
    url=${BASH_REMATCH[1]}@${BASH_REMATCH[3]} password=${BASH_REMATCH[2]}
  fi
  # …?password=…, which wins over the one before the host
  if [[ $url =~ ^([^?]*\?)(.*&)?password=([^&]*)(&(.*))?$ ]]; then
    url=${BASH_REMATCH[1]}${BASH_REMATCH[2]}${BASH_REMATCH[5]} password=${BASH_REMATCH[3]}
    url=${url%[?&]}
  fi
  [[ -n $password ]] || { "$@" "$url"; return; }
  # a URL has %xx where a variable has the character itself
  password=${password//\\/\\\\}
  PGPASSWORD=$(printf '%b' "${password//%/\\x}") "$@" "$url"
}
