#!/usr/bin/env bash
# Writes .sqlx anew: what the checked statements of this crate need to compile without a database.
#
#   DATABASE_URL=… shared/store/prepare.sh          rewrite .sqlx
#   DATABASE_URL=… shared/store/prepare.sh --check  change nothing; exit 1 where .sqlx is not what would be written
#
# The URL is taken from the environment, because command lines can be read by every local user.
# DATABASE_URL is a database with this tree's migrations. `muster migrate` makes one; so does --migrate, which applies them
# with psql to a new database beside DATABASE_URL's (whose role may then create databases) and drops it at the end.
# Everything is compiled first: where a statement fails, .sqlx stays as it is. CARGO_TARGET_DIR is respected.
set -eu

check=no
migrate=no
while :; do
    case "${1-}" in
        --check) check=yes; shift ;;
        --migrate) migrate=yes; shift ;;
        *) break ;;
    esac
done
url="${DATABASE_URL:?usage: DATABASE_URL=… prepare.sh [--check] [--migrate]}"
[ $# = 0 ] || { echo "prepare.sh: unknown argument; the database is named by the variable DATABASE_URL" >&2; exit 2; }
store="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$store/../.." && pwd)"
# shellcheck source=../../deploy/dev/psql.sh
. "$root/deploy/dev/psql.sh"
fresh="$(mktemp -d)"
database="muster_prepare_$$"
cleanup() {
    rm -rf "$fresh"
    if [ "$migrate" = yes ]; then with_url "$url" psql -qX -c "drop database if exists $database with (force)"; fi
}
trap cleanup EXIT

live="$url"
if [ "$migrate" = yes ]; then
    with_url "$url" psql -qX -v ON_ERROR_STOP=1 -c "create database $database template template0"
    live="$(printf '%s' "$url" | sed -E "s#^(postgres(ql)?://[^/]*)(/[^?]*)?#\1/$database#")"
    for migration in "$store"/migrations/*.sql; do
        with_url "$live" psql -qX -v ON_ERROR_STOP=1 --single-transaction -f "$migration" >/dev/null
    done
fi

# the statements are read when they are compiled, so the crate must be compiled again
touch "$store/src/lib.rs"
cd "$root"
# plain and with every feature: some statements may be behind one; tests use no checked statements
for flags in "" "--all-features"; do
    # shellcheck disable=SC2086
    SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" DATABASE_URL="$live" PGOPTIONS="-c search_path=public" \
        cargo check --quiet -p store $flags
done

if [ "$check" = yes ]; then
    diff -r "$root/.sqlx" "$fresh" >/dev/null || {
        echo ".sqlx differs from the statements: ./dev sqlx" >&2
        exit 1
    }
else
    mkdir -p "$root/.sqlx"
    find "$root/.sqlx" -name 'query-*.json' -delete
    cp "$fresh"/query-*.json "$root/.sqlx/"
fi
# the next ordinary build reads .sqlx again
touch "$store/src/lib.rs"
