# Builds of the Rust programs kept outside the checkout, keyed by what they are made from: a second run on
# the same machine builds only what changed. Expects to be in the checkout's root.

use_build_cache() {
  local cache=${XDG_CACHE_HOME:-${HOME}/.cache}/brokkr-work key
  key=$(cat Cargo.lock rust-toolchain.toml | sha256sum | cut -c1-16)
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${cache}/target-${key}}
  export CARGO_INCREMENTAL=0
  mkdir -p "${CARGO_TARGET_DIR}"

  # Builds that nobody has used for a week go; another run on this machine may be using a younger one.
  touch "${CARGO_TARGET_DIR}"
  find "${cache}" -maxdepth 1 -name 'target-*' -mtime +7 -exec rm -rf {} +
}
