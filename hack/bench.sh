#!/usr/bin/env bash
# Measures brokkr-apiserver beside PostgreSQL alone and beside kube-apiserver with a custom resource.
set -euo pipefail

usage() {
  cat <<'TEXT'
Brings up, on loopback and random ports, etcd and kube-apiserver, a private PostgreSQL and brokkr-apiserver,
all of them flushing what they commit, and measures:

  starts    time from start to ready; memory when idle
  wakes     time from a create to the claim of an agent that was woken by it
  creates   orders created per second by 1, 16 and 64 clients
  claims    orders claimed and completed per second, one and fifty at a time

Creates and claims are measured beside pgbench on the same PostgreSQL; creates also beside kube-apiserver
with a custom resource of the same shape. What is compared takes turns. Printed are medians, ratios, processor
time per order, and whether the aims are met: exit code 3 when one is missed. A quiet machine is needed for
anything but ratios. docs/adr/0010-measuring.md says what the figures mean.

Usage: hack/bench.sh [--parts LIST] [--clients LIST] [--repeats N] [--seconds N] [--seed N]
                     [--profile NAME] [--report] [--smoke]

  --parts LIST    of starts,wakes,creates,claims (default: all)
  --clients LIST  numbers of clients of the creates (default: 1,16,64; the aims are about 1 and 64)
  --repeats N     how often everything is measured (default: 3)
  --seconds N     of one measurement (default: 3)
  --seed N        of the arrival times (default: 1)
  --profile NAME  cargo profile of the programs (default: dist, what images are built from)
  --report        also write the tables to docs/reports/, named by date and commit
  --smoke         a debug build and one second for each part, to see that everything works; no aim is judged

Environment:
  CARGO_TARGET_DIR  where the programs are built (default: a folder of the user's cache, kept between runs)
TEXT
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "${ROOT}"
PROFILE=dist
REPORT=
SMOKE=false
FLAGS=()

while (($#)); do
  case $1 in
    --parts | --clients | --repeats | --seconds | --seed)
      FLAGS+=("$1" "${2:?"$1 needs a value"}")
      shift
      ;;
    --profile)
      PROFILE=${2:?--profile needs a name}
      shift
      ;;
    --report) REPORT=docs/reports/$(date -u +%Y-%m-%d-%H%M)-$(git rev-parse --short HEAD).md ;;
    --smoke) SMOKE=true ;;
    -h | --help) usage && exit 0 ;;
    *) echo "unknown argument: $1 (see --help)" >&2 && exit 2 ;;
  esac
  shift
done
if "${SMOKE}"; then
  PROFILE=dev
  FLAGS+=(--smoke --repeats 1 --seconds 1 --clients 1,16)
fi

COMPONENTS=etcd,apiserver
STATE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/brokkr-bench.XXXXXX")
LOG_DIR=${STATE_DIR}/logs
CONTROL_PLANE_DIR=${STATE_DIR}/control-plane
mkdir -p "${LOG_DIR}"
# PostgreSQL's user must reach its folder.
chmod 711 "${STATE_DIR}"
for part in steps processes prerequisites build-cache postgres control-plane install; do
  # shellcheck source=/dev/null
  source "${ROOT}/hack/lib/${part}.sh"
done

# Ends everything and removes it; the logs stay when something failed.
clean_up() {
  local code=$?
  trap - EXIT INT TERM
  end_children
  if ((code != 0 && code != 3 && code != 130)); then
    rm -rf "${TMPDIR:-/tmp}/brokkr-bench.failed"
    cp -r "${LOG_DIR}" "${TMPDIR:-/tmp}/brokkr-bench.failed"
    echo "The logs stay in ${TMPDIR:-/tmp}/brokkr-bench.failed" >&2
  fi
  stop_process control-plane
  stop_postgres
  rm -rf "${STATE_DIR}"
  exit "${code}"
}

# A debug build is the whole workspace's, which the other tests share.
build_programs() {
  if "${SMOKE}"; then
    cargo build --workspace --bins --locked
  else
    cargo build --profile "${PROFILE}" --locked -p brokkr-apiserver -p brokkr-certs -p brokkr-bench
  fi
}

# The namespace, the rights and the custom resource of the benchmark.
install_bench() {
  kubectl apply -f tests/bench/cluster.yaml
  kubectl wait --for condition=Established --timeout 60s customresourcedefinition/workorders.bench.brokkr.io
}

about() {
  local model
  model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
  echo "$(date -u '+%Y-%m-%d %H:%M') UTC; commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo ', changed');" \
    "profile ${PROFILE}; $(nproc) x ${model:-processor}, $(free -g | awk '/^Mem/ {print $2}') GiB, Linux $(uname -r);" \
    "load before: $(cut -d' ' -f1 /proc/loadavg); PostgreSQL $("$(postgres_bin)/postgres" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/')."
}

measure() {
  local port
  port=$(<"${STATE_DIR}/server-port")
  "${BIN}/brokkr-bench" ${FLAGS[@]+"${FLAGS[@]}"} ${REPORT:+--report "${REPORT}"} --about "$(about)" \
    --control-plane "${CONTROL_PLANE_DIR}/state.json" \
    --server-address "127.0.0.1:${port}" --server-ca "${STATE_DIR}/certificates/ca.crt" \
    --server-log "${LOG_DIR}/server.log" \
    --postgres-bin "$(postgres_bin)" --postgres-socket "${STATE_DIR}/postgres/socket" \
    --postmaster "$(head -n 1 "${STATE_DIR}/postgres/data/postmaster.pid")" --probe tests/bench/probe \
    -- "${BIN}/brokkr-apiserver" --kubeconfig "${STATE_DIR}/server.kubeconfig" \
    --database-url-file "${STATE_DIR}/database-url" \
    --bind-address 127.0.0.1 --secure-port "${port}" \
    --tls-cert-file "${STATE_DIR}/certificates/tls.crt" \
    --tls-private-key-file "${STATE_DIR}/certificates/tls.key" &
  MEASURING=$!
  wait "${MEASURING}"
}

trap clean_up EXIT
trap 'exit 130' INT TERM
use_build_cache
BIN=${CARGO_TARGET_DIR}/${PROFILE/#dev/debug}
[[ -z "${REPORT}" ]] || mkdir -p docs/reports

echo "Benchmark, in ${STATE_DIR}:"
step "Prerequisites" install_prerequisites with-postgres
step "Programs (cargo build, profile ${PROFILE})" build_programs
step "PostgreSQL" start_postgres
postgres_url >"${STATE_DIR}/database-url"
echo 1 >"${STATE_DIR}/replicas"
step "Control plane (Go modules; minutes when first built)" build_control_plane --components "${COMPONENTS}"
step "etcd, kube-apiserver" start_control_plane --components "${COMPONENTS}" --durable
step "Certificates, RBAC" install_api_service
step "Custom resource" install_bench
measure
[[ -z "${REPORT}" ]] || echo "Written to ${REPORT}"
