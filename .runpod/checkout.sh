#!/bin/sh
# Takes one commit of a repository, and no history: checkout OWNER/NAME COMMIT FOLDER
set -eu
git init --quiet "$3"
git -C "$3" fetch --quiet --depth 1 "https://github.com/$1" "$2"
git -C "$3" checkout --quiet FETCH_HEAD
rm -rf "$3/.git"
