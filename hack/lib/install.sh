# What an administrator of the hub does: certificates, APIService, roles, one agent; and the two
# programs themselves. Expects ROOT, STATE_DIR, LOG_DIR, BIN and the functions of control-plane.sh.

AGENT_NAME=local
WORK_NAMESPACE=team-a

# A free port of the loopback interface, chosen by the kernel.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

install_api_service() {
  "${BIN}/brokkr-certs" serving --dir "${STATE_DIR}/certificates" --service brokkr-apiserver --namespace brokkr-system
  free_port >"${STATE_DIR}/server-port"
  write_hub_overlay "${STATE_DIR}/hub"
  kubectl apply -k "${STATE_DIR}/hub"
  account_kubeconfig server brokkr-system brokkr-apiserver
}

# write_hub_overlay FOLDER: the shipped manifests for a server that is a process and no pod. Its Service is
# an alias of localhost, the APIService names the port of the process, and what is about pods is left out.
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
      spec: {service: {port: $(<"${STATE_DIR}/server-port")}}
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

start_server() {
  start_process server "${LOG_DIR}/server.log" "${BIN}/brokkr-apiserver" \
    --kubeconfig "${STATE_DIR}/server.kubeconfig" \
    --database-url-file "${STATE_DIR}/database-url" \
    --bind-address 127.0.0.1 --secure-port "$(<"${STATE_DIR}/server-port")" \
    --tls-cert-file "${STATE_DIR}/certificates/tls.crt" \
    --tls-private-key-file "${STATE_DIR}/certificates/tls.key"
  wait_until 30 server_decided && process_alive server && return 0
  tail -n 20 "${LOG_DIR}/server.log"
  return 1
}

# Whether the server is ready, or has given up.
server_decided() { ! process_alive server || server_ready; }

server_ready() {
  curl --silent --fail --cacert "${STATE_DIR}/certificates/ca.crt" \
    "https://localhost:$(<"${STATE_DIR}/server-port")/readyz"
}

api_service_available() {
  kubectl get apiservice v1alpha1.work.brokkr.io \
    --output 'jsonpath={.status.conditions[?(@.type=="Available")].status}' | grep -qx True
}

install_agent() {
  sed "s|\${AGENT_NAME}|${AGENT_NAME}|g" "${ROOT}/apiservice/roles-agent.yaml" | kubectl apply -f -
  kubectl create clusterrolebinding "brokkr-agent-orders:${AGENT_NAME}" \
    --clusterrole brokkr-agent-orders --serviceaccount "brokkr-agents:${AGENT_NAME}"
  kubectl apply -f "${ROOT}/apiservice/agent/rbac.yaml"
  install_work_namespace "${WORK_NAMESPACE}"
  sed "s|\${AGENT_NAME}|${AGENT_NAME}|g" "${ROOT}/docs/samples/agent.yaml" | kubectl apply -f -
  account_kubeconfig agent-hub brokkr-agents "${AGENT_NAME}"
  account_kubeconfig agent-cluster brokkr-system brokkr-agent
}

# A namespace that takes work: its consent, and the account its builds run as.
install_work_namespace() {
  kubectl create namespace "$1"
  sed "s|\${NAMESPACE}|$1|g" "${ROOT}/apiservice/roles-runner.yaml" | kubectl apply -f -
  kubectl create serviceaccount builder-sa --namespace "$1"
}

start_agent() {
  start_process agent "${LOG_DIR}/agent.log" "${BIN}/brokkr-agent" \
    --name "${AGENT_NAME}" \
    --hub-kubeconfig "${STATE_DIR}/agent-hub.kubeconfig" \
    --kubeconfig "${STATE_DIR}/agent-cluster.kubeconfig" \
    --config "${ROOT}/docs/samples/agent-config.yaml"
}

# Takes everything above out of a control plane that goes on without us.
uninstall() {
  kubectl delete namespace "${WORK_NAMESPACE}" --ignore-not-found --wait=false
  [[ -e "${STATE_DIR}/hub/kustomization.yaml" ]] &&
    kubectl delete -k "${STATE_DIR}/hub" --ignore-not-found --wait=false
  sed "s|\${AGENT_NAME}|${AGENT_NAME}|g" "${ROOT}/apiservice/roles-agent.yaml" |
    kubectl delete --ignore-not-found --wait=false -f -
  kubectl delete clusterrolebinding "brokkr-agent-orders:${AGENT_NAME}" --ignore-not-found
  kubectl delete --ignore-not-found --wait=false -f "${ROOT}/apiservice/agent/rbac.yaml"
}
