package smtp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// mode is one of the ways in which a message can travel.
type mode struct {
	name     string
	keywords []string
	pipeline bool
	chunk    bool
}

var modes = []mode{
	{"step by step", nil, false, false},
	{"pipelined", []string{"PIPELINING"}, true, false},
	{"chunk", []string{"CHUNKING"}, false, true},
	{"pipelined chunk", []string{"PIPELINING", "CHUNKING"}, true, true},
}

// transactionScript is the conversation about one message to three recipients, with the given codes.
func transactionScript(m mode, rcpt [3]int, data, dot int) (script string, commits bool) {
	var commands, replies []string
	add := func(command string, reply int) {
		commands = append(commands, command)
		replies = append(replies, fmt.Sprintf("S: %d words", reply))
	}
	accepted := 0
	add("C: MAIL *", 250)
	for i, code := range rcpt {
		add(fmt.Sprintf("C: RCPT TO:<r%d@example.org>", i), code)
		if code < 300 {
			accepted++
		}
	}
	var tail string
	switch {
	case m.chunk && (accepted > 0 || m.pipeline):
		add("C: BDAT 28 LAST\nC{28}", dot)
		commits = accepted > 0
	case m.chunk:
	case accepted > 0 || m.pipeline:
		add("C: DATA", data)
		switch {
		case data == 354 && accepted > 0:
			tail = fmt.Sprintf("C.\nS: %d words\n", dot)
			commits = true
		case data == 354:
			tail = fmt.Sprintf("C> \".\\r\\n\"\nS: %d words\n", dot)
		}
	}
	if m.pipeline {
		return strings.Join(commands, "\n") + "\n" + strings.Join(replies, "\n") + "\n" + tail, commits
	}
	for i := range commands {
		script += commands[i] + "\n" + replies[i] + "\n"
	}
	return script + tail, commits
}

// expected is what such a conversation means.
func expected(m mode, rcpt [3]int, data, dot int) (out, kind string) {
	letter := func(code int) string {
		return map[int]string{2: "+", 3: "+", 4: "t", 5: "p"}[code/100]
	}
	accepted := 0
	for _, code := range rcpt {
		l := letter(code)
		if l == "+" {
			accepted++
			if l = letter(dot); !m.chunk && data != 354 {
				l = letter(data)
			}
		}
		out += l
	}
	switch n := strings.Count(out, "+"); {
	case accepted == 0:
		return out, "none"
	case n == 0:
		return out, "error"
	case n < 3:
		return out, "partial"
	}
	return out, "ok"
}

func TestD1_OutcomePerRecipient(t *testing.T) {
	codes := []int{250, 252, 450, 550}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			for i := range 64 {
				rcpt := [3]int{codes[i&3], codes[i>>2&3], codes[i>>4&3]}
				for _, data := range []int{354, 451, 554} {
					for _, dot := range []int{250, 452, 554} {
						t.Run(fmt.Sprint(rcpt, data, dot), func(t *testing.T) { testOutcome(t, m, rcpt, data, dot) })
					}
				}
			}
		})
	}
}

func testOutcome(t *testing.T, m mode, rcpt [3]int, data, dot int) {
	script, commits := transactionScript(m, rcpt, data, dot)
	var got wiretest.Captured
	c := mustOpen(t, hello(m.keywords...)+script+bye, nil, wiretest.Capture(&got))
	r, err := send(t, c, envelope("r0@example.org", "r1@example.org", "r2@example.org"))
	out, kind := expected(m, rcpt, data, dot)
	wantKind(t, err, kind)
	wantOutcome(t, r, out)
	_ = c.Close()
	if !m.chunk && (len(got.Bodies()) == 1) != commits {
		t.Errorf("%d bodies were sent, want commit %v", len(got.Bodies()), commits)
	}
}

func TestD1_ErrorNamesBothHalves(t *testing.T) {
	c := mustOpen(t, hello("PIPELINING")+`C: MAIL *
		C: RCPT *
		C: RCPT *
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 550 5.1.1 no such user
		S: 354 go
		C.
		S: 250 2.0.0 queued as 4BF1
	`+bye, nil)
	r, err := send(t, c, envelope("bob@example.org", "nobody@example.org"))
	want := "1 of 2 recipients refused: nobody@example.org: 550 5.1.1 no such user; accepted: bob@example.org"
	if err == nil || err.Error() != want {
		t.Errorf("error\n got %v\nwant %s", err, want)
	}
	if r.Reply != "250 2.0.0 queued as 4BF1" || r.Rcpt[0].Reply.Text != "queued as 4BF1" || r.Rcpt[1].Reply.Enhanced != "5.1.1" {
		t.Errorf("result is %+v", r)
	}
	_ = c.Close()
}

