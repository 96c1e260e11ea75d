package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a script.
const (
	scriptLineLimit = 64 << 10
	scriptRuleLimit = 10_000
	scriptCount     = 1_000_000_000 // the largest count
	scriptDelay     = time.Hour     // the longest delay
)

// ScriptError is a line of a script that cannot be understood.
type ScriptError struct {
	Line int // from 1
	Msg  string
}

func (e *ScriptError) Error() string { return "line " + strconv.Itoa(e.Line) + ": " + e.Msg }

// ParseScript reads a script: rules that say where the server misbehaves. A rule is a line; empty lines and lines that
// begin with # are passed over. Words are separated by blanks, and capitals are as good as small letters, except in
// texts.
//
//	on PROTOCOL COMMAND [PATTERN] [WHEN]: ACTION [; ACTION]...
//	hide PROTOCOL EXTENSION[,EXTENSION]...
//
// PROTOCOL is SMTP, LMTP, POP3, IMAP, or * for all of them.
//
// COMMAND is a command of the protocol (RCPT, RETR, UID FETCH); * in it stands for any run of letters, so that *FETCH
// is FETCH and UID FETCH. These moments are named like commands:
//
//	CONNECT    a client has connected, before TLS and greeting; only delay, garbage, split, drop and reset
//	GREETING   before the greeting
//	EOM        SMTP and LMTP: the whole text of a message has arrived (LMTP: once for each recipient)
//	LITERAL    IMAP: a literal has been announced
//	UNKNOWN    POP3: a command that there is not
//
// PATTERN restricts the rule to some arguments; * stands for any run of octets. It is compared with the address of MAIL
// and RCPT, with the reverse-path at EOM (LMTP: the recipient), with the client's address and port at CONNECT, with the
// command at LITERAL, with the mechanism of AUTH in SMTP and POP3 and of AUTHENTICATE in IMAP (with " *" behind it for
// an initial response), and otherwise with the rest of the command line; what would show a secret is empty. A pattern
// with a blank, one that ends with a colon and one that looks like WHEN is written as a Go string: "a b".
//
// WHEN counts the events that fit, over all sessions. Without it, all of them are struck.
//
//	after N        the first N are let pass
//	after N of M   of every M, the first N are let pass and the others are struck
//	N of M         of every M, the first N are struck
//	N times        the first N are struck and then no more
//	once           1 times
//
// "after N" may stand before each of the last three. All rules that fit count an event, and the first of them that is
// due strikes.
//
// The ACTIONs of a rule happen in this order, in whatever order they are written:
//
//	delay TIME               wait: 300ms, 2s, 1m30s
//	split N [pause TIME]     from now on send at most N octets at a time, with a pause between
//	garbage "TEXT"           send the octets of a Go string as they are, without a line end
//	reply TEXT               send TEXT instead of executing the command
//	drop                     close the connection
//	reset                    end the connection by RST
//	reset at byte N          end it by RST after N octets of the body or literal: of DATA, BDAT, RETR, TOP, FETCH, APPEND
//	drop at byte N           close it there
//	lie NAME                 tell the client what is not so
//
// The TEXT of a reply is the rest of the line, in which \n begins another line; or it is a Go string, and other actions
// may follow. In IMAP it goes without the tag, which every line gets that does not begin with * or +.
//
// The lies:
//
//	drop-after     SMTP and LMTP, EOM: the message is stored and the connection closed without a reply
//	expired-token  AUTH, AUTHENTICATE: every bearer token has expired
//	early-ok       IMAP, any command: the tagged OK comes before the untagged responses
//	wrong-tag      IMAP, any command: the tagged response has another tag
//	uidvalidity    IMAP, SELECT and EXAMINE: another UIDVALIDITY than before
//	wrong-size     IMAP, FETCH and UID FETCH: RFC822.SIZE is not the number of octets that come
//	short-string   IMAP, FETCH and UID FETCH: a literal announces one octet more than comes
//	vanished       IMAP, FETCH and UID FETCH: the first message that was asked for is left out
//	wrong-size     POP3, STAT, LIST and RETR: the size is not the number of octets that come
//	uidl           POP3, UIDL: other ids than before
//	vanished       POP3, LIST, UIDL, RETR, TOP and DELE: the message asked for, or the first of all, is not there
//	no-dot         POP3, RETR, TOP and listings: the dot that ends them is left out
//	in-use         POP3, PASS, APOP and AUTH: the login is right, and another session has locked the maildrop
//	login-delay    POP3, CAPA: LOGIN-DELAY is announced; PASS, APOP and AUTH: the login is right, and too early
//	expire         POP3, CAPA: EXPIRE 0 is announced; QUIT: what RETR has sent is deleted
//
// "hide" takes extensions away: they are neither announced nor served. They are named as they are announced; one SASL
// mechanism is AUTH=NAME in all protocols.
//
// For example:
//
//	on SMTP RCPT *@slow.test: reply 451 4.7.1 try later
//	on SMTP MAIL after 3 of 5: drop
//	on IMAP FETCH: reset at byte 1000
//	on POP3 RETR 2 times: delay 2s
//	on SMTP EOM: garbage "\x00\xff"
//	on IMAP *: split 1 pause 1ms
//	on IMAP UID FETCH after 20: reply NO [LIMIT] slow down
//	on IMAP CAPABILITY: reply * CAPABILITY IMAP4rev1 MOVE\nOK done
//	hide IMAP MOVE,UIDPLUS
//
// A rule that could never strike, as its command, extension or lie is not known, is an error. Errors are a *ScriptError
// or those of r.
func ParseScript(r io.Reader) (Faults, error) {
	rules := &Rules{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, scriptLineLimit)
	number := 0
	for sc.Scan() {
		number++
		line := strings.TrimSpace(sc.Text())
		if number == 1 {
			line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		}
		if line == "" || line[0] == '#' {
			continue
		}
		more, err := scriptLine(line)
		if err == nil && len(rules.List)+len(more) > scriptRuleLimit {
			err = fmt.Errorf("more than %d rules", scriptRuleLimit)
		}
		if err != nil {
			return nil, &ScriptError{number, err.Error()}
		}
		rules.List = append(rules.List, more...)
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		return nil, &ScriptError{number + 1, "line too long"}
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	return rules, nil
}

// JoinFaults makes one of several. All of them see every event, and the first that does anything decides; an extension
// is hidden when one of them hides it. Those that are nil do not count; without any other the result is nil.
func JoinFaults(list ...Faults) Faults {
	joined := slices.DeleteFunc(slices.Clone(list), func(f Faults) bool { return f == nil })
	switch len(joined) {
	case 0:
		return nil
	case 1:
		return joined[0]
	}
	return joinedFaults(joined)
}

type joinedFaults []Faults

var (
	_ Hider    = joinedFaults{}
	_ Labeller = joinedFaults{}
)

func (j joinedFaults) Strike(e Event) (result Strike) {
	struck := false
	for _, f := range j {
		if s := f.Strike(e); !struck && !s.isZero() {
			result, struck = s, true
		}
	}
	return result
}

func (j joinedFaults) Hidden(protocol, extension string) bool {
	return slices.ContainsFunc(j, func(f Faults) bool {
		h, ok := f.(Hider)
		return ok && h.Hidden(protocol, extension)
	})
}

func (j joinedFaults) Labels() bool {
	return slices.ContainsFunc(j, func(f Faults) bool {
		l, ok := f.(Labeller)
		return ok && l.Labels()
	})
}

// isZero reports that nothing happens.
func (st *Strike) isZero() bool {
	return st.Delay == 0 && st.Split == 0 && len(st.Garbage) == 0 && st.Reply == "" && !st.Drop && !st.Reset &&
		st.CutAt == 0 && st.Lie == ""
}

// scriptWord is a word of the part before the colon.
type scriptWord struct {
	text   string
	quoted bool // written as a Go string
}

// is compares with a word of the language.
func (w scriptWord) is(word string) bool { return !w.quoted && strings.EqualFold(w.text, word) }

func scriptLine(line string) ([]Rule, error) {
	head, actions, colon, err := scriptHead(line)
	switch {
	case err != nil:
		return nil, err
	case head[0].is("hide") && !colon:
		return scriptHide(head[1:])
	case head[0].is("on") && colon:
		rule, err := scriptOn(head[1:], actions)
		return []Rule{rule}, err
	}
	return nil, errors.New("want: on PROTOCOL COMMAND [PATTERN] [WHEN]: ACTION, or: hide PROTOCOL EXTENSION")
}

// scriptHead splits what stands before the first colon that ends a word. A line has at least one word.
func scriptHead(line string) (head []scriptWord, rest string, colon bool, err error) {
	for rest = line; rest != ""; rest = strings.TrimLeft(rest, " \t") {
		word := scriptWord{}
		if rest[0] == '"' {
			if word.text, rest, err = scriptString(rest); err != nil {
				return nil, "", false, err
			}
			word.quoted = true
			if rest != "" && strings.IndexByte(" \t:", rest[0]) < 0 {
				return nil, "", false, fmt.Errorf("unexpected %q behind a string", rest)
			}
			rest, colon = strings.CutPrefix(rest, ":")
		} else {
			end := strings.IndexAny(rest, " \t")
			if end < 0 {
				end = len(rest)
			}
			word.text, rest = rest[:end], rest[end:]
			word.text, colon = strings.CutSuffix(word.text, ":")
		}
		if word.text != "" || word.quoted || !colon {
			head = append(head, word)
		}
		if colon {
			break
		}
	}
	if len(head) == 0 {
		return nil, "", false, errors.New("nothing before the colon")
	}
	return head, strings.TrimSpace(rest), colon, nil
}

// scriptString reads a Go string in double quotes.
func scriptString(text string) (value, rest string, err error) {
	quoted, err := strconv.QuotedPrefix(text)
	if err == nil && quoted[0] == '"' {
		if value, err = strconv.Unquote(quoted); err == nil {
			return value, text[len(quoted):], nil
		}
	}
	return "", "", fmt.Errorf("not a string in quotes: %s", scriptShown(text))
}

// scriptShown is a piece of a line as an error shows it.
func scriptShown(text string) string { return strconv.Quote(text[:min(len(text), 60)]) }

func scriptProtocol(word scriptWord) (string, error) {
	switch name := strings.ToLower(word.text); name {
	case "*":
		return "", nil
	case "smtp", "lmtp", "pop3", "imap":
		return name, nil
	}
	return "", fmt.Errorf("%s is not a protocol: want SMTP, LMTP, POP3, IMAP or *", scriptShown(word.text))
}

// scriptHide makes a rule of every extension of the list.
func scriptHide(words []scriptWord) ([]Rule, error) {
	if len(words) < 2 {
		return nil, errors.New("want: hide PROTOCOL EXTENSION")
	}
	protocol, err := scriptProtocol(words[0])
	if err != nil {
		return nil, err
	}
	var list []string
	for _, w := range words[1:] {
		list = append(list, strings.FieldsFunc(strings.ToUpper(w.text), func(r rune) bool { return r == ',' })...)
	}
	if len(list) == 0 {
		return nil, errors.New("hide needs an extension")
	}
	rules := make([]Rule, 0, len(list))
	for _, name := range list {
		if !scriptExtension(protocol, name) {
			return nil, fmt.Errorf("%s is not an extension that this server has", scriptShown(name))
		}
		rules = append(rules, Rule{Protocol: protocol, Hide: name})
	}
	return rules, nil
}

func scriptOn(words []scriptWord, actions string) (Rule, error) {
	if len(words) < 2 {
		return Rule{}, errors.New("want a protocol and a command before the colon")
	}
	protocol, err := scriptProtocol(words[0])
	if err != nil {
		return Rule{}, err
	}
	rule := Rule{Protocol: protocol, Command: strings.ToUpper(words[1].text)}
	words = words[2:]
	if rule.Command == "UID" && len(words) > 0 && !words[0].quoted {
		rule.Command, words = "UID "+strings.ToUpper(words[0].text), words[1:]
	}
	commands := rule.commands()
	if len(commands) == 0 {
		return Rule{}, fmt.Errorf("no command is called %s", scriptShown(rule.Command))
	}
	if err := rule.scriptWhen(words); err != nil {
		return Rule{}, err
	}
	if err := rule.Strike.scriptActions(actions); err != nil {
		return Rule{}, err
	}
	return rule, rule.scriptCheck(commands)
}

// scriptWhen reads what stands behind the command.
func (rule *Rule) scriptWhen(words []scriptWord) error {
	if len(words) > 0 && !scriptCounts(words[0]) {
		if rule.Arg = words[0].text; rule.Arg == "" {
			return errors.New("empty pattern: leave it out")
		}
		words = words[1:]
	}
	if len(words) > 1 && words[0].is("after") {
		n, err := scriptNumber(words[1].text)
		if err != nil {
			return err
		}
		rule.After, words = n, words[2:]
		if len(words) > 1 && words[0].is("of") {
			m, err := scriptNumber(words[1].text)
			if err != nil {
				return err
			}
			if m <= n {
				return fmt.Errorf("after %d of %d leaves nothing to strike", n, m)
			}
			rule.Hit, rule.Of, words = m-n, m, words[2:]
		}
	}
	if len(words) == 0 {
		return nil
	}
	if rule.Of > 0 {
		return fmt.Errorf("unexpected %s", scriptShown(words[0].text))
	}
	return rule.scriptTimes(words)
}

// scriptTimes reads N of M, N times, or once.
func (rule *Rule) scriptTimes(words []scriptWord) (err error) {
	switch {
	case len(words) == 1 && words[0].is("once"):
		rule.Hit = 1
		return nil
	case len(words) == 2 && words[1].is("times"):
		rule.Hit, err = scriptNumber(words[0].text)
		return err
	case len(words) != 3 || !words[1].is("of"):
		return fmt.Errorf("unexpected %s", scriptShown(words[0].text))
	}
	if rule.Hit, err = scriptNumber(words[0].text); err != nil {
		return err
	}
	if rule.Of, err = scriptNumber(words[2].text); err != nil {
		return err
	}
	if rule.Of < rule.Hit {
		return fmt.Errorf("%d of %d is more than all", rule.Hit, rule.Of)
	}
	return nil
}

// scriptCounts reports that a word begins WHEN.
func scriptCounts(word scriptWord) bool {
	if word.is("after") || word.is("once") {
		return true
	}
	_, err := strconv.Atoi(word.text)
	return !word.quoted && err == nil
}

func scriptNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > scriptCount {
		return 0, fmt.Errorf("bad number %s", scriptShown(text))
	}
	return n, nil
}

