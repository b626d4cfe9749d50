#!/usr/bin/env bash
# Runs at the stated size what hack/test.sh runs small: chance, crashes and outages. Writes a report.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: hack/soak.sh [--seed N] [--report FILE] [PART...]

Parts, in order; all of them when none is named:
  requests     10,000 mutated requests: no defect, nothing invalid stored
  model        200,000 histories of an order; 2,000 random operations of each writer on several replicas,
               compared with what watchers saw
  crash        PostgreSQL killed with SIGKILL during 1,000 creates and 1,000 claims on two replicas, and the
               other crash tests of queue and storage
  outages      both replicas away for 3 minutes, then kube-apiserver, while builds run
  namespaces   21 namespaces that hold orders are deleted

  --seed N       what chance begins with (default: the day, as 20261129)
  --report FILE  where the report goes (default: docs/reports/<day>-soak.md)

Environment:
  BROKKR_SOAK_REQUESTS, BROKKR_SOAK_HISTORIES, BROKKR_SOAK_ORDERS, BROKKR_SOAK_OUTAGE_SECONDS,
  STORAGE_MODEL_OPERATIONS
                      other sizes than those above
  CARGO_TARGET_DIR    where Rust is built (default: target)

Ctrl-C ends it; what was started is removed.
TEXT
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "${ROOT}"
DAY=$(date -u +%Y-%m-%d)
REPORT=docs/reports/${DAY}-soak.md
export BROKKR_SOAK_SEED=${DAY//-/}
export BROKKR_SOAK_REQUESTS=${BROKKR_SOAK_REQUESTS:-10000}
export BROKKR_SOAK_HISTORIES=${BROKKR_SOAK_HISTORIES:-200000}
export STORAGE_MODEL_OPERATIONS=${STORAGE_MODEL_OPERATIONS:-2000}
export BROKKR_SOAK_ORDERS=${BROKKR_SOAK_ORDERS:-1000}
export BROKKR_SOAK_OUTAGE_SECONDS=${BROKKR_SOAK_OUTAGE_SECONDS:-180}

parts=(requests model crash outages namespaces)
chosen=()
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --seed)
      BROKKR_SOAK_SEED=${2:?--seed needs a number}
      shift
      ;;
    --report)
      REPORT=${2:?--report needs a file}
      shift
      ;;
    *)
      [[ " ${parts[*]} " == *" $1 "* ]] || { echo "no part is called $1 (see --help)" >&2 && exit 2; }
      chosen+=("$1")
      ;;
  esac
  shift
done
((${#chosen[@]})) || chosen=("${parts[@]}")

failed=0
STATE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/brokkr-soak.XXXXXX")
LOG_DIR=${STATE_DIR}/logs
mkdir -p "${LOG_DIR}"
for part in steps prerequisites control-plane; do
  # shellcheck source=/dev/null
  source "${ROOT}/hack/lib/${part}.sh"
done

# Whatever ends this script ends what it runs: tests remove their databases and installations when they end.
cleanup() {
  trap - EXIT INT TERM
  local child
  for child in $(jobs -p); do end_tree "${child}"; done
  wait 2>/dev/null || true
  if ((failed)); then
    rm -rf "${TMPDIR:-/tmp}/brokkr-soak.failed"
    cp -r "${LOG_DIR}" "${TMPDIR:-/tmp}/brokkr-soak.failed"
    echo "The logs are in ${TMPDIR:-/tmp}/brokkr-soak.failed" >&2
  fi
  rm -rf "${STATE_DIR}"
}

# Ends a process and all that it has started.
end_tree() {
  local child
  for child in $(pgrep -P "$1"); do end_tree "${child}"; done
  kill -TERM "$1" 2>/dev/null || true
}
trap cleanup EXIT
trap 'echo; echo "Interrupted."; exit 130' INT TERM

# tests TARGET FILTER...: the tests of one target whose names hold one of the filters; at least one must run.
tests() {
  local target=$1
  shift
  cargo test --workspace --locked --quiet --test "${target}" -- --nocapture --test-threads 1 "$@"
}

requests() { tests requests fuzz::; }
model() {
  cargo test --workspace --locked --quiet --lib -- --nocapture lifecycle::tests::laws:: && tests storage replicas::
}
crash() { tests requests crash:: && tests queue crash:: && tests storage durability::; }
outages() { tests outages; }
namespaces() { tests e2e namespaces::; }

build() {
  cargo test --workspace --locked --quiet --no-run --test requests --test queue --test storage --test outages --test e2e &&
    cargo build --workspace --bins --locked --quiet && build_control_plane
}

# Runs a part and notes its result, its time and its figures.
results=()
figures=${STATE_DIR}/figures
run() {
  local part=$1 started=${SECONDS} verdict=passed passed log
  log="${LOG_DIR}/step-$(printf '%02d' $((step_number + 1))).log"
  step "${part}" "${part}" || verdict=FAILED
  passed=$(sed -nE 's/^test result: .* ([0-9]+) passed; .*/\1/p' "${log}" | awk '{ sum += $1 } END { print sum + 0 }')
  if [[ ${verdict} == passed && ${passed} == 0 ]]; then
    verdict="FAILED: no test ran"
    echo "  ${part}: no test ran" >&2
  fi
  [[ ${verdict} == passed ]] || failed=1
  results+=("| ${part} | ${verdict} | ${passed} | $((SECONDS - started)) |")
  { sed -nE 's/.*(soak: .*)/\1/p' "${log}" | sed "s/^soak:/${part}:/"; } >>"${figures}"
}

report() {
  mkdir -p "$(dirname "${REPORT}")"
  cat >"${REPORT}" <<TEXT
# Soak, ${DAY}

\`hack/soak.sh --seed ${BROKKR_SOAK_SEED} ${chosen[*]}\` at commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- || echo ", with changes").

Machine: $(nproc) processors ($(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)), $(awk '/MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo), load $(cut -d ' ' -f 1-3 /proc/loadavg) at the end;
$("$(postgres_bin)/postgres" --version); debug build.

| part | result | tests | seconds |
|---|---|---|---|
$(printf '%s\n' "${results[@]}")

Figures:

\`\`\`
$(cat "${figures}")
\`\`\`
TEXT
  echo "The report is ${REPORT}."
}

echo "Soak with seed ${BROKKR_SOAK_SEED}:"
install_prerequisites with-postgres
step "Build" build
for part in "${chosen[@]}"; do run "${part}"; done
report
exit "${failed}"