func TestLMTP_ReplyPerRecipient(t *testing.T) {
	const begin = `S: 220 ready
		C: LHLO localhost
		S: 250-mx
		S: 250 PIPELINING
		C: MAIL *
		C: RCPT *
		C: RCPT *
		C: RCPT *
		C: DATA
		S: 250 ok
	`
	for _, tc := range []struct{ name, script, kind, out string }{
		{"all", "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 a\nS: 250 b\nS: 250 c\n" + bye, "ok", "+++"},
		{"middle one refused at RCPT", "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go\nC.\nS: 250 a\nS: 250 c\n" + bye, "partial", "+p+"},
		{"refused after the text", "S: 250 ok\nS: 250 no\nS: 250 ok\nS: 354 go\nC.\nS: 250 a\nS: 452 full\nS: 552 full\n" + bye, "partial", "+tp"},
		{"all refused after the text", "S: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go\nC.\nS: 452 full\nS: 552 full\n" + bye, "none", "tpp"},
		{"all refused before", "S: 550 no\nS: 550 no\nS: 450 no\nS: 503 no\n" + bye, "none", "ppt"},
		{"cut between the replies", "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 a\nCLOSE", "uncertain", "+??"},
		{"421 between the replies", "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC.\nS: 250 a\nS: 421 going\n", "uncertain", "+t?"},
		{"354 without recipients", "S: 550 no\nS: 550 no\nS: 550 no\nS: 354 go\n", "none", "ppp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := openAs(t, "lmtp", begin+tc.script, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := send(t, c, envelope("a@example.org", "b@example.org", "c@example.org"))
			wantKind(t, err, tc.kind)
			wantOutcome(t, r, tc.out)
			_ = c.Close()
		})
	}
}

// A server that refuses MAIL, or a part of the text, and takes what follows all the same may have committed it or not.
func TestD6_ContradictionIsUncertain(t *testing.T) {
	const group = "C: MAIL *\nC: RCPT *\nC: RCPT *\n"
	for _, tc := range []struct{ name, verb, script, kind, out string }{
		{"BDAT after MAIL was refused", "EHLO", group + "C: BDAT *\nC{28}\nS: 451 later\nS: 250 ok\nS: 250 ok\nS: 250 queued\nEOF\n", "uncertain", "??"},
		{"the same over LMTP", "LHLO", group + "C: BDAT *\nC{28}\nS: 451 later\nS: 250 ok\nS: 250 ok\nS: 250 queued\nEOF\n", "uncertain", "??"},
		{"the same, and the text is refused", "EHLO", group + "C: BDAT *\nC{28}\nS: 451 later\nS: 250 ok\nS: 250 ok\nS: 503 no\n" + bye, "error", "tt"},
		{"the same, nobody accepted", "EHLO", group + "C: BDAT *\nC{28}\nS: 451 later\nS: 503 no\nS: 503 no\nS: 250 what\n" + bye, "error", "tt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := map[string]wire.Protocol{"EHLO": wire.SMTP, "LHLO": wire.LMTP}[tc.verb]
			c, err := openAs(t, p, "S: 220 hi\nC: "+tc.verb+" *\nS: 250-mx\nS: 250-CHUNKING\nS: 250 PIPELINING\n"+tc.script, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := send(t, c, envelope("a@example.org", "b@example.org"))
			wantKind(t, err, tc.kind)
			wantOutcome(t, r, tc.out)
			_ = c.Close()
		})
	}
	t.Run("DATA after MAIL was refused: no empty message", func(t *testing.T) {
		c := mustOpen(t, hello("PIPELINING")+"C: MAIL *\nC: RCPT *\nC: DATA\nS: 451 later\nS: 250 ok\nS: 354 go\nEOF\n", nil)
		r, err := send(t, c, envelope("a@example.org"))
		wantKind(t, err, "error")
		wantOutcome(t, r, "t")
		_ = c.Close()
	})
}
