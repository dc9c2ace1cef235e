# The numbers of this log in place of those that are shown.
turnpike audit keys > KEY
program=$(type -P turnpike)
turnpike() {
  local arguments=()
  for argument in "$@"; do
    case "$argument" in
      1042 | 900) argument=1 ;;
      2000) argument=$(("$("$program" audit export --class log --format ndjson | grep '"checkpoint"' | tail -1 | sed 's/.*"seq":\([0-9]*\).*/\1/')")) ;;
    esac
    arguments+=("$argument")
  done
  "$program" "${arguments[@]}"
}
# the block
