#!/usr/bin/env bash
# Runs every test: format and lints, units, integration on real PostgreSQL, the control plane's own
# tests, and the end-to-end suite on a real kube-apiserver with real Shipwright and Tekton controllers.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: hack/test.sh [PART...]

Parts, in order; all of them when none is named:
  lint           cargo fmt, clippy with warnings as errors, gofmt, go vet, shell syntax
  deny           licences, bans and sources of the dependencies (cargo-deny)
  unit           tests inside the crates, documents and manifests
  integration    library, server and agent on real PostgreSQL
  mutants        each guard of storage and queue left out in turn: some test must notice
  controlplane   the Go program that runs the control plane
  e2e            the installation step by step; everything together, with kubectl, kube-rs and client-go;
                 outages; the three beside one another
  bench          hack/bench.sh --smoke: that the benchmark works, not how fast anything is

Environment:
  DATABASE_URL            used for integration tests instead of a private cluster
  BROKKR_TEST_KUBECONFIG  points the end-to-end tests at another cluster, which must carry the label
                          work.brokkr.io/test=allowed on its namespace kube-system
  CARGO_TARGET_DIR        where Rust is built (default: target)
TEXT
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "${ROOT}"
STATE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/brokkr-test.XXXXXX")
LOG_DIR=${STATE_DIR}/logs
mkdir -p "${LOG_DIR}"
trap 'rm -rf "${STATE_DIR}"' EXIT
trap 'exit 130' INT TERM
for part in steps processes prerequisites control-plane; do
  # shellcheck source=/dev/null
  source "${ROOT}/hack/lib/${part}.sh"
done

passed_total=0
failed_total=0
summary=()

# counted PART COMMAND...: runs it with its output shown and adds up what its test runners report.
counted() {
  local part=$1 log=${LOG_DIR}/$1.log code=0 started=${SECONDS}
  shift
  echo "== ${part}"
  "$@" 2>&1 | tee "${log}" || code=$?
  local passed failed skipped
  passed=$(sum_of "${log}" 's/^test result: .* ([0-9]+) passed; .*/\1/p' 's/^Go: ([0-9]+) passed.*/\1/p' 's/^Smoke: ([0-9]+) passed.*/\1/p')
  failed=$(sum_of "${log}" 's/^test result: .* ([0-9]+) failed; .*/\1/p' 's/^Go: .* ([0-9]+) failed.*/\1/p')
  skipped=$(sum_of "${log}" 's/^test result: .* ([0-9]+) ignored; .*/\1/p' 's/^Go: .* ([0-9]+) skipped.*/\1/p')
  if ((code != 0 && failed == 0)); then failed=1; fi
  if ((skipped > 0)); then
    echo "${part}: ${skipped} tests were skipped; a test runs or does not exist" >&2
    failed=$((failed + skipped))
  fi
  passed_total=$((passed_total + passed))
  failed_total=$((failed_total + failed))
  summary+=("$(printf '  %-14s %5d passed %5d failed %5ds' "${part}" "${passed}" "${failed}" $((SECONDS - started)))")
}

sum_of() {
  local log=$1
  shift
  local sum=0 number
  for number in $(sed -nE "$(printf '%s;' "$@")" "${log}"); do sum=$((sum + number)); done
  echo "${sum}"
}

lint() {
  cargo fmt --all --check &&
    cargo clippy --workspace --all-targets --locked --quiet -- --deny warnings &&
    unformatted_go &&
    (cd tests/controlplane && go vet ./...) &&
    (cd tests/clientgo && CGO_ENABLED=0 go vet ./...) &&
    find hack .ci -type f \( -name '*.sh' -o -name run \) -print0 | xargs -0 -n 1 bash -n
}

unformatted_go() {
  local files
  files=$(gofmt -l tests)
  [[ -z "${files}" ]] || { echo "gofmt: ${files}" && return 1; }
}

