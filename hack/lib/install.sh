# What an administrator of the hub does: certificates, APIService, roles, one agent; and the two
# programs themselves. Expects ROOT, STATE_DIR, LOG_DIR, BIN and the functions of control-plane.sh.

WORK_NAMESPACE=team-a

# A free port of the loopback interface, below the range from which Linux takes the source ports of outgoing
# connections: none of them takes it before its program does, or while that is away.
free_port() {
  local port
  for _ in {1..100}; do
    port=$((15000 + SRANDOM % 17000))
    # Nobody answers there.
    (exec 3<>"/dev/tcp/127.0.0.1/${port}") 2>/dev/null || { echo "${port}" && return 0; }
  done
  echo "no free port on 127.0.0.1" >&2
  return 1
}

# Replicas are called server, server-2, server-3 and so on; agents agent, agent-2, agent-3.
replicas() { numbered server "$(cat "${STATE_DIR}/replicas" 2>/dev/null || echo 1)"; }

agents() { numbered agent "$(cat "${STATE_DIR}/agents" 2>/dev/null || echo 1)"; }

# What an agent is called on the hub: local, local-2, local-3.
hub_name() { echo "local${1#agent}"; }

numbered() {
  local number
  echo "$1"
  for ((number = 2; number <= $2; number++)); do echo "$1-${number}"; done
}

# A port for each replica, and one for their Service: that of the only replica, or of a forwarder that
# does what kube-proxy would.
choose_ports() {
  local name
  for name in $(replicas); do free_port >"${STATE_DIR}/${name}-port"; done
  if [[ "$(replicas)" == server ]]; then
    cp "${STATE_DIR}/server-port" "${STATE_DIR}/service-port"
  else
    free_port >"${STATE_DIR}/service-port"
  fi
}

install_api_service() {
  "${BIN}/brokkr-certs" serving --dir "${STATE_DIR}/certificates" --service brokkr-apiserver --namespace brokkr-system
  choose_ports
  write_hub_overlay "${STATE_DIR}/hub"
  kubectl apply -k "${STATE_DIR}/hub"
  account_kubeconfig server brokkr-system brokkr-apiserver
}

# write_hub_overlay FOLDER: the shipped manifests for a server that is a process and no pod. Its Service is
# an alias of localhost, the APIService names the port of the process or of the forwarder, and what is
# about pods is left out.
write_hub_overlay() {
  "${BIN}/brokkr-certs" manifests --dir "${STATE_DIR}/certificates" --output "$1"
  cat >"$1/kustomization.yaml" <<TEXT
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - $(realpath --relative-to "$1" "${ROOT}/apiservice")
patches:
  - path: ca-bundle.yaml
  - patch: |-
      apiVersion: apiregistration.k8s.io/v1
      kind: APIService
      metadata: {name: v1alpha1.work.brokkr.io}
      spec: {service: {port: $(<"${STATE_DIR}/service-port")}}
  - patch: |-
      apiVersion: v1
      kind: Service
      metadata: {name: brokkr-apiserver, namespace: brokkr-system}
      spec: {type: ExternalName, externalName: localhost}
$(without apps/v1 Deployment)
$(without policy/v1 PodDisruptionBudget)
$(without networking.k8s.io/v1 NetworkPolicy)
TEXT
}

# A patch that takes the server's object of this kind out.
without() {
  cat <<TEXT
  - patch: |-
      \$patch: delete
      apiVersion: $1
      kind: $2
      metadata: {name: brokkr-apiserver, namespace: brokkr-system}
TEXT
}

# start_server [NAME]: one replica.
start_server() {
  local name=${1:-server}
  start_process "${name}" "${LOG_DIR}/${name}.log" "${BIN}/brokkr-apiserver" \
    --kubeconfig "${STATE_DIR}/server.kubeconfig" \
    --database-url-file "${STATE_DIR}/database-url" \
    --bind-address 127.0.0.1 --secure-port "$(<"${STATE_DIR}/${name}-port")" \
    --tls-cert-file "${STATE_DIR}/certificates/tls.crt" \
    --tls-private-key-file "${STATE_DIR}/certificates/tls.key" || return 1
  wait_until 30 server_decided "${name}" && process_alive "${name}" && return 0
  tail -n 20 "${LOG_DIR}/${name}.log"
  return 1
}

