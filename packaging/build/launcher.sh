#!/bin/sh
# Runs the recorder on the Bun it ships with, from wherever and through whatever link it is called.
# The working directory is somebody else's: no .env, no bunfig.toml and no package of it may change what runs.
self=$(readlink -f -- "$0")
dir=${self%/*}
# Database and file steps share these threads: on a small box the default lets one stalled disk block every query.
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-8}"
exec "$dir/bun" --no-env-file --no-install --config=/dev/null "$dir/main.js" "$@"
