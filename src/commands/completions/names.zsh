# Names of connections: known to the configuration and the ledger, read without a secret.
(( $+functions[_scimitar_names] )) ||
_scimitar_names() {
    local -a names options
    local word previous
    for word in "${words[@]}"; do
        [[ $previous == --config ]] && options=(--config "$word")
        [[ $word == --config=* ]] && options=("$word")
        previous=$word
    done
    names=(${(f)"$(scimitar "${options[@]}" -q __names 2>/dev/null)"})
    compadd -a names
}