# All replicas, and what connects them with their Service.
start_servers() {
  local name addresses=()
  for name in $(replicas); do
    start_server "${name}" || return 1
    addresses+=("127.0.0.1:$(<"${STATE_DIR}/${name}-port")")
  done
  ((${#addresses[@]} > 1)) || return 0
  build_control_plane_program
  start_process service "${LOG_DIR}/service.log" "$(control_plane_program)" forward \
    --listen "127.0.0.1:$(<"${STATE_DIR}/service-port")" --to "$(IFS=, && echo "${addresses[*]}")"
}

stop_servers() {
  local name
  for name in $(replicas) service; do stop_process "${name}"; done
}

# Whether the replica is ready, or has given up.
server_decided() { ! process_alive "$1" || server_ready "$1"; }

server_ready() {
  curl --silent --fail --cacert "${STATE_DIR}/certificates/ca.crt" \
    "https://localhost:$(<"${STATE_DIR}/$1-port")/readyz"
}

api_service_available() {
  kubectl get apiservice v1alpha1.work.brokkr.io \
    --output 'jsonpath={.status.conditions[?(@.type=="Available")].status}' | grep -qx True
}

install_agents() {
  local name
  kubectl apply -f "${ROOT}/apiservice/agent/rbac.yaml"
  install_work_namespace "${WORK_NAMESPACE}"
  account_kubeconfig agent-cluster brokkr-system brokkr-agent
  for name in $(agents); do install_agent "${name}"; done
}

# install_agent NAME: its account and its roles on the hub, and its Agent.
install_agent() {
  local account
  account=$(hub_name "$1")
  sed "s|\${AGENT_NAME}|${account}|g" "${ROOT}/apiservice/roles-agent.yaml" | kubectl apply -f -
  kubectl create clusterrolebinding "brokkr-agent-orders:${account}" \
    --clusterrole brokkr-agent-orders --serviceaccount "brokkr-agents:${account}"
  sed "s|\${AGENT_NAME}|${account}|g" "${ROOT}/docs/samples/agent.yaml" | kubectl apply -f -
  account_kubeconfig "$1-hub" brokkr-agents "${account}"
}

# A namespace that takes work: its consent, and the account its builds run as.
install_work_namespace() {
  kubectl create namespace "$1"
  sed "s|\${NAMESPACE}|$1|g" "${ROOT}/apiservice/roles-runner.yaml" | kubectl apply -f -
  kubectl create serviceaccount builder-sa --namespace "$1"
}

start_agents() {
  local name
  for name in $(agents); do start_agent "${name}"; done
}

# start_agent [NAME]
start_agent() {
  local name=${1:-agent}
  start_process "${name}" "${LOG_DIR}/${name}.log" "${BIN}/brokkr-agent" \
    --name "$(hub_name "${name}")" \
    --hub-kubeconfig "${STATE_DIR}/${name}-hub.kubeconfig" \
    --kubeconfig "${STATE_DIR}/agent-cluster.kubeconfig" \
    --config "${ROOT}/docs/samples/agent-config.yaml"
}

INSTALLED_NAMESPACES=(brokkr-system brokkr-agents "${WORK_NAMESPACE}")
INSTALLED_API_SERVICE=v1alpha1.work.brokkr.io

# Whether a control plane has none of what everything above would write over, and `uninstall` would take away.
nothing_installed() {
  local found
  found=$(kubectl get namespaces "${INSTALLED_NAMESPACES[@]}" --ignore-not-found --output name) || return 1
  found+=" $(kubectl get apiservices "${INSTALLED_API_SERVICE}" --ignore-not-found --output name)" || return 1
  [[ -n "${found// /}" ]] || return 0
  echo "The cluster already has ${found//$'\n'/ }" >&2
  echo "They are left as they are. Remove them if they are nobody's, or use another cluster." >&2
  return 1
}

# Takes everything above out of a control plane that goes on without us.
uninstall() {
  if ! kubectl get --raw /version --request-timeout 10s >/dev/null; then
    echo "The cluster does not answer; what was installed there stays. When it is back, remove:" >&2
    echo "  apiservice ${INSTALLED_API_SERVICE}; namespaces ${INSTALLED_NAMESPACES[*]};" >&2
    echo "  clusterroles, clusterrolebindings, priorityclasses, and rolebindings of kube-system, called brokkr-..." >&2
    return 1
  fi
  local name code=0
  remove namespace "${WORK_NAMESPACE}" || code=1
  if [[ -e "${STATE_DIR}/hub/kustomization.yaml" ]]; then remove -k "${STATE_DIR}/hub" || code=1; fi
  for name in $(agents); do uninstall_agent "$(hub_name "${name}")" || code=1; done
  remove -f "${ROOT}/apiservice/agent/rbac.yaml" || code=1
  return "${code}"
}

# uninstall_agent ACCOUNT
uninstall_agent() {
  sed "s|\${AGENT_NAME}|$1|g" "${ROOT}/apiservice/roles-agent.yaml" | remove -f - &&
    remove clusterrolebinding "brokkr-agent-orders:$1"
}

remove() { kubectl delete --ignore-not-found --wait=false "$@"; }
