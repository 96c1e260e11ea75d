package smtp

import (
	"bufio"
	"encoding/base64"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// dialogue is one of the scripted conversations of another client's test suite: what the server says, and how that
// client's run has to end.
type dialogue struct {
	name, server, command, input, upload string
	from                                 string // envelope sender from a file of options
	fails                                bool
	serverCommands                       []string
}

var (
	macroB64   = regexp.MustCompile(`(?s)%b64\[(.*?)\]b64%`)
	macroHex   = regexp.MustCompile(`%hex\[(.*?)\]hex%`)
	flagRcpt   = regexp.MustCompile(`--mail-rcpt "?([^"\s]+)"?`)
	flagFrom   = regexp.MustCompile(`--mail-from "?([^"\s]+)"?`)
	flagUser   = regexp.MustCompile(` -u "?([^ ":]*):?([^ "]*)`)
	flagTok    = regexp.MustCompile(`--oauth2-bearer (\S+)`)
	flagZid    = regexp.MustCompile(`--sasl-authzid (\S+)`)
	optionFrom = regexp.MustCompile(`mail-from = (".*")`)
	goodAddr   = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+@([a-zA-Z0-9-]+\.)+[a-zA-Z]{2,4}$`)
)

func section(text, name string) (string, bool) {
	m := regexp.MustCompile(`(?s)<` + name + `( [^>]*)?>\n(.*?)</` + name + `>`).FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	body := m[2]
	if strings.Contains(m[1], `nonewline="yes"`) {
		body = strings.TrimSuffix(body, "\n")
	}
	if strings.Contains(m[1], `crlf="yes"`) {
		body = strings.ReplaceAll(body, "\n", "\r\n")
	}
	return body, true
}

func expand(s string) string {
	s = strings.NewReplacer("%LT", "<", "%GT", ">", "%SMTPPORT", "25").Replace(s)
	s = macroHex.ReplaceAllStringFunc(s, func(m string) string {
		u, _ := url.PathUnescape(macroHex.FindStringSubmatch(m)[1])
		return u
	})
	return macroB64.ReplaceAllStringFunc(s, func(m string) string {
		u, _ := url.PathUnescape(macroB64.FindStringSubmatch(m)[1])
		return base64.StdEncoding.EncodeToString([]byte(u))
	})
}

func readDialogue(t *testing.T, file string) dialogue {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	d := dialogue{name: filepath.Base(file)}
	d.server, _ = section(text, "server")
	d.command, _ = section(text, "command")
	d.command = expand(d.command)
	if m := optionFrom.FindStringSubmatch(text); m != nil {
		d.from, _ = strconv.Unquote(m[1])
	}
	var ok bool
	if d.input, ok = section(text, "stdin"); !ok {
		d.input, _ = section(text, "file")
	}
	d.upload, _ = section(text, "upload")
	code, _ := section(text, "errorcode")
	code = strings.TrimSpace(code)
	d.fails = code != "" && code != "0"
	commands, _ := section(text, "servercmd")
	for sc := bufio.NewScanner(strings.NewReader(expand(commands))); sc.Scan(); {
		d.serverCommands = append(d.serverCommands, sc.Text())
	}
	return d
}

// unlike is every dialogue in which this client does not do what the other one does: "skip" when it has nothing to do
// here, "ok" and "fails" when it is played and has to end so.
var unlike = map[string]struct{ how, why string }{
	"test1320": {"skip", "a proxy by HTTP CONNECT, which is tested with pkg/wire"},
	"test1507": {"skip", "a URL with control characters and no message; the addresses are tested by TestI1_AddressInjection"},
	"test1520": {"skip", "reading from the server without a message"},
	"test923":  {"skip", "VRFY"}, "test924": {"skip", "VRFY"}, "test925": {"skip", "VRFY"}, "test926": {"skip", "VRFY"},
	"test950": {"skip", "VRFY"}, "test957": {"skip", "VRFY"}, "test958": {"skip", "VRFY"}, "test961": {"skip", "VRFY"},
	"test964": {"skip", "VRFY"}, "test967": {"skip", "VRFY"},
	"test927": {"skip", "EXPN"}, "test968": {"skip", "EXPN"}, "test969": {"skip", "EXPN"},
	"test928": {"skip", "HELP"}, "test929": {"skip", "NOOP from the command line"}, "test930": {"skip", "RSET from the command line"},
	"test649": {"skip", "an encoding that does not fit a part, which is for who composes"},
	"test652": {"skip", "a form of that client's library, without an envelope"},
	"test931": {"skip", "line ends in the path of a URL, which a server URL has not"},

	"test3215": {"fails", "parameters inside an address are refused here: Envelope.DSN is the way"},
	"test906":  {"fails", "DIGEST-MD5 and NTLM are not supported, and nothing is sent without a login"},
	"test907":  {"fails", "the same"},
	"test921":  {"fails", "the same"},
	"test935":  {"fails", "that client falls to a weaker mechanism after a failure; here the failure is final"},
	"test939":  {"fails", "that client sends in spite of a login that is not offered"},
	"test940":  {"fails", "that client sends in spite of a login that is not offered"},
	"test960":  {"ok", "a domain with UTF-8 is sent in its ASCII form, for which that client was built without a library here"},
}

// composed are the dialogues whose message that client makes itself: here another one takes its place.
func (d *dialogue) composed() bool {
	return strings.Contains(d.command, " -F ") || strings.Contains(d.command, "-F \"") || d.input == ""
}

// peer is a server that behaves as the dialogue's server commands ask.
func (d *dialogue) peer() *server {
	replies := map[string]string{}
	var keywords []string
	for _, line := range d.serverCommands {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "CAPA":
			keywords = append(keywords, strings.ToUpper(strings.Trim(rest, `"`)))
		case "AUTH":
			keywords = append(keywords, "AUTH "+rest)
		case "REPLY":
			var key string
			if strings.HasPrefix(rest, `"`) {
				key, rest, _ = strings.Cut(rest[1:], `" `)
			} else {
				key, rest, _ = strings.Cut(rest, " ")
			}
			replies[key] = strings.ReplaceAll(rest, `\r\n`, "\r\n")
		}
	}
	s := newServer(keywords...)
	s.refuse = func(line string) string {
		verb, arg, _ := strings.Cut(line, " ")
		if verb == "AUTH" {
			_, initial, ok := strings.Cut(arg, " ")
			if initial = strings.TrimPrefix(initial, "="); ok && !strings.Contains(d.command, "--sasl-ir") {
				return replies[initial] // the dialogue knows no initial response
			}
		}
		for _, key := range []string{line, verb} {
			if r, ok := replies[key]; ok {
				return r
			}
		}
		if verb == "RCPT" && !goodAddr.MatchString(strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")) && !strings.Contains(strings.Join(keywords, " "), "SMTPUTF8") {
			return "501 Invalid address"
		}
		return ""
	}
	return s
}

