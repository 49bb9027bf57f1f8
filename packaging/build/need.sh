# shellcheck shell=bash
# What the build needs from the machine, installed where it is missing and named where it cannot be.

say() { echo "build.sh: $*" >&2; }

die() {
  say "$@"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a program of node_modules on the Bun that package.json pins, or Bun itself.
bun() { node_modules/.bin/bun "$@"; }

# need_debian COMMAND=PACKAGE...: installs the packages whose command is missing.
need_debian() {
  local pair missing=()
  for pair in "$@"; do
    have "${pair%%=*}" || missing+=("${pair#*=}")
  done
  if ((${#missing[@]} > 0)); then
    install_debian "${missing[@]}"
  fi
}

install_debian() {
  local install=(apt-get install --yes --no-install-recommends "$@")
  have apt-get || die "missing: $*; install them with the package manager of this system, then run ./build.sh again"
  if ((EUID != 0)); then
    die "missing Debian packages; run: sudo apt-get update && sudo ${install[*]}"
  fi
  say "installing Debian packages: $*"
  local log
  log=$(mktemp)
  # The index is fetched only when an install fails without: a fresh container has none.
  if ! { "${install[@]}" || { apt-get update && "${install[@]}"; }; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get failed; run: ${install[*]}"
  fi
  rm -f "$log"
}

# The npm packages of the lockfile; a stamp inside node_modules makes the second call a comparison.
need_npm() {
  local stamp=node_modules/.easyrms-lock lock
  lock=$(sha256sum package.json package-lock.json | sha256sum | cut -d ' ' -f 1)
  if [[ -f $stamp && $(<"$stamp") == "$lock" ]]; then
    return
  fi
  # sqlite3 has no prebuilt addon for every machine; npm then compiles it.
  need_debian node=nodejs npm=npm g++=g++ make=make python3=python3
  say "installing npm packages from package-lock.json (sqlite3 compiles for about a minute)"
  # Headers that came with node save node-gyp a download; the addon's ABI is N-API, so any version of them will do.
  local prefix
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [[ -f $prefix/include/node/node_api.h ]]; then
    export npm_config_nodedir=$prefix
  fi
  npm ci --no-audit --no-fund --loglevel=error >&2
  echo "$lock" >"$stamp"
}

# Edition 2024 needs Rust 1.88 (native/Cargo.toml). An installed toolchain is used; Debian's is the fallback.
need_rust() {
  need_debian cc=gcc cargo=cargo-web rustc=rustc-web
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' native/Cargo.toml)
  found=$(rustc --version | cut -d ' ' -f 2)
  if [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort --version-sort | head -n 1) != "$wanted" ]]; then
    die "rustc $found is older than $wanted; run: rustup update stable"
  fi
}

need_rust_checks() {
  need_rust
  cargo fmt --version >/dev/null 2>&1 || need_rust_component rustfmt rustfmt-web
  cargo clippy --version >/dev/null 2>&1 || need_rust_component clippy rust-web-clippy
}

need_rust_component() {
  if have rustup; then
    say "installing the Rust component $1"
    rustup component add "$1" >&2 || die "run: rustup component add $1"
  else
    install_debian "$2"
  fi
}

need_build_tools() {
  need_npm
  need_rust
}

need_check_tools() {
  need_build_tools
  need_rust_checks
  need_debian shellcheck=shellcheck
}

# The tests play what was recorded with players, and record from a server, that share no code with the product; they make system calls
# fail, and mount small file systems, some of them on block devices of their own.
need_all_tools() {
  need_check_tools
  need_debian strace=strace faketime=faketime mount=mount setpriv=util-linux mkfs.ext4=e2fsprogs mkfs.xfs=xfsprogs nbdfuse=libnbd-bin
  need_debian ffmpeg=ffmpeg gst-launch-1.0=gstreamer1.0-tools gst-inspect-1.0=gstreamer1.0-tools
  need_gstreamer qtdemux=gstreamer1.0-plugins-good h264parse=gstreamer1.0-plugins-bad avdec_h264=gstreamer1.0-libav \
    x264enc=gstreamer1.0-plugins-ugly
  # Debian's own Python: GObject bindings are built for no other.
  if ! /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null; then
    install_debian python3-gi gir1.2-gst-rtsp-server-1.0
  fi
}

# need_gstreamer ELEMENT=PACKAGE...: plugins have no command of their own.
need_gstreamer() {
  local pair missing=()
  for pair in "$@"; do
    gst-inspect-1.0 --exists "${pair%%=*}" || missing+=("${pair#*=}")
  done
  if ((${#missing[@]} > 0)); then
    install_debian "${missing[@]}"
  fi
}
