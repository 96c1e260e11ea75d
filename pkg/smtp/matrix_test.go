package smtp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// fate is what the server says about one message to three recipients, by the first digit of its replies: to RCPT, to
// DATA (3: go on) and to the end of the text; dot[0] is the only one outside LMTP.
type fate struct {
	rcpt, dot [3]int
	data      int
}

// model is the outcome that such a fate has, thought out apart from the engine.
type model struct {
	codes  [3]int   // the reply that decided for each recipient
	phases [3]Phase // where it came
	kind   string
	temp   bool // of the error
}

func (f fate) model(m mode, lmtp bool) model {
	var out model
	taken := 0
	for i, class := range f.rcpt {
		out.codes[i], out.phases[i] = class*100+50+i, PhaseRcpt
		if class != 2 {
			continue
		}
		out.phases[i] = PhaseFinal
		switch {
		case !m.chunk && f.data != 3:
			out.codes[i], out.phases[i] = f.data*100+51, PhaseData
		case lmtp:
			out.codes[i] = f.dot[i]*100 + 60 + i
		default:
			out.codes[i] = f.dot[0]*100 + 60
		}
		taken++
	}
	accepted, temporary := 0, 0
	for _, code := range out.codes {
		switch code / 100 {
		case 2:
			accepted++
		case 4:
			temporary++
		}
	}
	switch {
	case accepted == 3:
		out.kind = "ok"
	case accepted > 0:
		out.kind, out.temp = "partial", temporary == 3-accepted
	case taken == 0, lmtp && (m.chunk || f.data == 3):
		out.kind, out.temp = "none", temporary > 0
	default: // the message as a whole was refused
		out.kind = "error"
		i := slices.Index(f.rcpt[:], 2)
		out.temp = out.codes[i]/100 == 4
	}
	return out
}

// server plays the fate.
func (f fate) server(m mode) *server {
	s := newServer(append([]string{"8BITMIME"}, m.keywords...)...)
	said := 0
	s.refuse = func(line string) string {
		switch {
		case strings.HasPrefix(line, "RCPT"):
			if n, _ := fmt.Sscanf(line, "RCPT TO:<r%d@", &said); n == 1 && f.rcpt[said] != 2 {
				return fmt.Sprintf("%d no", f.rcpt[said]*100+50+said)
			}
		case line == "DATA" && f.data != 3 && len(s.rcpt) > 0:
			return fmt.Sprintf("%d no", f.data*100+51)
		}
		return ""
	}
	s.final = func(rcpt string) string {
		i := 0
		_, _ = fmt.Sscanf(rcpt, "r%d@", &i)
		return map[bool]string{false: fmt.Sprintf("%d no", f.dot[i]*100+60+i)}[f.dot[i] == 2]
	}
	return s
}

// fates calls f with every fate that can be told apart.
func fates(m mode, lmtp bool, f func(fate)) {
	digits := func(n int) [3]int { return [3]int{[]int{2, 4, 5}[n%3], []int{2, 4, 5}[n/3%3], []int{2, 4, 5}[n/9%3]} }
	dots, datas := 3, []int{3, 4, 5}
	if lmtp {
		dots = 27
	}
	if m.chunk {
		datas = datas[:1]
	}
	for r := range 27 {
		for _, data := range datas {
			for d := range dots {
				f(fate{rcpt: digits(r), data: data, dot: digits(d)})
			}
		}
	}
}

// TestD1_Matrix tries every combination of 2yz, 4yz and 5yz for three recipients at RCPT, at DATA and at the end of the
// text, and sends a second message after each: the connection must be in step.
func TestD1_Matrix(t *testing.T) {
	for _, m := range modes {
		for _, p := range []wire.Protocol{wire.SMTP, wire.LMTP} {
			t.Run(string(p)+" "+m.name, func(t *testing.T) {
				tried := 0
				fates(m, p == wire.LMTP, func(f fate) {
					tried++
					tryFate(t, f, m, p)
				})
				t.Logf("%d combinations", tried)
			})
		}
	}
}

func tryFate(t *testing.T, f fate, m mode, p wire.Protocol) {
	t.Helper()
	s := f.server(m)
	c := clientOf(t, &turns{server: s}, p)
	r, err := c.Send(bg(t), envelope("r0@example.org", "r1@example.org", "r2@example.org"), strings.NewReader(testBody))
	want := f.model(m, p == wire.LMTP)
	if kind(err) != want.kind {
		t.Errorf("%+v: error is %s (%v), want %s", f, kind(err), err, want.kind)
	}
	var temp interface{ Temporary() bool }
	if err != nil && (!errors.As(err, &temp) || temp.Temporary() != want.temp) {
		t.Errorf("%+v: %v: temporary is not %v", f, err, want.temp)
	}
	var kept []string
	for i, one := range r.Rcpt {
		if want.codes[i]/100 == 2 {
			kept = append(kept, "Subject: hi "+one.Addr)
			if one.Err != nil || one.Reply.Code != 250 || one.Phase() != PhaseFinal {
				t.Errorf("%+v: recipient %d: %+v, want it accepted", f, i, one)
			}
			continue
		}
		if one.Err == nil || one.Err.Code != want.codes[i] || one.Reply.Code != want.codes[i] || one.Phase() != want.phases[i] || one.Lost {
			t.Errorf("%+v: recipient %d: %+v, want %d at %s", f, i, one, want.codes[i], want.phases[i])
		}
	}
	if !slices.Equal(s.kept, kept) {
		t.Errorf("%+v: the server keeps %q, the client believes %q", f, s.kept, kept)
	}
	s.refuse, s.final, s.kept = nil, nil, nil
	if _, err := send(t, c, envelope("bob@example.org")); err != nil || len(s.kept) != 1 {
		t.Errorf("%+v: the next message: %v, the server keeps %q", f, err, s.kept)
	}
}
