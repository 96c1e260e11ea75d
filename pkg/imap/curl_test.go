package imap

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// curlDialogue is one of curl's scripted dialogues: what the server answers,
// and what a client says on the wire.
type curlDialogue struct {
	capa     []string
	replies  [][2]string
	protocol []string
	data     string
}

var b64Macro = regexp.MustCompile(`%b64\[(.*?)\]b64%`)

// expand undoes curl's base64 macro.
func expand(line string) string {
	return b64Macro.ReplaceAllStringFunc(line, func(m string) string {
		text, err := url.PathUnescape(b64Macro.FindStringSubmatch(m)[1])
		if err != nil {
			return m
		}
		return base64.StdEncoding.EncodeToString([]byte(text))
	})
}

func readCurl(t *testing.T, number string) *curlDialogue {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "corpora", "curl-dialogues", "test"+number))
	if err != nil {
		t.Skipf("no test data: %v", err)
	}
	text := strings.ReplaceAll(string(raw), "%IMAPPORT", "143")
	d := &curlDialogue{data: strings.ReplaceAll(inside(text, "data"), "\n", "\r\n")}
	for _, line := range strings.Split(inside(text, "servercmd"), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "AUTH":
			for _, m := range strings.Fields(rest) {
				d.capa = append(d.capa, "AUTH="+m)
			}
		case "CAPA":
			d.capa = append(d.capa, rest)
		case "REPLY":
			rest = expand(rest)
			key, answer, _ := strings.Cut(rest, " ")
			if strings.HasPrefix(rest, `"`) {
				key, answer, _ = strings.Cut(rest[1:], `" `)
			}
			d.replies = append(d.replies, [2]string{key, answer})
		}
	}
	d.protocol = strings.Split(strings.TrimSpace(inside(text, "protocol")), "\n")
	return d
}

// inside is the text of an element.
func inside(text, element string) string {
	_, rest, ok := strings.Cut(text, "<"+element)
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, ">\n")
	rest, _, _ = strings.Cut(rest, "</"+element)
	return rest
}

// answer is the server's reply to a line of the client.
func (d *curlDialogue) answer(line string) string {
	for _, r := range d.replies {
		if expanded := expand(line); r[0] == expanded || (r[0] != "" && strings.HasPrefix(expanded, r[0]+" ")) {
			return r[1]
		}
	}
	return "A OK done"
}

var tagWord = regexp.MustCompile(`^[AB]\d* `)

// script turns the dialogue into one for our client, up to the login, and tells
// if that succeeds. What follows is our own.
func (d *curlDialogue) script() (script string, ok bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "S: * OK curl IMAP server ready to serve\n")
	for i, line := range d.protocol {
		command := tagWord.ReplaceAllString(line, "")
		word, _, _ := strings.Cut(command, " ")
		switch {
		case word == "CAPABILITY":
			fmt.Fprintf(&b, "C: $t%d CAPABILITY\nS: * CAPABILITY IMAP4rev1 %s\nS: $t%d OK done\n", i, strings.Join(d.capa, " "), i)
			continue
		case command != line && word != "LOGIN" && word != "AUTHENTICATE":
			return b.String(), true
		case command == line: // an answer to a challenge
			fmt.Fprintf(&b, "C: %s\n", pattern(line))
		default:
			fmt.Fprintf(&b, "C: $tag %s\n", pattern(command))
		}
		reply := d.answer(command)
		if status := tagWord.ReplaceAllString(reply, ""); status != reply {
			reply = "${tag} " + status
			ok = strings.HasPrefix(status, "OK")
		}
		fmt.Fprintf(&b, "S: %s\n", reply)
	}
	return b.String(), ok
}

// pattern is a line that the client must send; ports differ.
func pattern(line string) string {
	if strings.Contains(line, "port=143") {
		word, _, _ := strings.Cut(line, "%b64")
		return word + "*"
	}
	return strings.NewReplacer("*", `\*`, "$", `\$`).Replace(expand(line))
}

func TestCurlDialogues(t *testing.T) {
	secret := func(user, password string) *auth.Credentials {
		return &auth.Credentials{User: user, Password: auth.Literal(password)}
	}
	token := &auth.Credentials{User: "user", Token: auth.Literal("mF_9.B5f-4.1JqM")}
	named := func(cr auth.Credentials, mechanism, authzid string) *auth.Credentials {
		cr.Mechanism, cr.Authzid = mechanism, authzid
		return &cr
	}
	user, odd := secret("user", "secret"), secret(`"user`, `sec"ret{`)
	tests := map[string]*auth.Credentials{
		"799": named(*user, "login-command", ""), "800": odd, "801": user, "804": user, "805": user, "806": user, "810": user,
		"819": user, "820": user, "821": user, "824": token, "825": user, "828": token, "830": user,
		"837": named(*user, "external", "user"), "839": named(*user, "external", "user"), "841": user,
		"842": token, "843": token, "844": token, "845": token, "847": odd,
		"848": named(*user, "plain", "shared-mailbox"), "849": named(*secret("kurt", "xipj3plmq"), "plain", "ursel"),
		"895": odd, "897": user, "3206": user,
	}
	for number, cr := range tests {
		t.Run(number, func(t *testing.T) {
			d := readCurl(t, number)
			script, ok := d.script()
			if ok {
				script += `C: $z CAPABILITY
					S: * CAPABILITY IMAP4rev1
					S: $z OK done
					C: $y SELECT ` + number + `
					S: * 172 EXISTS
					S: $y OK [READ-WRITE] SELECT completed
					C: $x UID FETCH 1 (UID BODY.PEEK[])
					SEND mail
					S: $x OK FETCH completed
				`
			}
			script += "\nC? * LOGOUT"
			addr := wiretest.Serve(t, script, wiretest.Var("mail", fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\n", len(d.data), d.data)))
			c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Auth(within(t), cr); (err == nil) != ok {
				t.Fatalf("Auth: got %v, want success %v", err, ok)
			}
			if !ok {
				return
			}
			if _, err := c.Select(within(t), number, nil); err != nil {
				t.Fatal(err)
			}
			got, _, err := bodies(c, within(t), uids(t, "1"), whole())
			if err != nil || len(got) != 1 || got[0] != "1:="+d.data+";" {
				t.Errorf("got %q, %v, want %q", got, err, d.data)
			}
		})
	}
}

// A cancelled mechanism is not followed by a weaker one, as curl does.
func TestCurlDialoguesWithoutDowngrade(t *testing.T) {
	d := readCurl(t, "833")
	script, _, _ := strings.Cut(func() string { s, _ := d.script(); return s }(), "C: $tag AUTHENTICATE PLAIN")
	c, err := dial(t, script+"\nC? * LOGOUT", wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), &auth.Credentials{User: "user", Password: auth.Literal("secret")}); err == nil {
		t.Error("got no error")
	}
}
