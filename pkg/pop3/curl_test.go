package pop3

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
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

var corpora = filepath.Join("..", "..", "..", "shared", "corpora")

// curlSkips are dialogues that are not about POP3 as we speak it.
var curlSkips = map[string]string{
	"875": "a URL with encoded line ends as a path, which is refused before a connection: URLs name no messages here",
	"989": "a redundant option of curl's command line; the session is that of 850 under TLS, which the live tests have",
}

// curlDiffers are dialogues with another outcome by intent: an error in the place of a success.
var curlDiffers = map[string]string{
	"868": "NTLM alone is offered, which is not built: nothing is sent",
	"869": "DIGEST-MD5 alone is offered, which is obsolete (RFC 6331) and not built: nothing is sent",
	"872": "LOGIN's user name goes out when the server asks for it; this one asks for the password at once",
	"873": "NTLM alone is offered, which is not built: nothing is sent",
	"879": "a failed mechanism is not followed by a weaker one",
	"993": "a listing that names one message a thousand times is a protocol error",
}

// dialogue is one of curl's test cases.
type dialogue struct {
	id, text string
	file     map[string]string // sections by tag
	attrs    map[string]string
}

func readDialogue(t *testing.T, path string) *dialogue {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialogue{id: strings.TrimPrefix(filepath.Base(path), "test"), file: map[string]string{}, attrs: map[string]string{}}
	d.text = string(raw)
	for _, tag := range []string{"servercmd", "data", "datacheck", "command", "errorcode", "server", "protocol"} {
		m := regexp.MustCompile(`(?s)<` + tag + `( [^>]*)?>\n(.*?)</` + tag + `>`).FindStringSubmatch(d.text)
		if m != nil {
			d.attrs[tag], d.file[tag] = m[1], m[2]
		}
	}
	return d
}

var (
	base64Macro = regexp.MustCompile(`%b64\[(.*?)\]b64%`)
	repeatMacro = regexp.MustCompile(`(?s)%repeat\[(\d+) x (.*?)\]%`)
)

// expand replaces curl's macros.
func (d *dialogue) expand(s, port string) string {
	s = strings.NewReplacer("%TESTNUMBER", d.id, "%POP3PORT", port, "%LT", "<", "%GT", ">", "%CR", "\r", "%HOSTIP", "127.0.0.1").Replace(s)
	s = base64Macro.ReplaceAllStringFunc(s, func(m string) string {
		text, err := url.PathUnescape(base64Macro.FindStringSubmatch(m)[1])
		if err != nil {
			panic(err)
		}
		return base64.StdEncoding.EncodeToString([]byte(text))
	})
	return repeatMacro.ReplaceAllStringFunc(s, func(m string) string {
		parts := repeatMacro.FindStringSubmatch(m)
		n, _ := strconv.Atoi(parts[1])
		text, _ := url.PathUnescape(parts[2])
		return strings.Repeat(text, n)
	})
}

// server answers as curl's own test server does.
func (d *dialogue) server(port string) *curlServer {
	f := &curlServer{greeting: "+OK curl POP3 server ready to serve", override: map[string]string{}}
	f.override["STLS"] = "-ERR unknown command"
	f.override["STAT"] = "+OK 3 4294967800"
	f.override["LIST"] = "+OK\r\n1 100\r\n2 4294967400\r\n3 200\r\n."
	f.override["UIDL"] = "+OK\r\n1 1\r\n2 2\r\n3 4\r\n."
	data := d.expand(d.file["data"], port)
	if strings.Contains(d.attrs["data"], "crlf") {
		data = strings.ReplaceAll(data, "\n", "\r\n")
	}
	f.override["RETR"] = "+OK data transfer starting\r\n" + data + "."
	head, _, _ := strings.Cut(data, "\r\n\r\n")
	f.override["TOP"] = "+OK\r\n" + head + "\r\n\r\n."
	if d.id == "993" {
		f.override["LIST"] = "+OK\r\n" + data + "."
	}
	for _, line := range strings.Split(d.expand(d.file["servercmd"], port), "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "CAPA":
			f.caps = append(f.caps, strings.Fields(rest)...)
		case "AUTH":
			f.caps = append(f.caps, "SASL "+rest)
		case "REPLY", "REPLYLF":
			f.reply(rest)
		}
	}
	return f
}

