#!/bin/sh
# What `make demo` shows: two mail systems on this machine, crepes.fr and hamburger.edu, and a message that goes from
# alice at the one to bob at the other. It needs `mail` in PATH and nothing else.
set -eu

say() { printf '\n== %s\n' "$*"; }
run() { printf '\n$ %s\n' "$1"; eval "$1"; }

# The two servers stand around the tour: each runs the next stage with its addresses in the environment.
case ${1:-start} in
start)
    DEMO=$(mktemp -d)
    export DEMO
    trap 'rm -rf "$DEMO"' EXIT
    say 'A mail system for crepes.fr. What is for other domains waits in the mailbox of the user "outgoing".'
    mail serve --user outgoing:later --user alice:wonderland --exec "sh '$0' second"
    exit
    ;;
second)
    export CREPES_SMTP="$MAIL_SMTP" CREPES_IMAP="$MAIL_IMAP" CREPES_CA="$MAIL_CA"
    say 'A second one for hamburger.edu, where bob reads his mail.'
    exec mail serve --domain hamburger.edu --user bob:builder --exec "sh '$0' tour"
    ;;
esac

cd "$DEMO"
account() { # NAME USER FROM SMTP IMAP POP CA
    printf '[account.%s]\nfrom = "%s"\nsmtp = "smtps://%s@%s"\nimap = "imaps://%s@%s"\npop = "pop3s://%s@%s"\n' \
        "$1" "$3" "$2" "${4#*://}" "$2" "${5#*://}" "$2" "${6#*://}"
    printf 'password = { file = "%s/%s.password" }\nca-file = "%s"\n\n' "$DEMO" "$2" "$7"
}
umask 077
{
    account alice alice alice@crepes.fr "$CREPES_SMTP" "$CREPES_IMAP" "$CREPES_IMAP" "$CREPES_CA"
    account outgoing outgoing outgoing@crepes.fr "$CREPES_SMTP" "$CREPES_IMAP" "$CREPES_IMAP" "$CREPES_CA"
    account bob bob bob@hamburger.edu "$MAIL_SMTP" "$MAIL_IMAP" "$MAIL_POP" "$MAIL_CA"
} >config.toml
echo wonderland >alice.password
echo later >outgoing.password
echo builder >bob.password
export MAIL_CONFIG="$DEMO/config.toml" HAMBURGER="$MAIL_SMTP" HAMBURGER_CA="$MAIL_CA"
unset MAIL_SMTP MAIL_IMAP MAIL_POP MAIL_USER MAIL_PASSWORD MAIL_CA MAIL_FROM

say 'alice packs a message with two attachments and looks at it.'
run "echo 'Bob, crêpes at noon? The menu is attached.' > text.txt"
run "echo 'crêpe au citron, crêpe au beurre' > 'menu du jour — été.txt'"
run 'head -c 300000 /dev/urandom > photo.bin'
run "mail mime pack -s 'Crêpes à midi 🥞' --from alice@crepes.fr --to bob@hamburger.edu --text text.txt --attach photo.bin --attach 'menu du jour — été.txt' > message.eml"
run 'mail mime tree message.eml'

say 'She submits it to her own server, by TLS and with a password.'
run 'mail send -a alice < message.eml'
run 'mail imap list -l -a outgoing'

say 'It is for another domain: crepes.fr hands it to the server of hamburger.edu, and keeps a copy.'
run 'mail imap fetch INBOX 1 -a outgoing | mail send --server "$HAMBURGER" --ca-file "$HAMBURGER_CA" -f alice@crepes.fr bob@hamburger.edu'
run 'mail imap move INBOX 1 --to Archive -a outgoing'

say 'bob fetches it over POP3 and takes it apart.'
run 'mail pop list --headers -a bob'
run 'mail pop retr 1 -a bob | mail mime unpack -C got'
run 'cmp photo.bin got/photo.bin && echo the photo is the same'

say 'The same mailbox over IMAP: state, search, one part alone, and a folder to file it in.'
run 'mail imap select INBOX -a bob'
run 'mail imap search INBOX subject:crêpes -a bob'
run 'mail imap fetch INBOX 1 --part 1 -a bob'
run 'mail imap create À-lire/2026 -a bob'
run 'mail imap move INBOX 1 --to À-lire/2026 -a bob'
run 'mail imap list -l -a bob'

say 'What hamburger.edu does not take, it refuses; the status tells a script what to do.'
run "echo hi | mail send -a bob -s hi --to carol@elsewhere.example || echo status \$?"

say 'What to try next'
cat <<'NEXT'
mail serve                                   a mail system of your own, until Ctrl-C; its addresses are printed as JSON
mail serve --exec 'make e2e'                 the same around your tests, with MAIL_SMTP, MAIL_IMAP, … set
mail serve wait --subject 'Nightly*'         wait for a message, and print it
man 7 mail                                   the overview, with pipelines
NEXT
