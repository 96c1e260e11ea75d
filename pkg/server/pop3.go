package server

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/auth"
)

// Caps of a POP3 session. A command line has at most 255 octets with its CRLF (RFC 2449 §4); AUTH alone may be longer,
// as clients send tokens with it, and so may an answer to a challenge.
const (
	popMaxCommand  = 255
	popMaxResponse = 12288
	popMaxErrors   = 100              // commands refused in a row
	popIdle        = 10 * time.Minute // RFC 1939 §3 asks for this at least
)

// popSession is one POP3 session (RFC 1939). Its state is AUTHORIZATION until box is set, then TRANSACTION; UPDATE is
// what QUIT does.
type popSession struct {
	*session
	stamp  string // the greeting's timestamp for APOP, or ""
	name   string // what USER said
	inUTF8 bool   // UTF8 was given
	box    Mailbox
	drop   []popMessage // message n is drop[n-1]
	locks  *maildropLocks
	unlock func()
	errors int
	over   bool
}

// popMessage is one message of the maildrop, as it was when the session began.
type popMessage struct {
	uid     uint32
	size    int64
	id      string // what UIDL says
	deleted bool
	fetched bool // by RETR
}

// popServer makes the function that serves POP3 sessions; those of one server share the locks on maildrops.
func popServer() func(*Server, *session) error {
	locks := &maildropLocks{}
	return func(_ *Server, s *session) error { return servePOP3(s, locks) }
}

// servePOP3 runs one session to its end. An error is the connection's: nothing is deleted then.
func servePOP3(s *session, locks *maildropLocks) error {
	p := &popSession{session: s, locks: locks}
	defer p.release()
	if s.srv.options.Timeout <= 0 {
		s.conn.SetTimeout(popIdle)
	}
	if err := p.greet(); err != nil {
		return err
	}
	for !p.over {
		if err := p.step(); err != nil {
			return err
		}
		if p.errors >= popMaxErrors {
			_ = p.refuse("", "too many errors")
			break
		}
	}
	return s.conn.Flush()
}

// step reads and runs one command.
func (p *popSession) step() error {
	switch err := p.readLine(popMaxResponse); {
	case errors.Is(err, errLongLine):
		return p.refuse("", "line too long")
	case errors.Is(err, errLineEnd):
		return errors.Join(p.refuse("", "lines end with CR LF"), errHangUp)
	case err != nil:
		return err
	}
	return p.command(string(p.input))
}

// greet says hello; the timestamp for APOP is there only when somebody could use it.
func (p *popSession) greet() error {
	switch hit := p.strike("GREETING", ""); {
	case hit.dead:
		return p.conn.Err()
	case hit.reply != "":
		p.over = !strings.HasPrefix(hit.reply, "+OK")
		return p.instead(hit.reply)
	}
	text := "POP3 server ready"
	if p.has("APOP") && p.havePasswords() {
		p.stamp = auth.Timestamp(p.srv.options.Hostname)
		text += " " + p.stamp
	}
	return p.ok(text)
}

// popVerb is one command: its name, when it may be used, how many arguments it has, what it does.
type popVerb struct {
	states    popStates
	extension string // what Without switches off; "" for the basic commands
	min, max  int    // words after the keyword; max -1: the rest of the line is one argument
	run       func(p *popSession, args []string) error
}

type popStates int

const (
	popAuthorization popStates = 1 << iota
	popTransaction
)

// popVerbs is the command table of RFC 1939, RFC 2449 (CAPA), RFC 2595 (STLS), RFC 5034 (AUTH), RFC 6856 (UTF8, LANG).
func popVerbs(keyword string) (popVerb, bool) {
	const auth, trans = popAuthorization, popTransaction
	switch keyword {
	case "CAPA":
		return popVerb{auth | trans, "CAPA", 0, 0, (*popSession).capa}, true
	case "QUIT":
		return popVerb{auth | trans, "", 0, 0, (*popSession).quit}, true
	case "STLS":
		return popVerb{auth, "STLS", 0, 0, (*popSession).stls}, true
	case "AUTH":
		return popVerb{auth, "SASL", 1, 2, (*popSession).sasl}, true
	case "USER":
		return popVerb{auth, "USER", 1, -1, (*popSession).userCommand}, true
	case "PASS":
		return popVerb{auth, "USER", 1, -1, (*popSession).pass}, true
	case "APOP":
		return popVerb{auth, "APOP", 2, 2, (*popSession).apop}, true
	case "UTF8":
		return popVerb{auth, "UTF8", 0, 0, (*popSession).utf8Command}, true
	case "LANG":
		return popVerb{auth | trans, "LANG", 0, 1, (*popSession).lang}, true
	case "STAT":
		return popVerb{trans, "", 0, 0, (*popSession).stat}, true
	case "LIST":
		return popVerb{trans, "", 0, 1, (*popSession).list}, true
	case "UIDL":
		return popVerb{trans, "UIDL", 0, 1, (*popSession).uidl}, true
	case "RETR":
		return popVerb{trans, "", 1, 1, (*popSession).retr}, true
	case "TOP":
		return popVerb{trans, "TOP", 2, 2, (*popSession).top}, true
	case "DELE":
		return popVerb{trans, "", 1, 1, (*popSession).dele}, true
	case "RSET":
		return popVerb{trans, "", 0, 0, (*popSession).rset}, true
	case "NOOP":
		return popVerb{trans, "", 0, 0, func(p *popSession, _ []string) error { return p.ok("") }}, true
	}
	return popVerb{}, false
}

