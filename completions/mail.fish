# fish completion for mail. Printed by: mail completion fish
function __mail_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found
    for line in (command mail __complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files'
                test -z "$found"; and __fish_complete_path "$current"
            case ':dirs'
                test -z "$found"; and __fish_complete_directories "$current"
            case ':*'
            case '*'
                set found 1
                printf '%s\n' $line
        end
    end
end
complete -c mail -f -k -a '(__mail_complete)'
