# An offer of Chromium, and the session that the first request begins.
TOKEN=$(turnpike token --user alice --stream 'live:*=publish')
cp "$ROOT/crates/sdp/tests/offers/chromium-publish.sdp" offer.sdp
curl() {
  local answer
  answer=$(command curl -sS "$@")
  printf '%s\n' "$answer"
  local location
  location=$(printf '%s' "$answer" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
  [ -z "$location" ] || LOCATION=$location
}
# the block
