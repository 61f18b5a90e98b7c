#!/bin/sh
# Writes all that PostgreSQL knows into one file: `deploy/backup.sh packshot.dump`, with DATABASE_URL set. It disturbs
# nobody. The bucket is not in it (copy that by its own means), nor is Valkey, which need not be kept.
set -eu
# The driver's name means nothing to PostgreSQL's own programs.
url=$(printf '%s' "$DATABASE_URL" | sed 's/^postgresql+psycopg2:/postgresql:/')
pg_dump --format=custom --no-owner --file="$1.half" --dbname="$url"
mv "$1.half" "$1"