// scriptActions reads what stands behind the colon.
func (st *Strike) scriptActions(list string) error {
	seen := map[string]bool{}
	for {
		if list == "" {
			return errors.New("want an action")
		}
		name, arg := list, ""
		if end := strings.IndexAny(list, " \t;"); end >= 0 {
			name, arg = list[:end], strings.TrimLeft(list[end:], " \t")
		}
		name = strings.ToLower(name)
		if seen[name] {
			return fmt.Errorf("two times %s", scriptShown(name))
		}
		seen[name] = true
		rest, err := st.scriptAction(name, arg)
		if err != nil {
			return err
		}
		if rest == "" {
			return nil
		}
		if rest[0] != ';' {
			return fmt.Errorf("unexpected %s", scriptShown(rest))
		}
		list = strings.TrimSpace(rest[1:])
	}
}

// scriptAction reads the arguments of one action and returns what follows them, without blanks.
func (st *Strike) scriptAction(name, arg string) (rest string, err error) {
	switch {
	case name == "reply":
		return st.scriptReply(arg)
	case name == "garbage":
		text, rest, err := scriptString(arg)
		if st.Garbage = []byte(text); err == nil && text == "" {
			err = errors.New("garbage needs some octets")
		}
		return strings.TrimSpace(rest), err
	}
	if end := strings.IndexByte(arg, ';'); end >= 0 {
		arg, rest = arg[:end], arg[end:]
	}
	words := strings.Fields(arg)
	keys := strings.ToLower(strings.Join(words, " "))
	switch {
	case name == "drop" && len(words) == 0:
		st.Drop = true
	case name == "reset" && len(words) == 0:
		st.Reset = true
	case (name == "drop" || name == "reset") && len(words) == 3 && strings.HasPrefix(keys, "at byte "):
		if st.CutAt > 0 {
			return "", errors.New("drop and reset exclude each other")
		}
		var n int
		n, err = scriptNumber(words[2])
		st.CutAt, st.CutDrop = int64(n), name == "drop"
	case name == "delay" && len(words) == 1:
		st.Delay, err = scriptTime(words[0])
	case name == "split" && (len(words) == 1 || len(words) == 3 && strings.EqualFold(words[1], "pause")):
		if st.Split, err = scriptNumber(words[0]); err == nil && len(words) == 3 {
			st.Pause, err = scriptTime(words[2])
		}
	case name == "lie" && len(words) == 1:
		st.Lie = keys
	default:
		err = fmt.Errorf("unknown action %s", scriptShown(strings.TrimSpace(name+" "+arg)))
	}
	return rest, err
}