// command runs one line: a keyword of any case, then arguments after exactly one space each (RFC 1939 §3).
func (p *popSession) command(line string) error {
	keyword, rest, hasArgs := strings.Cut(line, " ")
	keyword = strings.ToUpper(keyword)
	verb, known := popVerbs(keyword)
	switch hit := p.strike(popShown(keyword, known), popArg(keyword, rest)); {
	case hit.dead:
		return p.conn.Err()
	case hit.reply != "":
		p.over = keyword == "QUIT"
		return p.instead(hit.reply)
	}
	before := p.errors
	if err := p.checked(line, verb, known); err != nil {
		return p.refuse("", err.Error())
	}
	args, ok := popArgs(verb, rest, hasArgs)
	if !ok {
		return p.refuse("", "wrong arguments for "+keyword)
	}
	if err := verb.run(p, args); err != nil {
		return err
	}
	if p.errors == before {
		p.errors = 0
	}
	return nil
}

// checked says why a command cannot be run now, or nil.
func (p *popSession) checked(line string, verb popVerb, known bool) error {
	switch {
	case len(line)+2 > popMaxCommand && !strings.EqualFold(line[:5], "AUTH "):
		return errors.New("line too long")
	case !known || verb.extension != "" && !p.has(verb.extension):
		return errors.New("unknown command")
	case !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("control character or bad UTF-8 in a command")
	case verb.states&p.state() == 0 && p.state() == popAuthorization:
		return errors.New("log in first")
	case verb.states&p.state() == 0:
		return errors.New("not after login")
	}
	return nil
}

// popArgs splits the arguments; it is false when there are too few or many, or an empty one.
func popArgs(verb popVerb, rest string, hasArgs bool) ([]string, bool) {
	var args []string
	switch {
	case !hasArgs:
	case verb.max < 0:
		args = []string{rest}
	default:
		args = strings.Split(rest, " ")
	}
	for _, a := range args {
		if a == "" {
			return nil, false
		}
	}
	return args, len(args) >= verb.min && (verb.max < 0 || len(args) <= verb.max)
}

// popShown is the command's name for faults and logs.
func popShown(keyword string, known bool) string {
	if !known {
		return "UNKNOWN"
	}
	return keyword
}

// popArg is the argument for faults and logs: no secrets.
func popArg(keyword, rest string) string {
	switch keyword {
	case "PASS":
		return ""
	case "AUTH", "APOP":
		rest, _, _ = strings.Cut(rest, " ")
	}
	return rest
}

func (p *popSession) state() popStates {
	if p.box == nil {
		return popAuthorization
	}
	return popTransaction
}

// havePasswords reports whether anybody can log in with one.
func (p *popSession) havePasswords() bool {
	return slices.ContainsFunc(p.srv.options.Users, func(u User) bool { return u.Password != "" })
}

// instead sends the reply of a fault.
func (p *popSession) instead(reply string) error {
	_, err := p.conn.WriteString(replyLines(reply))
	return err
}

// line sends one reply line.
func (p *popSession) line(text string) error { return p.conn.WriteLine(text) }

func (p *popSession) ok(text string) error {
	return p.line(strings.TrimRight("+OK "+text, " "))
}

// refuse sends -ERR, with a response code where there is one (RFC 2449 §8, RFC 3206). The error returned is the
// connection's.
func (p *popSession) refuse(code, text string) error {
	p.errors++
	if code != "" && p.has("RESP-CODES") && (p.has("AUTH-RESP-CODE") || code != "AUTH" && !strings.HasPrefix(code, "SYS")) {
		text = "[" + code + "] " + text
	}
	return p.line("-ERR " + text)
}

// failed reports a failure of the store.
func (p *popSession) failed(err error) error {
	if errors.Is(err, ErrNoMessage) {
		return p.refuse("SYS/TEMP", "the message is gone")
	}
	p.log.Error("store", "error", err)
	return p.refuse("SYS/TEMP", "internal error, try again later")
}

// listing sends +OK and lines, ended by a dot.
func (p *popSession) listing(text string, lines []string) error {
	if err := p.ok(text); err != nil {
		return err
	}
	for _, line := range lines {
		if strings.HasPrefix(line, ".") {
			line = "." + line
		}
		if err := p.line(line); err != nil {
			return err
		}
	}
	if p.hit.lie == lieNoDot {
		return nil
	}
	return p.line(".")
}

// message finds message number n; when there is none it is refused, and nil comes back.
func (p *popSession) message(n string) (*popMessage, int, error) {
	number, ok := popNumber(n)
	switch {
	case !ok:
		return nil, 0, p.refuse("", "not a message number")
	case number < 1 || number > len(p.drop) || p.hit.lie == lieVanished:
		return nil, 0, p.refuse("", fmt.Sprintf("no such message, only %d in the maildrop", len(p.drop)))
	case p.drop[number-1].deleted:
		return nil, 0, p.refuse("", fmt.Sprintf("message %d is deleted", number))
	}
	return &p.drop[number-1], number, nil
}

// popNumber reads decimal digits and nothing else.
func popNumber(s string) (int, bool) {
	if s == "" || len(s) > 10 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}
