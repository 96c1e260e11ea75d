# bash completion for mail. Printed by: mail completion bash
_mail() {
    local -a words=()
    local i word line prefix join=
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && ( $join || $word == [=:]* ) ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        [[ $word == *[=:] ]] && join=1 || join=
    done
    word=${words[${#words[@]}-1]}
    prefix=${word%"${word##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :files) [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default 2>/dev/null ;;
        :dirs) [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o dirnames 2>/dev/null ;;
        :*) ;;
        *)
            line=${line%%$'\t'*}
            line=${line#"$prefix"}
            [[ $line == *[!A-Za-z0-9_@%+=:,./-]* ]] && printf -v line %q "$line"
            COMPREPLY+=("$line")
            ;;
        esac
    done < <(command mail __complete "${words[@]}" 2>/dev/null)
}
complete -F _mail mail
