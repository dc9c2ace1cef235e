# Until it says where it listens.
export ADMIN_PORT=0 TURNPIKE_ROUTER_PORT=0
program=$(type -P turnpike)
turnpike() {
  exec {out}< <(exec timeout 120 "$program" "$@")
  local process=$!
  grep -q -m1 listening <&"$out"
  kill "$process"
}
# the block
