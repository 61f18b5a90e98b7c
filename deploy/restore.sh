#!/bin/sh
# Brings back what deploy/backup.sh wrote: `deploy/restore.sh packshot.dump`, with DATABASE_URL set. Stop the API, the workers
# and the watcher first; afterwards empty Valkey (FLUSHALL), then start them: what waited in it is sent again.
set -eu
: "${1:?say which file, as deploy/restore.sh packshot.dump}"
: "${DATABASE_URL:?set it, as postgresql://user:password@host:5432/name}"  # or a server of its own choice would be taken
url=$(printf '%s' "$DATABASE_URL" | sed 's/^postgresql+psycopg2:/postgresql:/')
others=$(psql --dbname="$url" --no-align --tuples-only --command \
  "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'packshot'")
if [ "$others" != 0 ]; then
    echo "$others connections of the house are open: stop the API, the workers and the watcher first." >&2
    exit 1
fi
umask 077
trap 'rm -f "$1.sql"' EXIT
# All of it or nothing: a file that is broken leaves the database as it was.
pg_restore --no-owner --file="$1.sql" "$1"
psql --quiet --dbname="$url" --set=ON_ERROR_STOP=1 --single-transaction --output=/dev/null \
  --command "DROP SCHEMA public CASCADE" --command "CREATE SCHEMA public" --file="$1.sql"
