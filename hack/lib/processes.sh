# Processes that a script starts and a later call ends. Each is recorded by pid and start time, so that
# a pid used again by something else is never ended. Sourced by the scripts of hack/; expects STATE_DIR.

# The start time of a process in clock ticks since boot: what tells two users of one pid apart.
process_start_time() {
  # The command name may hold blanks: count from the closing parenthesis.
  sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# start_process NAME LOG COMMAND...: starts it in a session of its own, detached from the terminal.
start_process() {
  local name=$1 log=$2
  shift 2
  # Its record is the only way to end it.
  if process_alive "${name}"; then
    echo "${name} already runs; stop it first" >&2
    return 1
  fi
  mkdir -p "${STATE_DIR}/pids"
  setsid "$@" >>"${log}" 2>&1 </dev/null &
  local pid=$!
  echo "${pid} $(process_start_time "${pid}")" >"${STATE_DIR}/pids/${name}"
}

# Whether the recorded process still runs.
process_alive() {
  local pid started
  [[ -r "${STATE_DIR}/pids/$1" ]] || return 1
  read -r pid started <"${STATE_DIR}/pids/$1"
  [[ -n "${started}" && "$(process_start_time "${pid}")" == "${started}" ]]
}

# stop_process NAME [SIGNAL]: ends it and waits, with SIGKILL after 20 s.
stop_process() {
  local name=$1 signal=${2:-TERM} pid
  if process_alive "${name}"; then
    read -r pid _ <"${STATE_DIR}/pids/${name}"
    kill "-${signal}" "${pid}" 2>/dev/null || true
    local deadline=$((SECONDS + 20))
    while process_alive "${name}"; do
      if ((SECONDS >= deadline)); then kill -KILL "${pid}" 2>/dev/null || true; fi
      sleep 0.05
    done
  fi
  rm -f "${STATE_DIR}/pids/${name}"
}

# Ends what the script has started in the background and not detached, and waits. Background jobs of a script
# ignore Ctrl-C: without this, a build would go on after it.
end_children() {
  local child
  for child in $(jobs -rp); do end_tree "${child}"; done
  wait 2>/dev/null || true
}

# Ends a process and all that it has started.
end_tree() {
  local child
  for child in $(pgrep -P "$1"); do end_tree "${child}"; done
  kill -TERM "$1" 2>/dev/null || true
}
