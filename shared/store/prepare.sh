#!/bin/sh
# Writes .sqlx anew: what the checked statements of this crate need to compile without a database.
#
#   shared/store/prepare.sh DATABASE_URL          rewrite .sqlx
#   shared/store/prepare.sh --check DATABASE_URL  change nothing; exit 1 where .sqlx is not what would be written
#
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
url="${1:?usage: prepare.sh [--check] [--migrate] DATABASE_URL}"
store="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$store/../.." && pwd)"
fresh="$(mktemp -d)"
database="muster_prepare_$$"
cleanup() {
    rm -rf "$fresh"
    if [ "$migrate" = yes ]; then psql -qX "$url" -c "drop database if exists $database with (force)"; fi
}
trap cleanup EXIT

live="$url"
if [ "$migrate" = yes ]; then
    psql -qX "$url" -v ON_ERROR_STOP=1 -c "create database $database template template0"
    live="$(printf '%s' "$url" | sed -E "s#^(postgres(ql)?://[^/]*)(/[^?]*)?#\1/$database#")"
    for migration in "$store"/migrations/*.sql; do
        psql -qX "$live" -v ON_ERROR_STOP=1 --single-transaction -f "$migration" >/dev/null
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
        echo ".sqlx differs from the statements: run shared/store/prepare.sh $(printf '%s' "$url" | sed -E 's#//[^@/]*@#//…@#')" >&2
        exit 1
    }
else
    mkdir -p "$root/.sqlx"
    find "$root/.sqlx" -name 'query-*.json' -delete
    cp "$fresh"/query-*.json "$root/.sqlx/"
fi
# the next ordinary build reads .sqlx again
touch "$store/src/lib.rs"
