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
for part in steps processes prerequisites control-plane; do
  # shellcheck source=/dev/null
  source "${ROOT}/hack/lib/${part}.sh"
done

# Whatever ends this script ends what it runs: tests remove their databases and installations when they end.
cleanup() {
  trap - EXIT INT TERM
  end_children
  if ((failed)); then
    rm -rf "${TMPDIR:-/tmp}/brokkr-soak.failed"
    cp -r "${LOG_DIR}" "${TMPDIR:-/tmp}/brokkr-soak.failed"
    echo "The logs are in ${TMPDIR:-/tmp}/brokkr-soak.failed" >&2
  fi
  rm -rf "${STATE_DIR}"
}
trap cleanup EXIT
trap 'echo; echo "Interrupted."; exit 130' INT TERM

# tests TARGET FILTER...: the tests of one target whose names hold one of the filters.
tests() { some_of cargo test --workspace --locked --quiet --test "$1" -- --nocapture --test-threads 1 "${@:2}"; }

# some_of COMMAND...: runs tests, at least one of which must be there: a filter that finds none passes otherwise.
some_of() {
  local log=${STATE_DIR}/tests.log
  "$@" | tee "${log}" || return 1
  (($(passed_in "${log}") > 0)) && return 0
  echo "no test ran: $*" >&2
  return 1
}

passed_in() { sed -nE 's/^test result: .* ([0-9]+) passed; .*/\1/p' "$1" | awk '{ sum += $1 } END { print sum + 0 }'; }

requests() { tests requests fuzz::; }
model() {
  some_of cargo test --workspace --locked --quiet --lib -- --nocapture lifecycle::tests::laws:: && tests storage replicas::
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
  local part=$1 started=${SECONDS} verdict=passed log
  log="${LOG_DIR}/step-$(printf '%02d' $((step_number + 1))).log"
  step "${part}" "${part}" || verdict=FAILED
  [[ ${verdict} == passed ]] || failed=1
  results+=("| ${part} | ${verdict} | $(passed_in "${log}") | $((SECONDS - started)) |")
  { sed -nE 's/.*(soak: .*)/\1/p' "${log}" | sed "s/^soak:/${part}:/"; } >>"${figures}"
}

report() {
  mkdir -p "$(dirname "${REPORT}")"
  cat >"${REPORT}" <<TEXT
# Soak, ${DAY}

\`hack/soak.sh --seed ${BROKKR_SOAK_SEED} ${chosen[*]}\` at commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!docs/reports' || echo ", with changes").

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
