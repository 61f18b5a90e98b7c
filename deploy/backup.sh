#!/bin/sh
# Writes all that PostgreSQL knows into one file: `deploy/backup.sh packshot.dump`, with DATABASE_URL set. It disturbs
# nobody. The bucket is not in it (copy that by its own means), nor is Valkey, which need not be kept.
set -eu
: "${1:?say which file, as deploy/backup.sh packshot.dump}"
: "${DATABASE_URL:?set it, as postgresql://user:password@host:5432/name}"  # or a server of its own choice would be taken
# The driver's name means nothing to PostgreSQL's own programs.
url=$(printf '%s' "$DATABASE_URL" | sed 's/^postgresql+psycopg2:/postgresql:/')
umask 077  # prompts are in it, and what signs webhooks
trap 'rm -f "$1.half"' EXIT
pg_dump --format=custom --no-owner --file="$1.half" --dbname="$url"
mv "$1.half" "$1"