deny() {
  command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --quiet --root "${HOME}/.cargo"
  # Also what only other platforms need: it is judged as well.
  cargo fetch --locked --quiet &&
    cargo deny --offline check --hide-inclusion-graph bans licenses sources
}

unit() { cargo test --workspace --locked --lib --bins --quiet --no-fail-fast && cargo test --workspace --locked --doc --quiet --no-fail-fast; }

# Starts a command beside the others of its part; what it says is shown when all have ended.
beside() {
  local name=$1
  shift
  # Jobs in the background ignore Ctrl-C.
  trap 'end_children; exit 130' INT TERM
  "$@" >"${LOG_DIR}/${name}.log" 2>&1 &
  LANES+=("${name} $!")
}

# Waits for what runs beside one another and shows it; fails when any has.
all_ended() {
  local lane name pid code=0
  for lane in "${LANES[@]}"; do
    read -r name pid <<<"${lane}"
    wait "${pid}" || code=1
    cat "${LOG_DIR}/${name}.log"
  done
  return "${code}"
}

# Everything below a crate's tests/ but what needs a control plane; in two halves beside one another, for the tests
# mostly wait. Always the whole workspace is selected, so that all parts share one build of the dependencies.
integration() {
  local targets half LANES=() code=0
  mapfile -t targets < <(cargo metadata --format-version 1 --no-deps |
    jq -r '.packages[].targets[] | select(.kind[] == "test") | .name | select(IN("install", "e2e", "outages") | not) | "--test=" + .')
  half=$((${#targets[@]} / 2))
  cargo test --workspace --locked --no-run --quiet "${targets[@]}" || return 1
  beside second-half some_tests "${targets[@]:half}"
  some_tests "${targets[@]::half}" || code=1
  all_ended && return "${code}"
}

some_tests() { cargo test --workspace --locked --quiet --no-fail-fast "$@" -- --test-threads 4; }

# `go test -json` is counted here: its plain output has no totals.
go_tests() {
  local log=${LOG_DIR}/go.json code=0
  (cd tests/controlplane && CGO_ENABLED=0 go test -json ./... "$@") >"${log}" || code=$?
  jq -r 'select(.Action == "output" and .Test != null and (.Output | test("FAIL|panic|Error|_test.go"))) | .Output' "${log}" | sed '/^$/d'
  echo "Go: $(go_count pass "${log}") passed, $(go_count fail "${log}") failed, $(go_count skip "${log}") skipped"
  return "${code}"
}

go_count() { jq -s "[.[] | select(.Test != null and .Action == \"$1\")] | length" "$2"; }

mutants() { hack/mutants.sh; }

controlplane() { build_control_plane && go_tests; }

# The three mostly wait for others: for controllers, deadlines, kubectl. They do that beside one another; what the
# latter two say is shown when the first has ended.
e2e() {
  build_control_plane &&
    debian_kubectl >/dev/null &&
    cargo build --workspace --bins --locked --quiet &&
    cargo test --workspace --locked --no-run --quiet --test e2e --test install --test outages || return 1
  local LANES=() code=0 target
  for target in install outages; do
    beside "${target}" cargo test --workspace --locked --test "${target}"
  done
  cargo test --workspace --locked --test e2e -- --test-threads 8 || code=1
  all_ended && return "${code}"
}

# Counts as one test for each part of the benchmark.
bench() { CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${ROOT}/target} hack/bench.sh --smoke; }

parts=(lint deny unit integration mutants controlplane e2e bench)
chosen=()
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    *)
      [[ " ${parts[*]} " == *" $1 "* ]] || { echo "no part is called $1 (see --help)" >&2 && exit 2; }
      chosen+=("$1")
      ;;
  esac
  shift
done
((${#chosen[@]})) || chosen=("${parts[@]}")

install_prerequisites
for part in "${chosen[@]}"; do counted "${part}" "${part}"; done

echo
printf '%s\n' "${summary[@]}"
echo "${passed_total} passed, ${failed_total} failed"
((failed_total == 0))
