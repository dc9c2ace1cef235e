# A machine that has no keys yet.
(
  export AUDIT_DIR="$PWD/new" TURNPIKE_AUDIT_KEY_FILE="$PWD/new-key"
# the block
)
