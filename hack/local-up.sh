#!/usr/bin/env bash
# Brings a whole Brokkr Work up on loopback and runs its main job: a container build.
set -euo pipefail

usage() {
  cat <<'TEXT'
Brings up, on loopback and random ports: etcd, kube-apiserver, kube-controller-manager, the Tekton and
Shipwright controllers, PostgreSQL, brokkr-apiserver behind an APIService, and one brokkr-agent; then
creates a Build and a WorkOrder and shows them finish.

Usage: hack/local-up.sh [up] [--dir DIR] [--no-demo] [--replicas N] [--agents N] [--kubeconfig FILE]
       hack/local-up.sh demo [--dir DIR]             run the main job again
       hack/local-up.sh stop|start WHAT [--dir DIR] [--signal NAME]
                                                     WHAT: server, agent, server-2, agent-2 and so on, kube-apiserver,
                                                     postgres (the private one)
       hack/local-up.sh down [--dir DIR]             end and remove all of it

  --dir DIR      where its files are (default: $TMPDIR/brokkr-local-up-UID)
  --no-demo      bring everything up and stop there
  --replicas N   how many servers to run behind the Service, 1 to 9 (default: 1)
  --agents N     how many agents to run, local, local-2 and so on, 1 to 9 (default: 1)
  --kubeconfig FILE
                 use this control plane, with Shipwright and Tekton on it, instead of a new one; it must
                 reach this machine by its loopback address and have nothing of Brokkr Work yet
  --signal NAME  how `stop` ends a process (default: TERM; kube-apiserver is always killed,
                 postgres always stopped fast)

Environment:
  DATABASE_URL      used instead of a private PostgreSQL cluster; its database must be empty or ours
  CARGO_TARGET_DIR  where the Rust programs are built (default: target)

No kubelet runs here: a driver plays the status of the pods that Tekton creates.
TEXT
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
COMMAND=up
SUBJECT=
STATE_DIR=${TMPDIR:-/tmp}/brokkr-local-up-$(id -u)
DEMO=true
REPLICAS=1
AGENTS=1
SIGNAL=TERM
KUBECONFIG_GIVEN=

while (($#)); do
  case $1 in
    up | down | demo) COMMAND=$1 ;;
    start | stop)
      COMMAND=$1
      SUBJECT=${2:?"$1 needs server, agent, kube-apiserver or postgres"}
      shift
      ;;
    --dir)
      STATE_DIR=${2:?--dir needs a folder}
      shift
      ;;
    --replicas | --agents)
      [[ "${2:-}" =~ ^[1-9]$ ]] || { echo "$1 needs a number from 1 to 9" >&2 && exit 2; }
      if [[ "$1" == --agents ]]; then AGENTS=$2; else REPLICAS=$2; fi
      shift
      ;;
    --signal)
      SIGNAL=${2:?--signal needs a name}
      shift
      ;;
    --kubeconfig)
      KUBECONFIG_GIVEN=${2:?--kubeconfig needs a file}
      shift
      ;;
    --no-demo) DEMO=false ;;
    -h | --help) usage && exit 0 ;;
    *) echo "unknown argument: $1 (see --help)" >&2 && exit 2 ;;
  esac
  shift
done

LOG_DIR=${STATE_DIR}/logs
CONTROL_PLANE_DIR=${STATE_DIR}/control-plane
BIN=${CARGO_TARGET_DIR:-${ROOT}/target}/debug
for part in steps processes prerequisites postgres control-plane install demo; do
  # shellcheck source=/dev/null
  source "${ROOT}/hack/lib/${part}.sh"
done

