# The main job, visibly: a Build and the order to run it, followed to its entry in the log.
# Expects ROOT and the functions of control-plane.sh and install.sh.

# Shows a command as a person would type it, then runs it.
show() {
  echo
  echo "\$ $*"
  "$@"
}

demo() {
  local order entry
  echo
  echo "The main job:"
  kubectl get build my-app-build --namespace "${WORK_NAMESPACE}" >/dev/null 2>&1 &&
    kubectl delete build my-app-build --namespace "${WORK_NAMESPACE}" >/dev/null
  echo
  echo "\$ kubectl create -f docs/samples/build.yaml"
  kubectl create -f "${ROOT}/docs/samples/build.yaml"
  order=$(kubectl get workorders --namespace "${WORK_NAMESPACE}" --sort-by .metadata.creationTimestamp --output name | tail -n 1)
  follow_order "${order}"
  show kubectl get workorderlogs --namespace "${WORK_NAMESPACE}"
  entry=$(kubectl get "${order}" --namespace "${WORK_NAMESPACE}" --output jsonpath='{.status.logName}')
  show kubectl describe workorderlog "${entry}" --namespace "${WORK_NAMESPACE}"
  [[ "$(kubectl get workorderlog "${entry}" --namespace "${WORK_NAMESPACE}" --output jsonpath='{.status.outcome}')" == Succeeded ]]
}

# Watches the order until it is complete, with the same watch a person would use.
follow_order() {
  echo
  echo "\$ kubectl get workorders -n ${WORK_NAMESPACE} -w"
  "$(kubectl_path)" --kubeconfig "${STATE_DIR}/kubeconfig" get workorders --namespace "${WORK_NAMESPACE}" --watch &
  local watch=$! code=0
  trap end_children EXIT
  kubectl wait "$1" --namespace "${WORK_NAMESPACE}" --for=condition=Complete --timeout=120s >/dev/null || code=$?
  sleep 0.5
  kill "${watch}" 2>/dev/null
  wait "${watch}" 2>/dev/null || true
  trap - EXIT
  return "${code}"
}
