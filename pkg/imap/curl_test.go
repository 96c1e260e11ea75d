package imap

import (
	"encoding/base64"
	"errors"
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
	text     string // of the file
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
	d := &curlDialogue{text: text, data: strings.ReplaceAll(inside(text, "data"), "\n", "\r\n")}
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

// curlLogins are the dialogues about a login and one message, with their credentials.
func curlLogins() map[string]*auth.Credentials {
	secret := func(user, password string) *auth.Credentials {
		return &auth.Credentials{User: user, Password: auth.Literal(password)}
	}
	token := &auth.Credentials{User: "user", Token: auth.Literal("mF_9.B5f-4.1JqM")}
	named := func(cr auth.Credentials, mechanism, authzid string) *auth.Credentials {
		cr.Mechanism, cr.Authzid = mechanism, authzid
		return &cr
	}
	user, odd := secret("user", "secret"), secret(`"user`, `sec"ret{`)
	return map[string]*auth.Credentials{
		"799": named(*user, "login-command", ""), "800": odd, "801": user, "804": user, "805": user, "806": user, "810": user,
		"819": user, "820": user, "821": user, "824": token, "825": user, "828": token, "830": user,
		"837": named(*user, "external", "user"), "839": named(*user, "external", "user"), "841": user,
		"842": token, "843": token, "844": token, "845": token, "847": odd,
		"848": named(*user, "plain", "shared-mailbox"), "849": named(*secret("kurt", "xipj3plmq"), "plain", "ursel"),
		"895": odd, "897": user, "3206": user,
	}
}

func TestCurlDialogues(t *testing.T) {
	for number, cr := range curlLogins() {
		for _, pieces := range []string{"whole", "one byte"} {
			t.Run(number+"/"+pieces, func(t *testing.T) {
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
				script = curlPieces[pieces] + script + "\nC? * LOGOUT"
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
}

// curlPieces are how the server's bytes come.
var curlPieces = map[string]string{"whole": "", "one byte": "SPLIT 1\n"}

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

// curlSkips are the dialogues that are not replayed, and why.
var curlSkips = map[string]string{
	"660": "leaves the protocol to the application", "677": "leaves the protocol to the application",
	"779": "begins with HTTP: redirects are never followed", "795": "begins with HTTP: redirects are never followed",
	"822": "NTLM is not offered", "827": "NTLM is not offered", "831": "NTLM is not offered", "834": "NTLM is not offered",
	"823": "DIGEST-MD5 is not offered", "832": "DIGEST-MD5 is not offered", "835": "DIGEST-MD5 is not offered",
	"838": "EXTERNAL without a user name: an account always has one", "840": "EXTERNAL without a user name: an account always has one",
	"826":  "LOGIN with an initial response: the mechanism has none",
	"833":  "see TestCurlDialoguesWithoutDowngrade",
	"1321": "an HTTP proxy: tested in package wire",
	"1552": "the life of a handle of libcurl", "1553": "the life of a handle of libcurl", "1590": "the life of a handle of libcurl",
	"1982": "a connection used again with other credentials: a Client has one login",
}

const curlSelect = "C: $s SELECT box\nS: * 172 EXISTS\nS: * OK [UIDVALIDITY 3857529045] UIDs valid\nS: $s OK [READ-WRITE] done\n"

func curlOpen(t *testing.T, c *Client) error { _, err := c.Select(within(t), "box", nil); return err }

func curlMessage(t *testing.T, c *Client) error {
	if err := curlOpen(t, c); err != nil {
		return err
	}
	_, missing, err := bodies(c, within(t), uids(t, "1"), whole())
	if err == nil && !missing.Empty() {
		err = errors.New("the message did not come")
	}
	return err
}

func curlUpload(flags ...Flag) func(t *testing.T, c *Client) error {
	return func(t *testing.T, c *Client) error {
		_, err := c.Append(within(t), "box", 4, strings.NewReader("a\r\nb"), &AppendOptions{Flags: flags})
		return err
	}
}

// curlCommands are the dialogues about commands. The script follows a PREAUTH greeting; ${data} is the reply of the
// file. The function does the same with our client.
func curlCommands() map[string]struct {
	script string
	run    func(t *testing.T, c *Client) error
} {
	type dialogue = struct {
		script string
		run    func(t *testing.T, c *Client) error
	}
	const selectBox = curlSelect
	open, message, upload := curlOpen, curlMessage, curlUpload
	fetched := selectBox + "C: $a UID FETCH 1 (UID BODY.PEEK[])\nSEND mail\nS: $a OK done"
	const body = "S: + Ready\nC{4} \"a\\r\\nb\"\nC:\nS: $a OK done"
	return map[string]dialogue{
		"647": {`C: $a APPEND box (\Seen) {4}` + "\n" + body, upload(`\Seen`)},
		"802": {selectBox, func(t *testing.T, c *Client) error {
			s, err := c.Select(within(t), "box", nil)
			if err == nil && s.UIDValidity != 3857529045 {
				err = fmt.Errorf("UIDVALIDITY %d", s.UIDValidity)
			}
			return err
		}},
		"803": {strings.Replace(selectBox, "SELECT", "EXAMINE", 1) + "C: $a UID SEARCH ALL\nS: * SEARCH\nS: $a OK done", func(t *testing.T, c *Client) error {
			ch, err := c.Resync(within(t), "box", State{UIDValidity: 12345}, nil)
			if err == nil && !ch.Reset {
				err = errors.New("the change of UIDVALIDITY was not told")
			}
			return err
		}},
		"807": {`C: $a LSUB "" "\*"` + "\nSEND data\nS: $a OK done", func(t *testing.T, c *Client) error {
			list, err := c.List(within(t), &ListOptions{Subscribed: true})
			if err == nil && (len(list) != 3 || list[1].Selectable()) {
				err = fmt.Errorf("%+v", list)
			}
			return err
		}},
		"808": {"C: $a EXAMINE box\nSEND data\nS: $a OK [READ-ONLY] done", func(t *testing.T, c *Client) error {
			s, err := c.Examine(within(t), "box", nil)
			if err == nil && (s.Exists != 17 || s.UIDNext != 4392 || s.FirstUnseen != 8 || !s.CanChange) {
				err = fmt.Errorf("%+v", s)
			}
			return err
		}},
		"809": {"C: $a STATUS 809 (MESSAGES UIDNEXT)\nSEND data\nS: $a OK done", func(t *testing.T, c *Client) error {
			s, err := c.Status(within(t), "809", StatusMessages|StatusUIDNext)
			if err == nil && (s.Messages != 231 || s.UIDNext != 44292) {
				err = fmt.Errorf("%+v", s)
			}
			return err
		}},
		"811": {"C: $a CREATE box\nS: $a OK done", func(t *testing.T, c *Client) error { return c.Create(within(t), "box") }},
		"812": {"C: $a DELETE box\nS: $a OK done", func(t *testing.T, c *Client) error { return c.Delete(within(t), "box") }},
		"813": {"C: $a RENAME 666 box\nS: $a OK done", func(t *testing.T, c *Client) error { return c.Rename(within(t), "666", "box") }},
		"814": {"C: $a NOOP\nS: $a OK done", func(t *testing.T, c *Client) error { return c.Noop(within(t)) }},
		"815": {selectBox + "C: $a UID STORE 123 +FLAGS.SILENT (\\Deleted)\nSEND data1\nS: $a OK done\nC: $a CLOSE\nS: $a OK done", func(t *testing.T, c *Client) error {
			return errors.Join(open(t, c), c.Store(within(t), uids(t, "123"), AddFlags, []Flag{`\Deleted`}), c.CloseMailbox(within(t)))
		}},
		"816": {selectBox + "C: $a UID STORE 123 +FLAGS.SILENT (\\Deleted)\nSEND data1\nS: $a OK done\nC: $a EXPUNGE\nSEND data2\nS: $a OK done", func(t *testing.T, c *Client) error {
			err := errors.Join(open(t, c), c.Store(within(t), uids(t, "123"), AddFlags, []Flag{`\Deleted`}))
			if n, e := c.Expunge(within(t)); e != nil || n != 1 {
				err = errors.Join(err, e, fmt.Errorf("%d expunged", n))
			}
			return err
		}},
		"817": {selectBox + "C: $a UID COPY 123 817\nS: $a OK done", func(t *testing.T, c *Client) error {
			err := open(t, c)
			_, e := c.Copy(within(t), uids(t, "123"), "817")
			return errors.Join(err, e)
		}},
		"818": {"C: $a NOOP\nS: $a OK done", func(t *testing.T, c *Client) error { return c.Noop(within(t)) }},
		// curl refuses the name; here it is written in modified UTF-7, which has no line ends
		"829": {"C: $a SELECT &AA0ACg-/829\nS: $a NO no such mailbox", func(t *testing.T, c *Client) error {
			_, err := c.Select(within(t), "\r\n/829", nil)
			wantRefusal(t, err, "NO", "")
			return c.Err()
		}},
		"836": {fetched, message}, "846": {fetched, message}, "988": {fetched, message}, "1420": {fetched, message}, "1847": {fetched, message},
		"1848": {selectBox + "C: $a UID FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Message-Id Date)])\nS: * 1 FETCH (UID 1 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 71 BODY[HEADER.FIELDS (Message-Id DATE)] {2}\nS:\nS: )\nS: $a OK done", func(t *testing.T, c *Client) error {
			if err := open(t, c); err != nil {
				return err
			}
			got, _, err := bodies(c, within(t), uids(t, "1"), &FetchOptions{Flags: true, InternalDate: true, Size: true, Sections: []Section{{Spec: "HEADER.FIELDS", Fields: []string{"Message-Id", "Date"}}}})
			if err == nil && len(got) != 1 {
				err = fmt.Errorf("%q", got)
			}
			return err
		}},
		"3209": {`C: $a APPEND box (\Answered \Deleted \Draft \Flagged \Seen) {4}` + "\n" + body, upload(`\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen`)},
		"3210": {"C: $a APPEND box {4}\n" + body, upload()},
	}
}

func TestCurlCommands(t *testing.T) {
	for number, d := range curlCommands() {
		for pieces, split := range curlPieces {
			t.Run(number+"/"+pieces, func(t *testing.T) {
				file := readCurl(t, number)
				reply := func(name string) wiretest.Option {
					text := strings.ReplaceAll(strings.ReplaceAll(inside(file.text, name), "%TESTNUMBER", number), "\n", "\r\n")
					return wiretest.Var(name, text)
				}
				mail := fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\n", len(file.data), file.data)
				addr := wiretest.Serve(t, split+"S: * PREAUTH [CAPABILITY IMAP4rev1] hi\n"+d.script+"\nC? * LOGOUT",
					wiretest.Var("mail", mail), reply("data"), reply("data1"), reply("data2"))
				c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := d.run(t, c); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestCurlStartTLS has the two dialogues in which TLS does not come about: nothing is said in cleartext then.
func TestCurlStartTLS(t *testing.T) {
	for number, script := range map[string]string{
		"981": "S: * OK curl IMAP server ready to serve\nC: $a CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS\nS: $a OK done\nC: $b STARTTLS\nS> \"A002 BAD currently unavailable\\r\\nA003 OK Authenticated\\r\\nA004 OK Accepted\\r\\n\"",
		"984": "S: * OK curl IMAP server ready to serve\nC: $a CAPABILITY\nS: $a BAD Not implemented",
	} {
		for _, split := range curlPieces {
			if _, err := dial(t, split+script, wire.StartTLS, trusting(t)); err == nil {
				t.Errorf("%s: got no error", number)
			}
		}
	}
}

// TestCurlUnknownMechanism is dialogue 896: a mechanism that is not known is an error before anything is sent.
func TestCurlUnknownMechanism(t *testing.T) {
	c, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\nC? * LOGOUT", wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	cr := alice()
	cr.Mechanism = "dummy"
	if err := c.Auth(within(t), cr); err == nil {
		t.Error("got no error")
	}
}

var imapServer = regexp.MustCompile(`(?s)<server>[^<]*imap`)

// TestCurlAllAccountedFor counts: every dialogue with an IMAP server is replayed or explained.
func TestCurlAllAccountedFor(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "corpora", "curl-dialogues", "test*"))
	if len(files) == 0 {
		t.Skip("no test data")
	}
	logins, commands, n := curlLogins(), curlCommands(), 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !imapServer.Match(raw) {
			continue
		}
		n++
		number := strings.TrimPrefix(filepath.Base(file), "test")
		_, login := logins[number]
		_, command := commands[number]
		_, skip := curlSkips[number]
		if special := strings.Contains(" 896 981 984 ", " "+number+" "); !login && !command && !skip && !special {
			t.Errorf("test%s is neither replayed nor explained", number)
		}
	}
	if n != 73 {
		t.Errorf("got %d dialogues, want 73", n)
	}
}