up() {
  local started=${EPOCHREALTIME}
  if [[ -e "${STATE_DIR}/up" ]]; then
    echo "Already up in ${STATE_DIR}; 'hack/local-up.sh down' ends it." >&2
    return 1
  fi
  if [[ -n "$(ls -A "${STATE_DIR}" 2>/dev/null)" ]] && ! is_ours; then
    echo "${STATE_DIR} is not empty and was not made by this script; give --dir a new folder." >&2
    return 1
  fi
  mkdir -p "${LOG_DIR}"
  touch "${STATE_DIR}/.brokkr-local-up"
  chmod 711 "${STATE_DIR}"
  echo "${REPLICAS}" >"${STATE_DIR}/replicas"
  echo "${AGENTS}" >"${STATE_DIR}/agents"
  trap 'interrupted' INT TERM
  trap 'failed $?' EXIT
  echo "Brokkr Work on loopback, in ${STATE_DIR}:"
  step "Prerequisites" install_prerequisites
  step "Server, agent and certificate tool (cargo build)" build_programs
  step "PostgreSQL" bring_up_database
  if [[ -n "${KUBECONFIG_GIVEN}" ]]; then
    step "Control plane of ${KUBECONFIG_GIVEN}" use_control_plane "${KUBECONFIG_GIVEN}"
  else
    step "Control plane (Go modules; minutes when first built)" build_control_plane
    step "etcd, kube-apiserver, controllers, Tekton, Shipwright" start_control_plane
  fi
  step "Certificates, RBAC, APIService" install_api_service
  step "brokkr-apiserver" start_servers
  step "APIService Available" wait_until 60 api_service_available
  step "Namespace team-a and the agent's account" install_agents
  step "brokkr-agent" start_agents
  kubectl_path >"${STATE_DIR}/kubectl-path"
  touch "${STATE_DIR}/up"
  trap - INT TERM EXIT
  echo "Up after $(elapsed_since "${started}") s."
  "${DEMO}" && demo
  next_steps
}

interrupted() {
  trap - INT TERM EXIT
  echo
  echo "Interrupted: removing what was started."
  end_children
  down || true
  exit 130
}

failed() {
  trap - EXIT
  (($1 == 0)) && return 0
  echo "Removing what was started; the logs stay in ${STATE_DIR}.failed" >&2
  rm -rf "${STATE_DIR}.failed"
  cp -r "${LOG_DIR}" "${STATE_DIR}.failed" 2>/dev/null || true
  end_children
  down || true
  exit "$1"
}

down() {
  # An agent would wait for its runs, which go with everything else.
  local name code=0
  for name in $(agents); do stop_process "${name}" KILL; done
  # A server whose clients are gone has nothing to drain.
  if [[ -e "${CONTROL_PLANE_DIR}/installing" ]]; then uninstall || code=1; else stop_process control-plane; fi
  stop_servers
  stop_postgres
  if is_ours; then
    rm -rf "${STATE_DIR}"
  elif [[ -e "${STATE_DIR}" ]]; then
    echo "${STATE_DIR} was not made by this script and stays; remove it yourself." >&2
    code=1
  fi
  return "${code}"
}

# Whether the folder was made here, so that all of it may be removed.
is_ours() { [[ -e "${STATE_DIR}/.brokkr-local-up" ]]; }

start() {
  case ${SUBJECT} in
    server | server-[2-9]) start_server "${SUBJECT}" ;;
    agent | agent-[2-9]) start_agent "${SUBJECT}" ;;
    kube-apiserver) "$(control_plane_program)" start --dir "${CONTROL_PLANE_DIR}" ;;
    postgres) start_postgres ;;
    *) echo "start what? server, server-2, agent, kube-apiserver or postgres, not ${SUBJECT}" >&2 && return 2 ;;
  esac
}

stop() {
  case ${SUBJECT} in
    kube-apiserver) "$(control_plane_program)" stop --dir "${CONTROL_PLANE_DIR}" ;;
    postgres) stop_postgres ;;
    *) stop_process "${SUBJECT}" "${SIGNAL}" ;;
  esac
}

build_programs() {
  cargo build --manifest-path "${ROOT}/Cargo.toml" --workspace --bins --locked
}

bring_up_database() {
  if [[ -n "${DATABASE_URL:-}" ]]; then
    echo "${DATABASE_URL}" >"${STATE_DIR}/database-url"
  else
    start_postgres
    postgres_url >"${STATE_DIR}/database-url"
  fi
  chmod 600 "${STATE_DIR}/database-url"
}

next_steps() {
  cat <<TEXT

The kubeconfig is ${STATE_DIR}/kubeconfig. To try next:

  export KUBECONFIG=${STATE_DIR}/kubeconfig
  $(kubectl_path) create -f ${ROOT}/docs/samples/build.yaml
  $(kubectl_path) get workorders,workorderlogs -n team-a
  ${ROOT}/hack/local-up.sh down
TEXT
}

case ${COMMAND} in
  up) up ;;
  down) down ;;
  demo) demo ;;
  start) start ;;
  stop) stop ;;
esac
