#!/usr/bin/env bash
# Everything that has to be true before a change lands, in order of cost. Installs what it needs into target/tools.
#
#   tests/run.sh             all of it
#   tests/run.sh fmt clippy  only these
set -euo pipefail
cd "$(dirname "$0")/.."

# The compiler that the texts in tests/ui were made with.
ui_rustc=$(sed -n 's/^const PINNED_RUSTC: &str = "\(.*\)";$/\1/p' tests/ui.rs)
parts=(fmt clippy docs test features msrv kept)

main() {
  use_pinned_rustc
  export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
  [ $# -gt 0 ] || set -- "${parts[@]}"
  for part in "$@"; do
    case " ${parts[*]} " in *" $part "*) ;; *) fail "unknown part '$part'; the parts are: ${parts[*]}" ;; esac
    printf '\n== %s\n' "$part"
    SECONDS=0
    "part_$part"
    printf '== %s: ok after %s s\n' "$part" "$SECONDS"
  done
  leave_no_trace
}

fail() {
  printf 'tests/run.sh: %s\n' "$*" >&2
  exit 1
}

# Messages of the compiler differ from version to version, so the UI cases hold for one.
use_pinned_rustc() {
  [ -n "$ui_rustc" ] || fail "tests/ui.rs names no PINNED_RUSTC"
  rustc --version | grep -qF "rustc $ui_rustc " && return
  if rustup toolchain list 2>/dev/null | grep -q "^$ui_rustc-"; then
    export RUSTUP_TOOLCHAIN=$ui_rustc
  else
    fail "the UI cases need rustc $ui_rustc, this is $(rustc --version); run: rustup toolchain install $ui_rustc"
  fi
}

# A tool of a fixed version, built once into target/tools.
tool() {
  local name=$1 version=$2
  local root=target/tools/$name-$version
  [ -x "$root/bin/$name" ] || cargo install --locked --quiet --root "$root" --version "$version" "$name"
  PATH=$PWD/$root/bin:$PATH
}

# What names no package means the default members: all but the benches with dependencies of their own.

part_fmt() { cargo fmt --all --check; }

part_clippy() {
  # The bench against peers has many dependencies that nothing else needs.
  cargo clippy --locked --workspace --exclude step-machine-peers --all-features --all-targets -- -D warnings
}

part_docs() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --all-features --no-deps; }

part_test() {
  cargo build --locked --package step-machine-examples --examples --features postgres
  cargo build --locked --package step-machine --features cli --bin step-machine
  need_jsonschema
  start_postgres
  find_prometheus
  STEP_MACHINE_UI=required cargo test --locked --all-features
  stop_postgres
}

part_features() {
  tool cargo-hack 0.6.46
  RUSTFLAGS='-D warnings' cargo hack check --locked --each-feature --lib --package step-machine --target-dir target/features
  RUSTFLAGS='-D warnings' cargo check --locked --examples --package step-machine-examples --target-dir target/features
}

# As far as the machine allows: with that compiler where it is installed, and what can be known without it anywhere.
part_msrv() {
  local msrv
  msrv=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  python3 tests/msrv.py "$msrv"
  if rustup toolchain list 2>/dev/null | grep -q "^$msrv"; then
    cargo "+$msrv" check --locked --package step-machine --all-features --target-dir target/msrv
  else
    echo "rustc $msrv is not installed: language features were not checked, library features were, by clippy"
  fi
}

# Files that are generated and kept: a test has compared each; none may have been rewritten on the way.
part_kept() {
  git rev-parse --git-dir >/dev/null 2>&1 || return 0
  git diff --exit-code -- docs Cargo.lock tests/ui tests/integration/fixtures tests/integration/workflows
}

# A validator of JSON Schema that is not ours, in an environment of its own.
need_jsonschema() {
  [ -z "${STEP_MACHINE_TEST_PYTHON:-}" ] || return 0
  local packages=(jsonschema==4.26.0 rfc3339-validator==0.1.4) root=target/tools/jsonschema-4.26.0
  if ! "$root/bin/python" -c 'import jsonschema, rfc3339_validator' 2>/dev/null; then
    rm -rf "$root"
    python3 -m venv "$root" && "$root/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" ||
      fail "${packages[*]} could not be installed; name a Python that has them in STEP_MACHINE_TEST_PYTHON"
  fi
  export STEP_MACHINE_TEST_PYTHON=$PWD/$root/bin/python
}

