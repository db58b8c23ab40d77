
# Names of connections: known to the configuration and the ledger, read without a secret.
function __scimitar_names
    set -l options
    set -l previous
    set -l words (commandline -opc)
    for word in $words
        test "$previous" = --config; and set options --config $word
        string match -q -- '--config=*' $word; and set options $word
        set previous $word
    end
    # As it was typed: it may not be in $PATH.
    type -q $words[1]; and command $words[1] $options -q __names 2>/dev/null
end
complete -c scimitar -n "__fish_seen_subcommand_from @COMMANDS@" -f -a "(__scimitar_names)"
