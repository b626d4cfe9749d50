#!/usr/bin/env bash
# Takes each guard out in turn and looks whether a test notices: a test that passes without what it
# guards proves nothing. Built once, with all mutants in it; the environment picks one for each run.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: hack/mutants.sh [NAME...]

Runs the test of each mutant in tests/mutants.txt (or of those named) twice: without the mutant it must
pass, with it it must fail, and say what the table says that it says.

Environment:
  CARGO_TARGET_DIR   where Rust is built (default: target)
  MUTANT_JOBS        runs at the same time (default: two for each processor, because they mostly wait)
TEXT
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/brokkr-mutants.XXXXXX")
# shellcheck source=/dev/null
source hack/lib/processes.sh

clean_up() {
  trap - EXIT INT TERM
  end_children
  rm -rf "${STATE_DIR}"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
# No test that stands a guard's absence for so long may be called red: it has to say what is wrong.
RUN_SECONDS_MAX=120

# Rows of the table: mutant, test target, test, and what the failure says, to the end of the line.
rows() {
  sed -nE 's/^([ic][0-9]+-[a-z0-9-]+) +\| +([a-z_]+) +\| +([a-z0-9_:]+) +\| [^|]+ \| (.+)$/\1 \2 \3 \4/p' tests/mutants.txt
}

# Builds the test targets of the table; writes the program and the folder of each to "programs". The
# whole workspace is selected, so that all but the crates with mutants is shared with other builds.
build() {
  local targets
  mapfile -t targets < <(rows | awk '{ print "--test=" $2 }' | sort -u)
  targets+=(--test=program)
  cargo test --workspace --locked --quiet --features brokkr-apiserver/mutants --no-run \
    --message-format json-render-diagnostics "${targets[@]}" |
    jq -r 'select(.reason == "compiler-artifact" and .executable != null and .target.kind == ["test"])
      | "\(.target.name) \(.executable) \(.manifest_path | rtrimstr("/Cargo.toml"))"' >"${STATE_DIR}/programs"
}

# run LOG TARGET TEST...: runs the tests in the folder that cargo would run them in.
run() {
  local log=$1 target=$2 name program folder
  shift 2
  read -r name program folder < <(grep "^${target} " "${STATE_DIR}/programs")
  (cd "${folder}" && RUST_BACKTRACE=0 timeout "${RUN_SECONDS_MAX}" "${program}" --exact "$@") >"${log}" 2>&1
}

# Without a mutant: each test of the table is there, and passes.
green() {
  local target=$1 tests
  mapfile -t tests < <(rows | awk -v target="${target}" '$2 == target { print $3 }' | sort -u)
  if run "${STATE_DIR}/${target}.log" "${target}" "${tests[@]}" &&
    grep -q "^test result: ok. ${#tests[@]} passed" "${STATE_DIR}/${target}.log"; then
    return 0
  fi
  echo "  ${target}: its tests fail without any mutant, or are not all there:"
  sed 's/^/    /' "${STATE_DIR}/${target}.log"
  return 1
}

# The counterpart of the test that finds no mutant in a program that is built without them.
found_in_program() {
  run "${STATE_DIR}/program.log" program mutants_are_in_the_program_only_when_it_is_built_with_them && return 0
  sed 's/^/    /' "${STATE_DIR}/program.log"
  return 1
}

# With a mutant: the test must run and fail, for the reason that the table names. Any other failure, one of the
# machine for example, shows nothing about the guard.
red() {
  local name=$1 target=$2 test=$3 says=$4 started=${EPOCHREALTIME} code=0 log=${STATE_DIR}/$1.log verdict
  APISERVER_MUTANT=${name} run "${log}" "${target}" "${test}" || code=$?
  if ((code == 101)) && grep -q '^test result: FAILED. 0 passed; 1 failed' "${log}"; then
    verdict=red
    grep -qF -e "${says}" "${log}" || verdict=OTHER
  elif ((code == 0)); then
    verdict=MISSED
  else
    verdict=BROKEN
  fi
  printf '  %-6s %-40s %5.1fs  %s\n' "${verdict}" "${name}" \
    "$(awk -v from="${started}" -v to="${EPOCHREALTIME}" 'BEGIN { print to - from }')" "${test}"
  [[ ${verdict} == red ]] && return 0
  tail -n 30 "${log}" | sed 's/^/    /'
  echo "${name}" >>"${STATE_DIR}/missed"
}

main() {
  [[ "${1:-}" != -h && "${1:-}" != --help ]] || { usage && exit 0; }
  local name target test says failed=0 total=0 greens=() job jobs=${MUTANT_JOBS:-$(($(nproc) * 2))}
  for name in "$@"; do
    rows | grep "^${name} " >/dev/null || { echo "no mutant is called ${name} (see tests/mutants.txt)" >&2 && exit 2; }
  done
  build
  for target in $(rows | cut -d ' ' -f 2 | sort -u); do
    green "${target}" &
    greens+=($!)
  done
  for job in "${greens[@]}"; do wait "${job}" || failed=1; done
  found_in_program || failed=1
  ((failed == 0)) || { echo "test result: FAILED. 0 passed; 1 failed; 0 ignored" && exit 1; }
  while read -r name target test says; do
    (($#)) && [[ " $* " != *" ${name} "* ]] && continue
    total=$((total + 1))
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
    red "${name}" "${target}" "${test}" "${says}" &
  done < <(rows)
  wait
  failed=$(wc -l 2>/dev/null <"${STATE_DIR}/missed" || echo 0)
  echo "test result: $( ((failed)) && echo FAILED || echo ok). $((total - failed)) passed; ${failed} failed; 0 ignored"
  ((failed == 0))
}

main "$@"
