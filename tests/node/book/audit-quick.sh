# A node that has something to tell; its public key, what was kept elsewhere, and then a copy of its log. Without anchors for the
# last second the answer is 4, and whoever follows a log never ends.
turnpike admin bans add --address 192.0.2.7 --for 1m --reason "the documentation" >/dev/null
turnpike audit keys > KEY
turnpike audit export --class log --format ndjson > FILE
cp -a "$AUDIT_DIR" COPY
program=$(type -P turnpike)
turnpike() {
  case "$*" in
    *--follow*) timeout 2 "$program" "$@" || [ $? = 124 ] ;;
    *) "$program" "$@" || [ $? = 4 ] ;;
  esac
}
# the block
grep -q . november.json
