package smtp

import (
	"bufio"
	"encoding/base64"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// dialogue is one of the scripted conversations of another client's test suite: what the server says, and how that
// client's run has to end.
type dialogue struct {
	name, server, command, input, upload string
	fails                                bool
	serverCommands                       []string
}

var (
	macroB64 = regexp.MustCompile(`(?s)%b64\[(.*?)\]b64%`)
	macroHex = regexp.MustCompile(`%hex\[(.*?)\]hex%`)
	flagRcpt = regexp.MustCompile(`--mail-rcpt "?([^"\s]+)"?`)
	flagFrom = regexp.MustCompile(`--mail-from "?([^"\s]+)"?`)
	flagUser = regexp.MustCompile(` -u "?([^ ":]*):?([^ "]*)`)
	flagTok  = regexp.MustCompile(`--oauth2-bearer (\S+)`)
	flagZid  = regexp.MustCompile(`--sasl-authzid (\S+)`)
	goodAddr = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+@([a-zA-Z0-9-]+\.)+[a-zA-Z]{2,4}$`)
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

// skip tells why a dialogue says nothing about this client.
func (d *dialogue) skip() string {
	switch {
	case !strings.Contains(d.server, "smtp"):
		return "another protocol"
	case !flagRcpt.MatchString(d.command) || !strings.Contains(d.command, "-T "):
		return "sends no message"
	case strings.Contains(d.command, "-K ") || strings.Contains(d.command, " -x ") || strings.Contains(d.command, "-: "):
		return "about that client's own options"
	case strings.Contains(strings.Join(d.serverCommands, "\n"), "NTLM") || strings.Contains(strings.Join(d.serverCommands, "\n"), "DIGEST-MD5"):
		return "a mechanism that is not supported"
	}
	return map[string]string{
		"test3215": "parameters inside an address are refused here: Envelope.DSN is the way",
		"test935":  "that client falls to a weaker mechanism after a failure; here the failure is final",
		"test940":  "that client sends in spite of a login that is not offered",
		"test939":  "that client sends in spite of a login that is not offered",
		"test962":  "an address with UTF-8 is converted to ASCII by that client; here SMTPUTF8 is needed",
		"test963":  "an address with UTF-8 is converted to ASCII by that client; here SMTPUTF8 is needed",
		"test951":  "AUTH parameter of MAIL", "test952": "AUTH parameter of MAIL",
	}[d.name]
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
		if r, ok := replies[verb]; ok {
			return r
		}
		if verb == "RCPT" && !goodAddr.MatchString(strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")) && !strings.Contains(strings.Join(keywords, " "), "SMTPUTF8") {
			return "501 Invalid address"
		}
		return ""
	}
	return s
}

func TestDialogues(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "corpora", "curl-dialogues")
	files, _ := filepath.Glob(filepath.Join(dir, "test*"))
	if len(files) == 0 {
		t.Skip("the dialogues are not there: " + dir)
	}
	played := 0
	for _, file := range files {
		d := readDialogue(t, file)
		if why := d.skip(); why != "" {
			continue
		}
		played++
		t.Run(d.name, func(t *testing.T) { d.play(t) })
	}
	t.Logf("%d dialogues played", played)
	if played < 40 {
		t.Errorf("only %d dialogues were played", played)
	}
}

func (d *dialogue) play(t *testing.T) {
	s := d.peer()
	err := d.send(t, s)
	if (err != nil) != d.fails {
		t.Fatalf("error is %v, the other client fails: %v\n%s", err, d.fails, d.command)
	}
	if err != nil || d.upload == "" || strings.Contains(d.upload, "%") {
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