// scriptReply reads a text to the end of the line, or a string.
func (st *Strike) scriptReply(arg string) (rest string, err error) {
	if strings.HasPrefix(arg, `"`) {
		if st.Reply, rest, err = scriptString(arg); err != nil {
			return "", err
		}
	} else {
		st.Reply = strings.ReplaceAll(arg, `\n`, "\n")
	}
	st.Reply = strings.TrimRight(st.Reply, "\n")
	switch {
	case strings.TrimSpace(st.Reply) == "":
		return "", errors.New("reply needs a text")
	case strings.ContainsFunc(st.Reply, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		return "", errors.New("control character in a reply: garbage is for that")
	}
	return strings.TrimSpace(rest), nil
}

func scriptTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > scriptDelay {
		return 0, fmt.Errorf("bad time %s: want 300ms, 2s, up to 1h", scriptShown(text))
	}
	return d, nil
}

// scriptCheck refuses a rule that does not mean anything. The commands are those that it fits.
func (rule *Rule) scriptCheck(commands []string) error {
	st := &rule.Strike
	in := func(names ...string) bool {
		return slices.ContainsFunc(commands, func(c string) bool { return slices.Contains(names, c) })
	}
	switch ends := st.Drop || st.Reset; {
	case st.Drop && st.Reset:
		return errors.New("drop and reset exclude each other")
	case st.CutAt > 0 && (ends || st.Reply != ""), st.Lie != "" && (ends || st.Reply != ""):
		return errors.New("the command is not executed: nothing is left to cut or to lie about")
	case st.CutAt > 0 && !in("DATA", "BDAT", "RETR", "TOP", "FETCH", "UID FETCH", "APPEND", "LITERAL"):
		return fmt.Errorf("%s has no body to be cut", rule.Command)
	case rule.Command == "CONNECT" && (st.Reply != "" && !ends || st.Lie != ""):
		return errors.New("CONNECT has nothing to reply to: use garbage or GREETING")
	}
	if st.Lie == "" {
		return nil
	}
	for _, lie := range scriptLies() {
		if lie.name == st.Lie && (rule.Protocol == "" || slices.Contains(lie.protocols, rule.Protocol)) && in(lie.commands...) {
			return nil
		}
	}
	return fmt.Errorf("no lie for this command is called %s", scriptShown(st.Lie))
}

