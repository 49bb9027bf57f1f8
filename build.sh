#!/usr/bin/env bash
# One entry for people and for CI: build, demo, test, bench, prove, lint, fmt. See usage below.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

# shellcheck source=packaging/build/need.sh
. packaging/build/need.sh
# shellcheck source=packaging/build/dist.sh
. packaging/build/dist.sh

usage() {
  cat <<'USAGE'
usage: ./build.sh [VERB]

  (none)            build for this machine into dist/
  demo [ARGS]       build, then record four virtual cameras under var/demo; --seconds N ends it with a summary
  test              everything that gates a change; the last line is "N passed, N failed"
  bench [NAME]      one measurement; its last line on stdout is one JSON object. Without NAME: what there is
  prove [NAME]      one long proof, in the same form
  lint              format, lint, types, levels, docs, licences and clippy, without building or running tests
  fmt               rewrite the sources in the house format
  help              this text

What is missing (Debian packages, npm packages, Rust crates) is installed on the way, and said.
USAGE
}

# A measurement or proof is a script whose first line quotes its call: /** `./build.sh VERB NAME …`: what it shows. */
run_named() {
  local verb=$1 folder=$2 name=${3:-}
  if [[ -z $name ]]; then
    list_named "$verb" "$folder"
    return
  fi
  if ! head -n 1 "$folder/$name.ts" 2>/dev/null | grep --quiet --fixed-strings "./build.sh $verb $name"; then
    echo "build.sh: there is no '$name' for ./build.sh $verb; there is:" >&2
    list_named "$verb" "$folder" >&2
    exit 2
  fi
  need_all_tools
  build_dist >&2
  bun "$folder/$name.ts" "${@:4}"
}

list_named() {
  local file
  for file in "$2"/*.ts; do
    [[ -f $file ]] || continue
    sed --quiet "1s|^/\*\* \`\(\./build\.sh $1 .*\)\`: *\(.*[^ ]\) *\*/\$|\1\n    \2|p" "$file"
  done
}

main() {
  local verb=${1:-build}
  [[ $# -eq 0 ]] || shift
  case $verb in
    build) build_dist ;;
    demo)
      build_dist
      bun test/demo/demo.ts "$@"
      ;;
    test)
      need_all_tools
      bun test/gate/main.ts test
      ;;
    bench) run_named bench test/bench "$@" ;;
    prove) run_named prove test/faults "$@" ;;
    lint)
      need_check_tools
      bun test/gate/main.ts lint
      ;;
    fmt)
      need_build_tools
      node_modules/.bin/biome check --write
      (cd native && cargo fmt --all)
      (cd test/faults/tracer && cargo fmt)
      ;;
    help | -h | --help) usage ;;
    *)
      echo "build.sh: unknown verb '$verb'" >&2
      usage >&2
      exit 2
      ;;
  esac
}

main "$@"
