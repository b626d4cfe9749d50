# A private PostgreSQL cluster in a folder of its own, on a unix socket only. Expects STATE_DIR, LOG_DIR.

# PostgreSQL refuses root: its programs run as another user then.
as_postgres() {
  if ((EUID == 0)); then
    setpriv --reuid="${POSTGRES_USER}" --regid="$(id -g "${POSTGRES_USER}")" --clear-groups -- "$@"
  else
    "$@"
  fi
}

postgres_user() {
  if ((EUID != 0)); then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

start_postgres() {
  local bin dir="${STATE_DIR}/postgres"
  bin=$(postgres_bin)
  POSTGRES_USER=$(postgres_user)
  if [[ ! -d "${dir}/data" ]]; then
    mkdir -p "${dir}"
    chown "${POSTGRES_USER}" "${dir}"
    as_postgres "${bin}/initdb" --pgdata="${dir}/data" --username=brokkr --auth=trust --no-sync --encoding=UTF8 --locale=C
    as_postgres mkdir -p "${dir}/socket"
  fi
  as_postgres "${bin}/pg_ctl" --pgdata="${dir}/data" --log="${dir}/log" --wait start \
    -o "-c listen_addresses= -c unix_socket_directories=${dir}/socket -c max_connections=200"
  as_postgres "${bin}/psql" --host="${dir}/socket" --username=brokkr --dbname=postgres --quiet \
    --command='create database brokkr' 2>/dev/null || true
}

postgres_url() {
  echo "postgresql:///brokkr?host=${STATE_DIR}/postgres/socket&user=brokkr"
}

stop_postgres() {
  local dir="${STATE_DIR}/postgres"
  [[ -d "${dir}/data" ]] || return 0
  POSTGRES_USER=$(postgres_user)
  as_postgres "$(postgres_bin)/pg_ctl" --pgdata="${dir}/data" --mode=fast --wait stop >/dev/null 2>&1 || true
}