// TestDialogues plays all dialogues about SMTP; each has to end as it does for the other client, but for those in the
// table, which all have their reason.
func TestDialogues(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "corpora", "curl-dialogues")
	files, _ := filepath.Glob(filepath.Join(dir, "test*"))
	if len(files) == 0 {
		t.Skip("the dialogues are not there: " + dir)
	}
	seen, played, listed := 0, 0, 0
	for _, file := range files {
		d := readDialogue(t, file)
		if !strings.Contains(d.server, "smtp") {
			continue
		}
		seen++
		other, ok := unlike[d.name]
		if ok {
			listed++
		}
		if other.how == "skip" {
			continue
		}
		if ok {
			if fails := other.how == "fails"; fails == d.fails {
				t.Errorf("%s is in the table, and ends as it does for the other client", d.name)
			} else {
				d.fails, d.upload = fails, ""
			}
		}
		played++
		t.Run(d.name, func(t *testing.T) { d.play(t) })
	}
	t.Logf("%d dialogues, %d played", seen, played)
	if seen != 91 || listed != len(unlike) {
		t.Errorf("%d dialogues, want 91; %d of them in the table, want %d", seen, listed, len(unlike))
	}
}

func (d *dialogue) play(t *testing.T) {
	s := d.peer()
	err := d.send(t, s)
	if (err != nil) != d.fails {
		t.Fatalf("error is %v, want one: %v\n%s", err, d.fails, d.command)
	}
	var partial *PartialError
	if err != nil && !errors.As(err, &partial) && len(s.texts) > 0 {
		t.Errorf("%v, and the server got %q", err, s.texts)
	}
	if err != nil || d.upload == "" || d.composed() || strings.Contains(d.upload, "%") {
		return
	}
	want := strings.TrimSuffix(d.upload, ".\r\n")
	want = strings.ReplaceAll("\r\n"+want, "\r\n.", "\r\n")[2:]
	if len(s.texts) != 1 || s.texts[0] != want {
		t.Errorf("the server got %q\nwant %q", s.texts, want)
	}
}

func (d *dialogue) send(t *testing.T, s *server) error {
	c, err := New(bg(t), wire.NewConn(s, nil), wire.Endpoint{Protocol: wire.SMTP, Host: "127.0.0.1", Port: 25, Security: wire.Cleartext}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if strings.Contains(d.command, " -u ") || strings.Contains(d.command, "AUTH=EXTERNAL") {
		if err := c.Auth(bg(t), d.credentials()); err != nil {
			return err
		}
	}
	env := &Envelope{}
	for _, m := range flagRcpt.FindAllStringSubmatch(d.command, -1) {
		env.Rcpt = append(env.Rcpt, strings.Trim(m[1], "<>"))
	}
	env.From = d.from
	if m := flagFrom.FindStringSubmatch(d.command); m != nil {
		env.From = strings.Trim(m[1], "<>")
	}
	text := strings.ReplaceAll(strings.ReplaceAll(d.input, "\r\n", "\n"), "\n", "\r\n")
	env.Size = int64(len(text))
	_, err = c.Send(bg(t), env, strings.NewReader(text))
	var partial *PartialError
	if errors.As(err, &partial) && strings.Contains(d.command, "allowfails") {
		return nil
	}
	return err
}

func (d *dialogue) credentials() *auth.Credentials {
	cr := &auth.Credentials{AllowCleartext: true}
	if m := flagUser.FindStringSubmatch(d.command); m != nil {
		cr.User, cr.Password = m[1], auth.Literal(m[2])
	}
	if m := flagTok.FindStringSubmatch(d.command); m != nil {
		cr.Token, cr.Password = auth.Literal(m[1]), nil
	}
	if m := flagZid.FindStringSubmatch(d.command); m != nil {
		cr.Authzid = m[1]
	}
	if strings.Contains(d.command, "AUTH=XOAUTH2") {
		cr.Mechanism = auth.XOAuth2
	}
	if strings.Contains(d.command, "AUTH=EXTERNAL") {
		cr.Mechanism, cr.Authzid = auth.External, strings.TrimPrefix(strings.SplitN(strings.Trim(strings.TrimSpace(d.command), "'"), ";", 2)[0], "smtp://")
	}
	return cr
}
