package smtp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestS3_EndlessReplies(t *testing.T) {
	for _, tc := range []struct{ name, flood, kind string }{
		{"line without end", "220 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "protocol"},
		{"reply without end", "220-more\r\n", "protocol"},
		{"reply without end, long lines", "220-" + strings.Repeat("x", 60000) + "\r\n", "protocol"},
		{"empty lines", "\r\n", "protocol"},
		{"NULs", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "protocol"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			_, err := openFlood(t, tc.flood)
			wantKind(t, err, tc.kind)
			if d := time.Since(start); d > 60*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func openFlood(t *testing.T, raw string) (*Client, error) {
	t.Helper()
	addr := wiretest.Serve(t, "FLOOD "+quote(raw)+"\n")
	return Dial(bg(t), endpoint(t, addr, wire.Cleartext), nil)
}

func quote(s string) string {
	return `"` + strings.NewReplacer("\r", `\r`, "\n", `\n`, "\x00", `\x00`).Replace(s) + `"`
}

func TestS3_Caps(t *testing.T) {
	lines := func(n int) string {
		return strings.Repeat("S: 220-x\n", n-1) + "S: 220 x\n"
	}
	for _, tc := range []struct {
		name, greeting string
		fits           bool
	}{
		{"999 lines", lines(999), true},
		{"1000 lines", lines(1000), true},
		{"1001 lines", lines(1001), false},
		{"65,535 octets", "S: 220 ${rep:65531:x}\n", true},
		{"65,536 octets", "S: 220 ${rep:65532:x}\n", true},
		{"65,537 octets", "S: 220 ${rep:65533:x}\n", false},
		{"one MiB", strings.Repeat("S: 220-${rep:65532:x}\n", 15) + "S: 220 ${rep:65532:x}\n", true},
		{"more than one MiB", strings.Repeat("S: 220-${rep:65532:x}\n", 16) + "S: 220 x\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := tc.greeting + "C: EHLO *\nS: 250 mx\n" + bye
			if !tc.fits {
				script = tc.greeting + "HANG\n"
			}
			c, err := open(t, script, nil)
			if (err == nil) != tc.fits {
				t.Errorf("error is %v, want it to fit: %v", err, tc.fits)
			}
			if c != nil {
				_ = c.Close()
			}
		})
	}
}

func TestS3_ErrorsAreShortAndEscaped(t *testing.T) {
	c := mustOpen(t, hello()+`C: MAIL *
		S> "550-\x1b]0;title\x07 \xe2\x80\xae rtl\r\n"
		S: 550 ${rep:5000:long }
	`+bye, nil)
	_, err := send(t, c, envelope("bob@example.org"))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v", err)
	}
	text := e.Status()
	if len(text) > 512 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x202e }) {
		t.Errorf("%d octets: %q", len(text), text)
	}
	if !strings.HasPrefix(text, `550 \x1b]0;title\x07 \u202e rtl long`) {
		t.Errorf("text begins %q", text[:50])
	}
	_ = c.Close()
}

func TestS14_BoundedAttempts(t *testing.T) {
	for _, tc := range []struct{ name, script, kind string }{
		{"EHLO and HELO refused", "S: 220 mx\nC: EHLO *\nS: 502 no\nC: HELO *\nS: 502 no\nEOF\n", "error"},
		{"EHLO put off", "S: 220 mx\nC: EHLO *\nS: 450 no\nEOF\n", "error"},
		{"EHLO, then 421", "S: 220 mx\nC: EHLO *\nS: 421 no\nEOF\n", "error"},
		{"EHLO, then closed", "S: 220 mx\nC: EHLO *\nS: 502 no\nC: HELO *\nCLOSE\n", "closed"},
		{"garbage to EHLO", "S: 220 mx\nC: EHLO *\nS: BAD\nEOF\n", "protocol"},
		{"354 to EHLO", "S: 220 mx\nC: EHLO *\nS: 354 go\nEOF\n", "protocol"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := open(t, tc.script, nil)
			wantKind(t, err, tc.kind)
		})
	}
	t.Run("LHLO has no fall-back", func(t *testing.T) {
		_, err := openAs(t, wire.LMTP, "S: 220 mx\nC: LHLO *\nS: 500 no\nEOF\n", nil)
		wantKind(t, err, "error")
	})
}

func TestD3_Timeouts(t *testing.T) {
	const short = 40 * time.Millisecond
	long := time.Minute
	session := hello() + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nC.\n"
	for _, tc := range []struct {
		name, script, kind string
		t                  Timeouts
	}{
		{"greeting", "HANG\n", "timeout", Timeouts{Greeting: short, Command: long, Data: long, Block: long, Final: long}},
		{"command", hello() + "C: MAIL *\nHANG\n", "timeout", Timeouts{Greeting: long, Command: short, Data: long, Block: long, Final: long}},
		{"DATA", hello() + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nHANG\n", "timeout", Timeouts{Greeting: long, Command: long, Data: short, Block: long, Final: long}},
		{"final", session + "HANG\n", "uncertain", Timeouts{Greeting: long, Command: long, Data: long, Block: long, Final: short}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addr := wiretest.Serve(t, tc.script)
			start := time.Now()
			c, err := Dial(bg(t), endpoint(t, addr, wire.Cleartext), &Options{Timeouts: &tc.t})
			if err == nil {
				_, err = send(t, c, envelope("bob@example.org"))
				_ = c.Close()
			}
			wantKind(t, err, tc.kind)
			if d := time.Since(start); d > 60*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestD3_DefaultsAreThoseOfTheRFC(t *testing.T) {
	got := (&Options{}).timeouts()
	want := Timeouts{Greeting: 5 * time.Minute, Command: 5 * time.Minute, Data: 2 * time.Minute, Block: 3 * time.Minute, Final: 10 * time.Minute}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = (&Options{Wire: &wire.Config{Timeout: time.Second}, Timeouts: &Timeouts{Final: time.Hour}}).timeouts()
	want = Timeouts{Greeting: time.Second, Command: time.Second, Data: time.Second, Block: time.Second, Final: time.Hour}
	if got != want {
		t.Errorf("with Wire.Timeout: got %+v, want %+v", got, want)
	}
}
