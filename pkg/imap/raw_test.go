package imap

import (
	"errors"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

func rawOf(t *testing.T, caps, script string, texts []string, literals ...RawLiteral) (out, reply string, err error) {
	t.Helper()
	if !strings.HasSuffix(script, "CLOSE\n") {
		script += "C? * LOGOUT\n"
	}
	c, err := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1 "+caps+"] hi\n"+script, wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	reply, err = c.Raw(within(t), texts, literals, &b)
	return b.String(), reply, err
}

func TestRaw(t *testing.T) {
	body := func() RawLiteral { return RawLiteral{3, strings.NewReader("a\r\n")} }
	for name, tt := range map[string]struct {
		caps, script string
		texts        []string
		literals     []RawLiteral
		out, reply   string
		fails        string
	}{
		"literal in a reply": {script: "C: $a FETCH 1 BODY[]\nS> \"* 1 FETCH (BODY[] {5}\\r\\n* OK\\r BODY[1] \\\"x\\\")\\r\\n\"\nS: $a OK done\n",
			texts: []string{"FETCH 1 BODY[]"}, out: "* 1 FETCH (BODY[] {5}\r\n* OK\r BODY[1] \"x\")\r\n", reply: "done"},
		"forged literal": {script: "C: $a NOOP\nS: * OK text {100}\nS: * 3 EXISTS\nS: $a OK done\n",
			texts: []string{"NOOP"}, out: "* OK text {100}\r\n* 3 EXISTS\r\n", reply: "done"},
		"literal sent": {caps: "LITERAL+", script: "C: $a X {3+}\nC{3} \"a\\r\\n\"\nC:  y\nS: $a OK [DONE 1] ok\n",
			texts: []string{"X ", " y"}, literals: []RawLiteral{body()}, reply: "[DONE 1] ok"},
		"literal asked for": {script: "C: $a X {3}\nS: * 1 EXISTS\nS: + go\nC{3} \"a\\r\\n\"\nC:\nS: $a OK ok\n",
			texts: []string{"X ", ""}, literals: []RawLiteral{body()}, out: "* 1 EXISTS\r\n", reply: "ok"},
		"literal refused": {script: "C: $a X {3}\nS: $a NO [TOOBIG] no\n", texts: []string{"X ", ""}, literals: []RawLiteral{body()},
			fails: "NO [TOOBIG] no"},
		"bad":                  {script: "C: $a X\nS: $a BAD what\n", texts: []string{"X"}, fails: "BAD what"},
		"bye":                  {script: "C: $a X\nS: * BYE later\nCLOSE\n", texts: []string{"X"}, out: "* BYE later\r\n", fails: "BYE later"},
		"foreign tag":          {script: "C: $a X\nS: zz9 OK done\n", texts: []string{"X"}, fails: "a reply that is none"},
		"continuation":         {script: "C: $a X\nS: + go\n", texts: []string{"X"}, fails: "a reply that is none"},
		"another state":        {texts: []string{"starttls"}, fails: "cannot be sent"},
		"two lines":            {texts: []string{"X\r\nY"}, fails: "control character"},
		"bad behind a literal": {caps: "LITERAL+", texts: []string{"X ", "\x01"}, literals: []RawLiteral{body()}, fails: "control character"},
		"literal of its own":   {texts: []string{"X {3+}"}, fails: "ends in a literal"},
	} {
		t.Run(name, func(t *testing.T) {
			out, reply, err := rawOf(t, tt.caps, tt.script, tt.texts, tt.literals...)
			if out != tt.out || reply != tt.reply || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("got %q, %q, %v\nwant %q, %q, %q", out, reply, err, tt.out, tt.reply, tt.fails)
			}
		})
	}
}

func TestRawWriterFails(t *testing.T) {
	c, err := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC: $a X\nS: * 1 EXISTS\nS: $a OK done\nC? * LOGOUT\n", wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk is full")
	if _, err := c.Raw(within(t), []string{"X"}, nil, failingWriter{full}); !errors.Is(err, full) || !errors.Is(c.Err(), full) {
		t.Errorf("got %v, then %v, want the writer's error", err, c.Err())
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