func (f *curlServer) reply(rest string) {
	key, text, _ := strings.Cut(rest, " ")
	if strings.HasPrefix(rest, `"`) {
		key, text, _ = strings.Cut(rest[1:], `" `)
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\r\n`, "\r\n"), `\@`, "@")
	if key == "welcome" {
		f.greeting = text
		return
	}
	f.override[key] = text
}

// curlServer plays what a dialogue says, as curl's own test server does: the replies go by the command line, or by its
// verb, and are whatever the dialogue wants them to be. That is what no mail server would do.
type curlServer struct {
	greeting string
	caps     []string          // nil: CAPA is refused
	override map[string]string // replies by the command line or its verb, raw
	seen     []string
}

// serve talks to one client until QUIT or the end.
func (f *curlServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	w := bufio.NewWriterSize(c, 64<<10)
	fmt.Fprintf(w, "%s\r\n", f.greeting)
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		f.seen = append(f.seen, line)
		f.answer(w, line)
		if line == "QUIT" {
			_ = w.Flush()
			return
		}
	}
}

func (f *curlServer) answer(w io.Writer, line string) {
	verb, _, _ := strings.Cut(line, " ")
	if reply, ok := f.scripted(line); ok {
		fmt.Fprintf(w, "%s\r\n", reply)
		return
	}
	switch verb {
	case "CAPA":
		if f.caps == nil {
			fmt.Fprint(w, "-ERR Unrecognized command\r\n")
			return
		}
		fmt.Fprintf(w, "+OK\r\n%s\r\n.\r\n", strings.Join(f.caps, "\r\n"))
	case "USER", "PASS", "APOP", "DELE", "NOOP", "RSET", "QUIT":
		fmt.Fprint(w, "+OK\r\n")
	default:
		fmt.Fprint(w, "-ERR Unrecognized command\r\n")
	}
}

// scripted finds the reply for a line. An initial response (RFC 5034) that is met by a go-ahead counts as the answer
// to it.
func (f *curlServer) scripted(line string) (string, bool) {
	words := strings.Fields(line)
	if len(words) == 0 {
		reply, ok := f.override[""]
		return reply, ok
	}
	reply, ok := f.override[line]
	for n := min(2, len(words)); !ok && n > 0; n-- {
		reply, ok = f.override[strings.Join(words[:n], " ")]
	}
	if ok && words[0] == "AUTH" && len(words) == 3 && strings.TrimSpace(reply) == "+" {
		ir := words[2]
		if ir == "=" {
			ir = ""
		}
		reply, ok = f.override[ir]
	}
	return reply, ok
}

// want is what a dialogue is about: the credentials and the one command after login.
type want struct {
	cr     *auth.Credentials
	sec    wire.Security
	custom string // -X
	list   bool   // -l
	number int    // 0: none in the URL
}

var urlPattern = regexp.MustCompile(`pop3s?://(?:([^@/ ']*)@)?[^/ ']*(?:/(\d+))?`)

func (d *dialogue) want(t *testing.T) want {
	t.Helper()
	cmd := d.expand(strings.TrimSpace(d.file["command"]), "1")
	w := want{cr: &auth.Credentials{}, sec: wire.Cleartext, list: strings.Contains(cmd, " -l ")}
	flag := func(name string) string {
		m := regexp.MustCompile(`(?:^| )` + name + ` (?:'([^']*)'|(\S+))`).FindStringSubmatch(cmd)
		if m == nil {
			return ""
		}
		return m[1] + m[2]
	}
	m := urlPattern.FindStringSubmatch(cmd)
	if m == nil {
		t.Fatalf("no URL in %q", cmd)
	}
	w.number, _ = strconv.Atoi(m[2])
	user, password, _ := strings.Cut(flag("-u"), ":")
	if m[1] != "" {
		info, option, _ := strings.Cut(m[1], ";AUTH=")
		w.cr.Mechanism = option
		u, p, _ := strings.Cut(info, ":")
		user, _ = url.PathUnescape(u)
		password = p
	}
	if d.id == "480" {
		user, password = "alice", "password\r\ncommand"
	}
	w.cr.User, w.cr.Authzid = user, flag("--sasl-authzid")
	if w.cr.Mechanism == "EXTERNAL" {
		w.cr.Authzid = user
	}
	if password != "" {
		w.cr.Password = auth.Literal(password)
	}
	if token := flag("--oauth2-bearer"); token != "" {
		w.cr.Token = auth.Literal(token)
	}
	if strings.Contains(d.file["servercmd"], "CAPA APOP") {
		w.cr.Mechanism = "apop"
	}
	if strings.Contains(cmd, "--ssl") {
		w.sec = wire.StartTLS
	}
	w.custom = flag("-X")
	return w
}

// perform runs the dialogue's command and returns the data that curl would print.
func (w want) perform(t *testing.T, addr string) (string, error) {
	t.Helper()
	ctx := within(t)
	ep := endpointOf(t, addr, w.sec)
	c, err := Dial(ctx, ep, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(ctx, w.cr); err != nil {
		return "", err
	}
	var out strings.Builder
	verb, _, _ := strings.Cut(w.custom, " ")
	body := func(_ int, _ int64, r io.Reader) error { _, err := io.Copy(&out, r); return err }
	switch {
	case verb == "STAT":
		_, err = c.Stat(ctx)
	case verb == "NOOP":
		err = c.Noop(ctx)
	case verb == "RSET":
		err = c.Rset(ctx)
	case verb == "DELE":
		if err = c.Dele(ctx, []int{w.number}); err == nil {
			return "", c.Quit(ctx)
		}
	case verb == "TOP":
		n, _ := strconv.Atoi(strings.Fields(w.custom)[1])
		err = c.Top(ctx, []int{n}, 0, body)
	case verb == "UIDL":
		var uids []UID
		uids, err = c.Uidl(ctx)
		for _, u := range uids {
			fmt.Fprintf(&out, "%d %s\r\n", u.Number, u.ID)
		}
	case w.list:
		_, err = c.List(ctx, w.number)
	case w.number == 0:
		var entries []Entry
		entries, err = c.List(ctx)
		for _, e := range entries {
			fmt.Fprintf(&out, "%d %d\r\n", e.Number, e.Size)
		}
	default:
		err = c.Retr(ctx, []int{w.number}, body)
	}
	_ = c.Quit(ctx)
	return out.String(), err
}

func TestCurlDialogues(t *testing.T) {
	paths, _ := filepath.Glob(filepath.Join(corpora, "curl-dialogues", "test*"))
	if len(paths) == 0 {
		t.Skip("no curl dialogues beside the repository")
	}
	replayed := 0
	for _, path := range paths {
		d := readDialogue(t, path)
		if !strings.HasPrefix(d.file["server"], "pop3") {
			continue
		}
		t.Run(d.id, func(t *testing.T) {
			if why, skip := curlSkips[d.id]; skip {
				t.Skip(why)
			}
			replayed++
			d.replay(t)
		})
	}
	if want := 53 - len(curlSkips); replayed != want {
		t.Errorf("got %d dialogues replayed, want %d", replayed, want)
	}
}

func (d *dialogue) replay(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	f := d.server(port)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			f.serve(c)
		}
	}()
	got, err := d.want(t).perform(t, l.Addr().String())
	_ = l.Close()
	<-done

	code := strings.TrimSpace(d.file["errorcode"])
	fails := code != "" && code != "0"
	if why, differs := curlDiffers[d.id]; differs {
		if err == nil {
			t.Errorf("got %q, want an error: %s", got, why)
		}
		return
	}
	var authErr *auth.Error
	switch {
	case fails != (err != nil):
		t.Errorf("got error %v, want one: %v (code %s); sent %q", err, fails, code, f.seen)
	case code == "67" && !errors.As(err, &authErr): // login denied
		t.Errorf("got %v, want an *auth.Error", err)
	}
	for _, sent := range f.seen {
		if strings.Contains(sent, "FRIGGING") || strings.HasPrefix(sent, "command") {
			t.Errorf("%q was sent", sent)
		}
	}
	if err == nil {
		d.checkData(t, got, port)
	}
}

// checkData compares with the data that the dialogue expects to be delivered.
func (d *dialogue) checkData(t *testing.T, got, port string) {
	t.Helper()
	tag := "datacheck"
	if _, ok := d.file[tag]; !ok {
		tag = "data"
	}
	text, ok := d.file[tag]
	if !ok || strings.Contains(d.attrs[tag], "nocheck") {
		return
	}
	want := d.expand(text, port)
	if strings.Contains(d.attrs[tag], "crlf") {
		want = strings.ReplaceAll(want, "\n", "\r\n")
	}
	if got != want && strings.TrimRight(got, "\r\n") != strings.TrimRight(want, "\r\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}
