# What the scripts need on the machine. What is missing is named with its reason and installed from
# Debian's packages where that is possible; elsewhere the script says what to install and stops.

missing_packages=()

# need PACKAGE REASON COMMAND...: notes the package when the command fails.
need() {
  local package=$1 reason=$2
  shift 2
  "$@" >/dev/null 2>&1 && return 0
  echo "  missing: ${package} (${reason})"
  missing_packages+=("${package}")
}

postgres_bin() {
  local dir
  for dir in ${POSTGRES_BIN:-} /usr/lib/postgresql/*/bin; do
    [[ -x "${dir}/initdb" ]] && echo "${dir}"
  done | sort -V | tail -n 1
}

have_postgres() { [[ -n "$(postgres_bin)" ]]; }

have_openssl_headers() {
  echo '#include <openssl/ssl.h>' | cc -E - >/dev/null 2>&1
}

# Rust and Go come from their own installers: they are demanded, not installed.
demand() {
  command -v "$1" >/dev/null 2>&1 && return 0
  echo "  missing: $1 ($2). Install it from $3 and run this again." >&2
  return 1
}

install_prerequisites() {
  demand cargo "builds the server and the agent" "https://rustup.rs"
  demand go "builds the control plane that the product is tried on" "https://go.dev/dl"
  need gcc "links the Rust programs" command -v cc
  need libssl-dev "the certificate tool mints with OpenSSL" have_openssl_headers
  need pkg-config "finds OpenSSL" command -v pkg-config
  if [[ -z "${DATABASE_URL:-}" || "${1:-}" == "with-postgres" ]]; then
    need postgresql "a private cluster holds the orders; its binaries only" have_postgres
  fi
  need util-linux "starts processes in sessions of their own" command -v setsid
  need curl "asks health endpoints" command -v curl
  need jq "reads the state of the control plane" command -v jq
  need procps "finds what is to be ended, and how much memory there is" command -v pgrep
  need git "names the commit in reports" command -v git
  ((${#missing_packages[@]} == 0)) && return 0
  install_packages "${missing_packages[@]}"
}

install_packages() {
  local sudo=()
  ((EUID == 0)) || sudo=(sudo)
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "  Install these with your package manager and run this again: $*" >&2
    return 1
  fi
  echo "  installing: $*"
  # The package's own cluster is not wanted: only its programs are used.
  "${sudo[@]}" mkdir -p /etc/postgresql-common
  [[ -e /etc/postgresql-common/createcluster.conf ]] ||
    echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
  "${sudo[@]}" apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -q -y --no-install-recommends "$@" >/dev/null
}

# Prints the path of Debian's kubectl, years older than the control plane: the tests hold that such a client
# works too. It is unpacked beside the other builds, so that the kubectl on the PATH stays what it is.
debian_kubectl() {
  local cache=${BROKKR_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME}/.cache}/brokkr-work}
  local dir=${cache}/kubernetes-client
  [[ -x "${dir}/usr/bin/kubectl" ]] || unpack_package kubernetes-client "${dir}" >&2
  echo "${dir}/usr/bin/kubectl"
}

# unpack_package PACKAGE DIR: the files of a Debian package in a folder, without installing it.
unpack_package() {
  local new=$2.$$
  rm -rf "${new}"
  mkdir -p "${new}"
  (cd "${new}" && download_package "$1" && dpkg-deb --extract ./*.deb . && rm ./*.deb) || return 1
  # Another run may have been faster; either is as good.
  mv -T "${new}" "$2" 2>/dev/null || rm -rf "${new}"
}

download_package() {
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "  $1 is taken from Debian; without apt-get, put its kubectl where debian_kubectl looks" >&2
    return 1
  fi
  apt-get download -q "$1" && return 0
  local sudo=()
  ((EUID == 0)) || sudo=(sudo)
  "${sudo[@]}" apt-get update -q >/dev/null && apt-get download -q "$1"
}
