# shellcheck shell=bash
# dist/: everything `easyrms` needs to run on this machine, movable as one folder.

build_dist() {
  need_build_tools
  mkdir -p dist
  build_addon
  node_modules/.bin/bun packaging/build/bundle.ts dist
  # Under a temporary name first: a process that runs from dist/ keeps the file it has mapped.
  place node_modules/sqlite3/build/Release/node_sqlite3.node dist/node_sqlite3.node
  place "$(readlink -f node_modules/.bin/bun)" dist/bun
  place packaging/build/launcher.sh dist/easyrms
  say "built $(dist/easyrms --version) in dist/"
}

build_addon() {
  local target=${CARGO_TARGET_DIR:-$PWD/native/target}
  # The boundary is typed by hand, in src/engine/types.ts; the tool's remark that it generates no types is left out.
  node_modules/.bin/napi build --release --package easyrms-addon --manifest-path native/addon/Cargo.toml \
    --package-json-path package.json --target-dir "$target" --output-dir "$target/addon" -- --locked --quiet \
    2> >(grep -v 'Will skip binding generation' >&2)
  place "$target/addon/easyrms.node" dist/easyrms.node
}

# place FROM TO: replaces TO at once; nothing to do where both already hold the same bytes.
place() {
  if [[ $1 -ef $2 ]] || cmp --silent "$1" "$2"; then
    return
  fi
  cp --reflink=auto "$1" "$2.new"
  chmod 755 "$2.new"
  mv "$2.new" "$2"
}
