package smtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

const bye = "C: QUIT\n"

// conversation is a session with one message, and what becomes of that.
type conversation struct {
	name   string
	script string
	opt    *Options
	env    *Envelope
	kind   string
	out    string
}

var conversations = []conversation{
	{
		name: "no extensions, step by step",
		script: hello() + `C: MAIL FROM:<alice@example.org>
				S: 250 ok
				C: RCPT TO:<bob@example.org>
				S: 250 ok
				C: DATA
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env: envelope("bob@example.org"), kind: "ok", out: "+",
	},
	{
		name: "HELO fall-back",
		script: `S: 220 old
				C: EHLO localhost
				S: 502 what
				C: HELO localhost
				S: 250 hi
				C: MAIL FROM:<alice@example.org>
				S: 250 ok
				C: RCPT TO:<bob@example.org>
				S: 250 ok
				C: DATA
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env: envelope("bob@example.org"), kind: "ok", out: "+",
	},
	{
		name: "PIPELINING: the envelope and DATA in one group",
		script: hello("PIPELINING") + `C: MAIL FROM:<alice@example.org>
				C: RCPT TO:<bob@example.org>
				C: RCPT TO:<eve@example.org>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 251 forwarded
				S: 354 go
				C.
				S: 250 2.0.0 queued` + "\n" + bye,
		env: envelope("bob@example.org", "eve@example.org"), kind: "ok", out: "++",
	},
	{
		name: "PIPELINING with depth 1",
		opt:  &Options{Pipeline: 1},
		script: hello("PIPELINING") + `C: MAIL FROM:<alice@example.org>
				QUIET 5ms
				S: 250 ok
				C: RCPT TO:<bob@example.org>
				QUIET 5ms
				S: 250 ok
				C: DATA
				QUIET 5ms
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env: envelope("bob@example.org"), kind: "ok", out: "+",
	},
	{
		name: "PIPELINING with depth 2",
		opt:  &Options{Pipeline: 2},
		script: hello("PIPELINING") + `C: MAIL FROM:<alice@example.org>
				C: RCPT TO:<bob@example.org>
				QUIET 5ms
				S: 250 ok
				S: 250 ok
				C: RCPT TO:<eve@example.org>
				C: DATA
				S: 250 ok
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env: envelope("bob@example.org", "eve@example.org"), kind: "ok", out: "++",
	},
	{
		name: "CHUNKING: everything in one group",
		script: hello("PIPELINING", "CHUNKING", "SIZE 1000") + `C: MAIL FROM:<alice@example.org> SIZE=28
				C: RCPT TO:<bob@example.org>
				C: BDAT 28 LAST
				C{28} "Subject: hi\r\n\r\n.dot\r\nhello\r\n"
				S: 250 ok
				S: 250 ok
				S: 250 queued` + "\n" + bye,
		env:  &Envelope{From: "alice@example.org", Rcpt: []string{"bob@example.org"}, Size: int64(len(testBody)), Body: Body7Bit},
		kind: "ok", out: "+",
	},
	{
		name: "CHUNKING without PIPELINING",
		script: hello("CHUNKING") + `C: MAIL FROM:<alice@example.org>
				S: 250 ok
				C: RCPT TO:<bob@example.org>
				S: 250 ok
				C: BDAT 28 LAST
				C{28}
				S: 250 queued` + "\n" + bye,
		env: envelope("bob@example.org"), kind: "ok", out: "+",
	},
	{
		name: "CHUNKING switched off",
		opt:  &Options{NoChunking: true},
		script: hello("CHUNKING", "PIPELINING") + `C: MAIL FROM:<alice@example.org>
				C: RCPT TO:<bob@example.org>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env: envelope("bob@example.org"), kind: "ok", out: "+",
	},
	{
		name: "null reverse-path",
		script: hello("PIPELINING") + `C: MAIL FROM:<>
				C: RCPT TO:<postmaster>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env: &Envelope{Rcpt: []string{"postmaster"}, Body: Body7Bit}, kind: "ok", out: "+",
	},
	{
		name: "all parameters",
		script: hello("SIZE", "8BITMIME", "SMTPUTF8", "DSN") + `C: MAIL FROM:<alice@example.org> SIZE=28 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1
				S: 250 ok
				C: RCPT TO:<bob+tag@example.org> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;bob+2Btag@example.org
				S: 250 ok
				C: RCPT TO:<jürgen@example.org> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;jürgen@example.org
				S: 250 ok
				C: DATA
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env: &Envelope{From: "alice@example.org", Rcpt: []string{"bob+tag@example.org", "jürgen@example.org"}, Size: int64(len(testBody)),
			DSN: &DSN{Notify: NotifySuccess | NotifyFailure | NotifyDelay, Return: "HDRS", EnvID: "QQ+1"}},
		kind: "ok", out: "++",
	},
	{
		name: "DSN not offered is not asked for",
		script: hello() + `C: MAIL FROM:<alice@example.org>
				S: 250 ok
				C: RCPT TO:<bob@example.org>
				S: 250 ok
				C: DATA
				S: 354 go
				C.
				S: 250 queued` + "\n" + bye,
		env:  &Envelope{From: "alice@example.org", Rcpt: []string{"bob@example.org"}, DSN: &DSN{Notify: NotifyNever, Return: "FULL", EnvID: "x"}},
		kind: "ok", out: "+",
	},
	{
		name: "all or none: one refused holds the others back",
		script: hello("PIPELINING", "CHUNKING") + `C: MAIL FROM:<alice@example.org>
				C: RCPT TO:<bob@example.org>
				C: RCPT TO:<nobody@example.org>
				S: 250 ok
				S: 250 ok
				S: 550 no` + "\n" + bye,
		env:  &Envelope{From: "alice@example.org", Rcpt: []string{"bob@example.org", "nobody@example.org"}, Body: Body7Bit, AllOrNone: true},
		kind: "none", out: "tp",
	},
}

func TestSend_Conversations(t *testing.T) {
	for _, tc := range conversations {
		t.Run(tc.name, func(t *testing.T) {
			var got wiretest.Captured
			c := mustOpen(t, tc.script, tc.opt, wiretest.Capture(&got))
			r, err := send(t, c, tc.env)
			wantKind(t, err, tc.kind)
			wantOutcome(t, r, tc.out)
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if tc.kind == "ok" && strings.Contains(tc.script, "C.\n") {
				if b := got.Bodies(); len(b) != 1 || string(b[0]) != testBody {
					t.Errorf("the server got %q, want %q", b, testBody)
				}
			}
		})
	}
}

func TestSend_ManyOnOneConnection(t *testing.T) {
	c := mustOpen(t, hello("PIPELINING")+`
		# accepted: no RSET follows
		C: MAIL FROM:<alice@example.org>
		C: RCPT TO:<bob@example.org>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go
		C.
		S: 250 queued
		# MAIL refused: no transaction, no RSET
		C: MAIL FROM:<alice@example.org>
		C: RCPT TO:<bob@example.org>
		C: DATA
		S: 451 later
		S: 503 no MAIL
		S: 503 no RCPT
		# recipient refused, DATA accepted all the same: lone dot
		C: MAIL FROM:<alice@example.org>
		C: RCPT TO:<bob@example.org>
		C: DATA
		S: 250 ok
		S: 550 no
		S: 354 go
		C> ".\r\n"
		S: 554 nobody
		# RSET travels with the next envelope
		C: RSET
		C: MAIL FROM:<alice@example.org>
		C: RCPT TO:<bob@example.org>
		C: DATA
		S: 250 flushed
		S: 250 ok
		S: 250 ok
		S: 354 go
		C.
		S: 250 queued
	`+bye, nil)
	for i, want := range []string{"+", "t", "p", "+"} {
		r, _ := send(t, c, envelope("bob@example.org"))
		if got := outcome(r); got != want {
			t.Errorf("message %d: outcome %q, want %q", i, got, want)
		}
	}
	_ = c.Close()
}

func TestSend_WindowForManyRecipients(t *testing.T) {
	const n = 1050
	env := envelope()
	var script strings.Builder
	script.WriteString(hello("PIPELINING", "CHUNKING") + "C: MAIL FROM:<alice@example.org>\n")
	for i := range n {
		env.Rcpt = append(env.Rcpt, "u"+strings.Repeat("x", i%7)+"@example.org")
	}
	// Before any reply has come each is expected to have 512 octets: 96 fit, one of them for MAIL. Half are read then, and
	// with those their size is known.
	for _, r := range env.Rcpt[:95] {
		script.WriteString("C: RCPT TO:<" + r + ">\n")
	}
	script.WriteString("QUIET 5ms\n" + strings.Repeat("S: 250 ok\n", 48))
	for _, r := range env.Rcpt[95:287] {
		script.WriteString("C: RCPT TO:<" + r + ">\n")
	}
	script.WriteString(strings.Repeat("S: 250 ok\n", 239))
	// From here on what matters is that nobody waits for ever.
	for i := 287; i < n; i++ {
		script.WriteString("C: RCPT TO:<" + env.Rcpt[i] + ">\nS: 250 ok\n")
	}
	script.WriteString("C: BDAT *\nC{28}\nS: 250 ok\nS: 250 queued\n" + bye)
	c := mustOpen(t, script.String(), nil)
	r, err := send(t, c, env)
	wantKind(t, err, "ok")
	if got := len(r.Accepted()); got != n {
		t.Errorf("%d accepted, want %d", got, n)
	}
	_ = c.Close()
}

// bigBody is a text of n lines of 78 octets.
func bigBody(n int) string { return strings.Repeat(strings.Repeat("x", 76)+"\r\n", n) }

func TestSend_Chunks(t *testing.T) {
	text := bigBody(9000) // 702,000 octets
	begin := hello("PIPELINING", "CHUNKING") + "C: MAIL *\nC: RCPT *\n"
	for _, tc := range []struct {
		name, script string
		size         int64
		kind         string
	}{
		{"size known", begin + "C: BDAT 262144\nC{262144}\nS: 250 ok\nS: 250 ok\nS: 250 more\nC: BDAT 439856 LAST\nC{439856}\nS: 250 queued\n" + bye, 702000, "ok"},
		{"size unknown", begin + "C: BDAT 262144\nC{262144}\nS: 250 ok\nS: 250 ok\nS: 250 more\nC: BDAT 262144\nC{262144}\nC: BDAT 177712 LAST\nC{177712}\nS: 250 more\nS: 250 queued\n" + bye, 0, "ok"},
		{"first chunk refused", begin + "C: BDAT 262144\nC{262144}\nS: 250 ok\nS: 250 ok\nS: 552 too big\n" + bye, 0, "error"},
		{"recipient refused", begin + "C: BDAT 262144\nC{262144}\nS: 250 ok\nS: 550 no\nS: 554 nobody\n" + bye, 702000, "none"},
		{"second chunk refused", begin + "C: BDAT 262144\nC{262144}\nS: 250 ok\nS: 250 ok\nS: 250 more\nC: BDAT 262144\nC{262144}\nC: BDAT 177712 LAST\nC{177712}\nS: 452 full\nS: 503 no\n" + bye, 0, "error"},
		{"body longer than announced", begin + "C: BDAT 262144\nC{262144}\nS: 250 ok\nS: 250 ok\nS: 250 more\nC: BDAT 439846 LAST\nHANG\n", 701990, "body"},
		{"body shorter than announced", begin + "C: BDAT 262144\nC{262144}\nS: 250 ok\nS: 250 ok\nS: 250 more\nC: BDAT 439866 LAST\nHANG\n", 702010, "body"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got wiretest.Captured
			c := mustOpen(t, tc.script, nil, wiretest.Capture(&got))
			env := envelope("bob@example.org")
			env.Size = tc.size
			_, err := c.Send(bg(t), env, iotest.HalfReader(strings.NewReader(text)))
			wantKind(t, err, tc.kind)
			_ = c.Close()
			if tc.kind == "ok" && string(bytes.Join(got.Bodies(), nil)) != text {
				t.Error("the chunks do not add up to the text")
			}
		})
	}
}

func TestSend_BodyFails(t *testing.T) {
	broken := errors.New("disk on fire")
	failing := func(text string, err error) io.Reader {
		return io.MultiReader(strings.NewReader(text), iotest.ErrReader(err))
	}
	for _, ext := range [][]string{{"PIPELINING"}, {"PIPELINING", "CHUNKING"}, {"CHUNKING"}, nil} {
		for _, tc := range []struct {
			name string
			body func() io.Reader
			size int64
			kind string
		}{
			{"reader error", func() io.Reader { return failing("hello\r\n", broken) }, 0, "other"},
			{"reader error, late", func() io.Reader { return failing(bigBody(20000), broken) }, 0, "other"},
			{"reader cut", func() io.Reader { return failing("hello\r\n", io.ErrUnexpectedEOF) }, 0, "closed"},
			{"bare LF", func() io.Reader { return strings.NewReader("hello\r\n.\nMAIL\r\n") }, 0, "bare"},
			{"bare CR", func() io.Reader { return strings.NewReader("hello\rx\r\n") }, 0, "bare"},
			{"CR at the end", func() io.Reader { return strings.NewReader("hello\r") }, 0, "bare"},
			{"bare LF, late", func() io.Reader { return strings.NewReader(bigBody(20000) + "x\ny\r\n") }, 0, "bare"},
			{"too short", func() io.Reader { return strings.NewReader(testBody) }, 29, "body"},
			{"too long", func() io.Reader { return strings.NewReader(testBody) }, 27, "body"},
			{"octets above 127 in a 7-bit text", func() io.Reader { return strings.NewReader("hell\xc3\xb6\r\n") }, 0, "capability"},
		} {
			t.Run(strings.Join(ext, "+")+"/"+tc.name, func(t *testing.T) {
				c, err := New(bg(t), wire.NewConn(responder(ext...), nil), wire.Endpoint{Protocol: wire.SMTP, Security: wire.Cleartext}, nil)
				if err != nil {
					t.Fatal(err)
				}
				server := c.conn
				env := envelope("bob@example.org")
				env.Size = tc.size
				r, err := c.Send(bg(t), env, tc.body())
				wantKind(t, err, tc.kind)
				if len(r.Accepted()) != 0 {
					t.Errorf("accepted %v after a broken body", r.Accepted())
				}
				if server.Err() == nil {
					t.Error("the connection lives on")
				}
				if _, again := c.Send(bg(t), env, strings.NewReader(testBody)); again == nil {
					t.Error("the dead connection sent another message")
				}
			})
		}
	}
}