// scriptLie is a Strike.Lie that a protocol knows.
type scriptLie struct {
	name                string
	protocols, commands []string
}

func scriptLies() []scriptLie {
	imap, fetch := []string{"imap"}, []string{"FETCH", "UID FETCH"}
	pop3, logins := []string{"pop3"}, []string{"PASS", "APOP", "AUTH"}
	all := slices.Collect(maps.Keys(imapCommands))
	return []scriptLie{
		{LieDropAfter, []string{"smtp", "lmtp"}, []string{"EOM"}},
		{lieExpiredToken, []string{"smtp", "lmtp", "pop3", "imap"}, []string{"AUTH", "AUTHENTICATE"}},
		{lieWrongSize, pop3, []string{"STAT", "LIST", "RETR"}},
		{lieUIDL, pop3, []string{"UIDL"}},
		{lieVanished, pop3, []string{"LIST", "UIDL", "RETR", "TOP", "DELE"}},
		{lieNoDot, pop3, []string{"CAPA", "LANG", "LIST", "UIDL", "RETR", "TOP"}},
		{lieInUse, pop3, logins},
		{lieLoginDelay, pop3, append(logins, "CAPA")},
		{lieExpire, pop3, []string{"CAPA", "QUIT"}},
		{lieEarlyOK, imap, all},
		{lieWrongTag, imap, all},
		{lieUIDValidity, imap, []string{"SELECT", "EXAMINE"}},
		{lieWrongSize, imap, fetch},
		{lieShort, imap, fetch},
		{lieVanished, imap, fetch},
	}
}

