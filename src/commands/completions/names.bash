
# Names of connections: known to the configuration and the ledger, read without a secret.
_scimitar_names() {
    local word previous="" options=()
    for word in "${COMP_WORDS[@]:1}"; do
        [[ $previous == --config && $word != "=" ]] && options=(--config "$word")
        [[ $word == "=" ]] || previous=$word
    done
    "${COMP_WORDS[0]}" "${options[@]}" -q __names 2>/dev/null
}

_scimitar_with_names() {
    _scimitar "$@"
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" word named=""
    [[ $current == -* || $current == "=" || $previous == "=" ]] && return
    case "$previous" in
        @VALUES@) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            @COMMANDS@|--rotate-now) named=1 ;;
        esac
    done
    [[ $named ]] || return
    local names
    mapfile -t names < <(compgen -W "$(_scimitar_names)" -- "$current")
    [[ ${#names[@]} -gt 0 ]] && COMPREPLY=("${names[@]}")
    return 0
}

complete -F _scimitar_with_names -o nosort -o bashdefault -o default scimitar
