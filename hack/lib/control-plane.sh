# The control plane that everything runs on: the Go program of tests/controlplane. Expects ROOT,
# STATE_DIR, LOG_DIR, CONTROL_PLANE_DIR.

# Where the small program itself is built; the programs that it builds are in its cache.
control_plane_program() {
  echo "${BROKKR_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME}/.cache}/brokkr-work}/bin/controlplane"
}

build_control_plane_program() {
  local program new
  program=$(control_plane_program)
  # Other runs may build it at the same time: each moves its own into place.
  new=${program}.$$
  mkdir -p "$(dirname "${program}")"
  (cd "${ROOT}/tests/controlplane" && CGO_ENABLED=0 go build -o "${new}" . && mv "${new}" "${program}")
}

# build_control_plane [FLAG...]: flags of `controlplane build`.
build_control_plane() {
  build_control_plane_program
  "$(control_plane_program)" build "$@"
}

# start_control_plane [FLAG...]: flags of `controlplane up`.
start_control_plane() {
  start_process control-plane "${LOG_DIR}/control-plane.log" \
    "$(control_plane_program)" up --dir "${CONTROL_PLANE_DIR}" "$@"
  local deadline=$((SECONDS + 120))
  until [[ -s "${CONTROL_PLANE_DIR}/state.json" ]]; do
    if ! process_alive control-plane || ((SECONDS >= deadline)); then
      tail -n 20 "${LOG_DIR}/control-plane.log"
      return 1
    fi
    sleep 0.1
  done
  cp "$(control_plane_state kubeconfig)" "${STATE_DIR}/kubeconfig"
}

# use_control_plane KUBECONFIG: one that somebody else runs, described as ours would be.
use_control_plane() {
  local config program
  program=$(type -P kubectl) || { echo "--kubeconfig needs kubectl on the PATH" && return 1; }
  mkdir -p "${CONTROL_PLANE_DIR}"
  config=$("${program}" --kubeconfig "$1" config view --raw --flatten --minify --output json)
  jq -er '.clusters[0].cluster["certificate-authority-data"]' <<<"${config}" | base64 -d >"${CONTROL_PLANE_DIR}/ca.crt"
  jq --arg kubectl "${program}" --arg ca "${CONTROL_PLANE_DIR}/ca.crt" \
    '{kubectl: $kubectl, caFile: $ca, serverURL: .clusters[0].cluster.server}' <<<"${config}" >"${CONTROL_PLANE_DIR}/state.json"
  (umask 077 && echo "${config}" >"${STATE_DIR}/kubeconfig")
  nothing_installed || return 1
  # From here on, what carries our names is ours to remove.
  touch "${CONTROL_PLANE_DIR}/installing"
}

# One value of the control plane's state, such as `kubeconfig` or `serverURL`.
control_plane_state() { jq -er ".$1" "${CONTROL_PLANE_DIR}/state.json"; }

kubectl_path() { control_plane_state kubectl; }

kubectl() { "$(kubectl_path)" --kubeconfig "${STATE_DIR}/kubeconfig" "$@"; }

# write_kubeconfig FILE TOKEN_FILE NAMESPACE: a client of the control plane that has nothing but a token.
write_kubeconfig() {
  cat >"$1" <<TEXT
apiVersion: v1
kind: Config
clusters:
  - name: hub
    cluster:
      server: $(control_plane_state serverURL)
      certificate-authority: $(control_plane_state caFile)
users:
  - name: account
    user:
      tokenFile: $2
contexts:
  - name: hub
    context: {cluster: hub, user: account, namespace: $3}
current-context: hub
TEXT
  chmod 600 "$1"
}

# account_kubeconfig NAME NAMESPACE ACCOUNT: mints a bound token and a kubeconfig that uses it.
account_kubeconfig() {
  (umask 077 && kubectl create token "$3" --namespace "$2" --duration 24h >"${STATE_DIR}/$1.token")
  write_kubeconfig "${STATE_DIR}/$1.kubeconfig" "${STATE_DIR}/$1.token" "$2"
}
