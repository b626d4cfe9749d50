# Steps with progress: `step "What" command...` runs the command with its output in a log, shows the
# seconds it takes, and on failure prints the end of the log and where the rest is.
# Sourced by the scripts of hack/; expects LOG_DIR.

step_number=0

# Prints one line of progress; on a terminal it overwrites itself while the step runs.
step() {
  local what=$1
  shift
  step_number=$((step_number + 1))
  local log="${LOG_DIR}/step-$(printf '%02d' "${step_number}").log"
  local started=${EPOCHREALTIME}
  "$@" >"${log}" 2>&1 &
  local child=$!
  step_wait "${child}" "${what}" "${started}"
  local code=0
  wait "${child}" || code=$?
  if ((code == 0)); then
    printf '\r  %-62s %6ss\n' "${what}" "$(elapsed_since "${started}")"
    return 0
  fi
  printf '\r  %-62s failed after %ss\n' "${what}" "$(elapsed_since "${started}")"
  echo "  The end of ${log}:" >&2
  tail -n 30 "${log}" | sed 's/^/    /' >&2
  return "${code}"
}

# Shows the passing seconds of a running step: each second on a terminal, each half minute elsewhere.
step_wait() {
  local child=$1 what=$2 started=$3 shown=0
  while kill -0 "${child}" 2>/dev/null; do
    if [[ -t 1 ]]; then
      printf '\r  %-62s %6ss' "${what}" "$(elapsed_since "${started}")"
    elif ((shown++ % 120 == 119)); then
      printf '  %-62s %6ss ...\n' "${what}" "$(elapsed_since "${started}")"
    fi
    sleep 0.25
  done
}

# Seconds with one decimal since a value of EPOCHREALTIME.
elapsed_since() {
  awk -v from="$1" -v to="${EPOCHREALTIME}" 'BEGIN { printf "%.1f", to - from }'
}

# Waits until a command succeeds, at most so many seconds.
wait_until() {
  local seconds=$1
  shift
  local deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      echo "not reached within ${seconds} s: $*" >&2
      "$@" >&2 || true
      return 1
    fi
    sleep 0.1
  done
}