// commands are those that the rule fits.
func (rule *Rule) commands() []string {
	var names []string
	for _, protocol := range []string{"smtp", "lmtp", "pop3", "imap"} {
		if rule.Protocol != "" && rule.Protocol != protocol {
			continue
		}
		for _, name := range scriptCommands(protocol) {
			if glob(rule.Command, name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// scriptCommands are the commands and moments of a protocol.
func scriptCommands(protocol string) []string {
	names := []string{"CONNECT", "GREETING"}
	switch protocol {
	case "imap":
		return slices.AppendSeq(append(names, "LITERAL"), maps.Keys(imapCommands))
	case "pop3":
		return append(names, "CAPA", "QUIT", "STLS", "AUTH", "USER", "PASS", "APOP", "UTF8", "LANG", "STAT", "LIST", "UIDL",
			"RETR", "TOP", "DELE", "RSET", "NOOP", "UNKNOWN")
	case "lmtp":
		names = append(names, "LHLO")
	default:
		names = append(names, "HELO", "EHLO")
	}
	return append(names, "MAIL", "RCPT", "DATA", "BDAT", "EOM", "AUTH", "STARTTLS", "RSET", "NOOP", "VRFY", "HELP", "QUIT")
}

// scriptExtension reports whether an extension can be hidden in a protocol, "" for any.
func scriptExtension(protocol, name string) bool {
	if mechanism, ok := strings.CutPrefix(name, "AUTH="); ok {
		return mechanism != ""
	}
	for _, p := range []string{"smtp", "lmtp", "pop3", "imap"} {
		if (protocol == "" || protocol == p) && slices.ContainsFunc(scriptExtensions(p), func(known string) bool { return strings.EqualFold(known, name) }) {
			return true
		}
	}
	return false
}

// scriptExtensions are the extensions of a protocol, without the mechanisms.
func scriptExtensions(protocol string) []string {
	switch protocol {
	case "imap":
		return slices.Concat(imapAlways, imapLater, []string{"APPENDLIMIT", "STARTTLS", "AUTH", "LOGIN"})
	case "pop3":
		return []string{"CAPA", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE", "UTF8", "LANG", "SASL",
			"AUTH", "USER", "APOP", "STLS", "IMPLEMENTATION"}
	}
	return []string{"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN", "ENHANCEDSTATUSCODES",
		"STARTTLS", "AUTH", "REQUIRETLS", "LIMITS", "HELP"}
}
