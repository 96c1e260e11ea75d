package smtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestLimits_Recipients(t *testing.T) {
	for _, tc := range []struct {
		name, limits string
		rcpt         []string
		out          string
		limit        string // Name of the *LimitError
	}{
		{"none", "LIMITS", []string{"a@x.example", "b@x.example"}, "++", ""},
		{"RCPTMAX not reached", "LIMITS RCPTMAX=2", []string{"a@x.example", "b@x.example"}, "++", ""},
		{"RCPTMAX", "LIMITS MAILMAX=9 RCPTMAX=2", []string{"a@x.example", "b@x.example", "c@x.example", "d@x.example"}, "++tt", "RCPTMAX"},
		{"RCPTDOMAINMAX", "LIMITS RCPTDOMAINMAX=1", []string{"a@x.example", "b@y.example", "c@X.example", "d@z.example"}, "+t+t", "RCPTDOMAINMAX"},
		{"both", "LIMITS RCPTDOMAINMAX=1 RCPTMAX=2", []string{"a@x.example", "b@y.example", "c@x.example", "d@x.example"}, "+t+t", ""},
		{"nonsense", "LIMITS RCPTMAX=0 RCPTDOMAINMAX=-1 RCPTMAX", []string{"a@x.example", "b@y.example"}, "++", ""},
	} {
		for _, m := range modes {
			t.Run(tc.name+"/"+m.name, func(t *testing.T) {
				nc := &turns{server: newServer(append([]string{tc.limits}, m.keywords...)...)}
				c := client(t, nc)
				r, err := send(t, c, envelope(tc.rcpt...))
				wantOutcome(t, r, tc.out)
				if len(nc.kept) != strings.Count(tc.out, "+") {
					t.Errorf("the server keeps %q", nc.kept)
				}
				wantKind(t, err, map[bool]string{true: "partial", false: "ok"}[strings.Contains(tc.out, "t")])
				for _, one := range r.Refused() {
					var limit *LimitError
					if !errors.As(one.Err, &limit) || tc.limit != "" && limit.Name != tc.limit || !one.Err.TooMany() || one.Phase() != PhaseRcpt {
						t.Errorf("%+v: want a *LimitError about %s", one, tc.limit)
					}
				}
			})
		}
	}
}

func TestLimits_AllOrNoneBeyondTheLimit(t *testing.T) {
	c := mustOpen(t, hello("LIMITS RCPTMAX=1")+bye, nil)
	env := envelope("a@example.org", "b@example.org")
	env.AllOrNone = true
	_, err := send(t, c, env)
	wantKind(t, err, "capability")
	_ = c.Close()
}

func TestLimits_Messages(t *testing.T) {
	for _, m := range modes {
		nc := &turns{server: newServer(append([]string{"LIMITS MAILMAX=3"}, m.keywords...)...)}
		c := client(t, nc)
		if left := c.Remaining(); left != 3 {
			t.Errorf("%s: %d messages remain, want 3", m.name, left)
		}
		var got strings.Builder
		err := c.SendAll(bg(t), numbered(5), func(i int, _ *Message, r *Result, err error) error {
			got.WriteString(outcome(r))
			var limit *LimitError
			if (i >= 3) != (errors.As(err, &limit) && limit.Name == "MAILMAX" && limit.Temporary()) {
				t.Errorf("%s: message %d: %v", m.name, i, err)
			}
			return nil
		})
		if left := c.Remaining(); left != 0 {
			t.Errorf("%s: %d messages remain, want 0", m.name, left)
		}
		if err != nil || got.String() != "+++tt" || len(nc.texts) != 3 {
			t.Errorf("%s: outcomes %s, %d committed, %v", m.name, got.String(), len(nc.texts), err)
		}
	}
}

func TestTooMany(t *testing.T) {
	for _, tc := range []struct {
		err  Error
		want bool
	}{
		{Error{Code: 452, Enhanced: "4.5.3"}, true},
		{Error{Code: 552, Enhanced: "5.5.3"}, true},
		{Error{Code: 452, Enhanced: "4.2.2"}, false},
		{Error{Code: 452}, false},
		{Error{Cause: &LimitError{"RCPTMAX", 1}}, true},
		{Error{Cause: errors.New("x")}, false},
	} {
		if got := tc.err.TooMany(); got != tc.want {
			t.Errorf("%+v: got %v, want %v", tc.err, got, tc.want)
		}
	}
}

// A domain goes in its ASCII form to a server without SMTPUTF8; to one that has it, and in local parts, nothing
// changes.
func TestDomainsInASCIIForm(t *testing.T) {
	const step = "S: 250 ok\n"
	for _, tc := range []struct{ name, keyword, addr, sent string }{
		{"domain", "HELP", "bob@bücher.example", "bob@xn--bcher-kva.example"},
		{"domain, SMTPUTF8", "SMTPUTF8", "bob@bücher.example", "bob@bücher.example"},
		{"quoted local part", "HELP", `"a@b"@bücher.example`, `"a@b"@xn--bcher-kva.example`},
		{"local part", "HELP", "jürgen@example.org", ""},
		{"local part and domain", "HELP", "jürgen@bücher.example", ""},
		{"not a domain", "HELP", "bob@\u00ad\u200d.example", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			script := bye
			if tc.sent != "" {
				script = fmt.Sprintf("C: MAIL FROM:<%s>*\n%sC: RCPT TO:<%s>\n%sC: DATA\nS: 354 go\nC.\n%s%s", tc.sent, step, tc.sent, step, step, bye)
			}
			c := mustOpen(t, hello(tc.keyword)+script, nil)
			r, err := send(t, c, &Envelope{From: tc.addr, Rcpt: []string{tc.addr}, Body: Body7Bit})
			wantKind(t, err, map[bool]string{true: "ok", false: "capability"}[tc.sent != ""])
			if r.Rcpt[0].Addr != tc.addr {
				t.Errorf("the result names %q, want %q as in the envelope", r.Rcpt[0].Addr, tc.addr)
			}
			_ = c.Close()
		})
	}
	c := mustOpen(t, hello("8BITMIME")+bye, nil)
	env := envelope("bob@bücher.example")
	env.UTF8 = true
	_, err := send(t, c, env)
	wantKind(t, err, "capability")
	_ = c.Close()
}

func TestTakes(t *testing.T) {
	for _, tc := range []struct {
		keywords string
		opt      Options
		want     string
	}{
		{"", Options{}, "7"}, {"8BITMIME", Options{}, "78"}, {"BINARYMIME", Options{}, "7"}, {"CHUNKING", Options{}, "7"},
		{"8BITMIME BINARYMIME CHUNKING", Options{}, "78b"}, {"8BITMIME BINARYMIME CHUNKING", Options{NoChunking: true}, "78"},
	} {
		c := mustOpen(t, hello(strings.Fields(tc.keywords)...)+bye, &tc.opt)
		got := ""
		for _, b := range []struct {
			t    BodyType
			name string
		}{{Body7Bit, "7"}, {Body8Bit, "8"}, {BodyBinary, "b"}} {
			if c.Takes(b.t) {
				got += b.name
			}
			env := envelope("bob@example.org")
			env.Body = b.t
			if _, err := c.plan(env); (err == nil) != c.Takes(b.t) {
				t.Errorf("%q, %+v: %s: Takes says %v, an envelope %v", tc.keywords, tc.opt, b.t, c.Takes(b.t), err)
			}
		}
		if got != tc.want {
			t.Errorf("%q, %+v: takes %q, want %q", tc.keywords, tc.opt, got, tc.want)
		}
		_ = c.Close()
	}
}
