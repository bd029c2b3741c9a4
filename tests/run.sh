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

# What names no package means the default members: all but the bench against peers, whose dependencies are many.

part_fmt() { cargo fmt --all --check; }

part_clippy() { cargo clippy --locked --all-features --all-targets -- -D warnings; }

part_docs() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --all-features --no-deps; }

part_test() {
  cargo build --locked --examples
  STEP_MACHINE_UI=required cargo test --locked --all-features
}

part_features() {
  tool cargo-hack 0.6.46
  RUSTFLAGS='-D warnings' cargo hack check --locked --each-feature --lib --package step-machine --target-dir target/features
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

# No process of a test may outlive it.
leave_no_trace() {
  local left
  left=$(pgrep -f "$PWD/target/.*/examples/" || true)
  [ -z "$left" ] || fail "processes are left: $left"
}

main "$@"