# A real server for the tests of the journal in PostgreSQL, on a free port of the loopback. A test that kills its server
# starts one of its own.
start_postgres() {
  [ -z "${STEP_MACHINE_TEST_POSTGRES:-}" ] || return 0
  need_postgres
  local bin port as_postgres=()
  bin=$(postgres_bin)
  mkdir -p target
  postgres_folder=$(mktemp -d "$PWD/target/postgres.XXXXXX")
  trap stop_postgres EXIT
  # It does not run as root, and what it runs as has to get to its folder.
  if [ "$(id -u)" = 0 ]; then
    as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    if ! "${as_postgres[@]}" test -x "$PWD/target"; then
      rmdir "$postgres_folder"
      postgres_folder=$(mktemp -d)
    fi
    chown postgres "$postgres_folder"
  fi
  (cd "$postgres_folder" && "${as_postgres[@]}" "$bin/initdb" -D "$postgres_folder/data" -A trust -U step --no-sync \
    --no-instructions -E UTF8 --locale=C >/dev/null)
  for _ in 1 2 3; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    (cd "$postgres_folder" && exec "${as_postgres[@]}" "$bin/postgres" -D "$postgres_folder/data" -p "$port" \
      -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 -c fsync=off) \
      >"$postgres_folder.log" 2>&1 &
    postgres_pid=$!
    for _ in $(seq 300); do
      kill -0 "$postgres_pid" 2>/dev/null || break
      if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; then
        export STEP_MACHINE_TEST_POSTGRES=postgres://step@127.0.0.1:$port/postgres
        return 0
      fi
      sleep 0.1
    done
    # Somebody else may have been quicker to take the port.
  done
  fail "the server does not start: $(tail -3 "$postgres_folder.log")"
}

stop_postgres() {
  [ -n "${postgres_folder:-}" ] || return 0
  if [ -n "${postgres_pid:-}" ]; then
    kill -INT "$postgres_pid" 2>/dev/null || true
    wait "$postgres_pid" 2>/dev/null || true
  fi
  rm -rf "$postgres_folder" "$postgres_folder.log"
  postgres_folder= postgres_pid=
  unset STEP_MACHINE_TEST_POSTGRES
}

# Where the programs are: the newest of Debian's, or those in the PATH.
postgres_bin() {
  local found
  found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -1)
  [ -x "$found" ] || found=$(command -v initdb || true)
  [ -n "$found" ] && dirname "$found"
}

need_postgres() {
  postgres_bin >/dev/null && return 0
  install_package postgresql "or name a server in STEP_MACHINE_TEST_POSTGRES"
}

# Prometheus and its `promtool`, which read what the metrics are shown as. The tests start the server themselves.
find_prometheus() {
  [ -z "${STEP_MACHINE_TEST_PROMETHEUS:-}" ] || return 0
  if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    install_package prometheus "or name the folder of its programs in STEP_MACHINE_TEST_PROMETHEUS"
  fi
  STEP_MACHINE_TEST_PROMETHEUS=$(dirname "$(command -v prometheus)")
  export STEP_MACHINE_TEST_PROMETHEUS
}

# Installs a package of Debian, or says what else there is to do.
install_package() {
  local package=$1 otherwise=$2 sudo=()
  local install=(apt-get install -y --no-install-recommends "$package")
  command -v apt-get >/dev/null || fail "$package is not on this machine; install it, $otherwise"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "$package is not on this machine; run as root: ${install[*]}"
    sudo=(sudo -n)
  fi
  "${sudo[@]}" "${install[@]}" || { "${sudo[@]}" apt-get update && "${sudo[@]}" "${install[@]}"; } ||
    fail "$package could not be installed; try: ${install[*]}"
}

# No process of a test may outlive it.
leave_no_trace() {
  local left
  local target=$PWD/target
  left=$(pgrep -f "$target/.*/examples/|$target/[^ ]*/step-machine |$target/postgres\\.|$target/tmp/prometheus\\." || true)
  [ -z "$left" ] || fail "processes are left: $left"
}

main "$@"
