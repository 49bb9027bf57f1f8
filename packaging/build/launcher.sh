#!/bin/sh
# Runs the recorder on the Bun it ships with, from wherever and through whatever link it is called.
# The working directory is somebody else's: no .env, no bunfig.toml and no package of it may change what runs.
self=$(readlink -f -- "$0")
dir=${self%/*}
exec "$dir/bun" --no-env-file --no-install --config=/dev/null "$dir/main.js" "$@"
