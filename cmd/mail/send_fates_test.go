package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mail-toolkit/mail/pkg/server"
)

// fate is what the server says about one message to three recipients, by the first digit of its replies: to RCPT, to
// DATA (3: go on) and to the end of the text; dot[0] is the only one outside LMTP.
type fate struct {
	rcpt, dot [3]int
	data      int
}

// fates are all that can be told apart.
func fates(chunking, lmtp bool) (all []fate) {
	digits := func(n int) [3]int { return [3]int{[]int{2, 4, 5}[n%3], []int{2, 4, 5}[n/3%3], []int{2, 4, 5}[n/9%3]} }
	seen := map[string]bool{}
	for n := range 27 * 3 * 27 {
		f := fate{rcpt: digits(n % 27), data: 3 + n/27%3, dot: digits(n / 81)}
		if chunking && f.data != 3 || !lmtp && n/81 >= 3 {
			continue
		}
		key := fmt.Sprint(f.lines(lmtp))
		if !seen[key] {
			seen[key] = true
			all = append(all, f)
		}
	}
	return all
}

// lines are the status, code and phase of each recipient.
func (f fate) lines(lmtp bool) (lines [3]string) {
	for i, class := range f.rcpt {
		code, phase := class*100+50+i, "rcpt"
		switch {
		case class != 2:
		case f.data != 3:
			code, phase = f.data*100+51, "data"
		case lmtp && f.dot[i] != 2:
			code, phase = f.dot[i]*100+60+i, "final"
		case !lmtp && f.dot[0] != 2:
			code, phase = f.dot[0]*100+60, "final"
		default:
			code, phase = 250, "final"
		}
		lines[i] = fmt.Sprintf("%s %d %s", map[int]string{2: "accepted", 4: "deferred", 5: "refused"}[code/100], code, phase)
	}
	return lines
}

// code is the exit code of a run with this message alone.
func (f fate) code(lmtp bool) int {
	lines := fmt.Sprint(f.lines(lmtp))
	accepted := strings.Count(lines, "accepted")
	switch {
	case accepted == 3:
		return 0
	case accepted > 0:
		return 4
	case strings.Contains(lines, "deferred"):
		return 75
	case strings.Contains(lines, "data"), strings.Contains(lines, "final") && !lmtp: // the message as a whole
		return 69
	}
	return 67
}

// fateServer plays fates: that of message n is for the sender s<n>@example.org, whose recipients are r0, r1 and r2 at m<n>.test.
type fateServer struct {
	mu    sync.Mutex
	list  []fate
	under map[int64]int // message under way, by session
}

func (s *fateServer) Strike(e server.Event) server.Strike {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Command == "MAIL" {
		n := 0
		_, _ = fmt.Sscanf(e.Arg, "s%d@", &n)
		s.under[e.Session] = n
		return server.Strike{}
	}
	var f fate
	if n := s.under[e.Session]; n < len(s.list) {
		f = s.list[n]
	}
	i := 0
	_, _ = fmt.Sscanf(e.Arg, "r%d@", &i)
	class, code := 2, 0
	switch e.Command {
	case "RCPT":
		class, code = f.rcpt[i], 50+i
	case "DATA":
		if f.data != 3 && slices.Contains(f.rcpt[:], 2) {
			class, code = f.data, 51
		}
	case "EOM":
		class, code = f.dot[i], 60+i // outside LMTP the argument is the sender, and i 0
	}
	if class == 2 {
		return server.Strike{}
	}
	return server.Strike{Reply: fmt.Sprintf("%d %d.9.%d words", class*100+code, class, code)}
}

// fateLetter is message n of an mboxrd stream.
func fateLetter(n int) string {
	return fmt.Sprintf("From s Fri Nov 20 10:00:00 2026\nFrom: s%d@example.org\nTo: r0@m%[1]d.test, r1@m%[1]d.test, r2@m%[1]d.test\nSubject: %04[1]d\n\nx\n\n", n)
}

// wantFates compares result lines with the fates of the messages with these numbers.
func wantFates(t *testing.T, got []sentJSON, list []fate, numbers []int, lmtp bool) {
	t.Helper()
	seen := map[string]string{}
	for _, line := range got {
		if _, twice := seen[line.Recipient]; twice {
			t.Errorf("two lines for %s", line.Recipient)
		}
		seen[line.Recipient] = fmt.Sprintf("%s %d %s", line.Status, line.Code, line.Phase)
		if enhanced := fmt.Sprintf("%d.9.%d", line.Code/100, line.Code%100); line.Code != 250 && line.Enhanced != enhanced || line.Text == "" || line.Uncertain {
			t.Errorf("%+v, want enhanced code %s, a text, and certainty", line, enhanced)
		}
	}
	for _, n := range numbers {
		for i, want := range list[n].lines(lmtp) {
			addr := fmt.Sprintf("r%d@m%d.test", i, n)
			if seen[addr] != want {
				t.Errorf("%+v: %s: %q, want %q", list[n], addr, seen[addr], want)
			}
			delete(seen, addr)
		}
	}
	if len(seen) > 0 {
		t.Errorf("lines about others: %v", seen)
	}
}

// fateHost serves fates; kept is for how many recipients it has got messages.
func fateHost(t *testing.T, scheme string, without []string, list []fate) (at string, kept func() int) {
	t.Helper()
	srv, err := server.Start(t.Context(), server.Options{SMTP: "127.0.0.1:0", LMTP: "127.0.0.1:0", Without: without,
		Users: []server.User{{Name: "r0"}, {Name: "r1"}, {Name: "r2"}}, Faults: &fateServer{list: list, under: map[int64]int{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return scheme + srv.Addr(scheme[:4]), func() int {
		return len(stored(t, srv, "r0", "INBOX")) + len(stored(t, srv, "r1", "INBOX")) + len(stored(t, srv, "r2", "INBOX"))
	}
}

// fateModes are the ways in which a message travels.
var fateModes = []struct {
	name    string
	scheme  string
	without []string
}{
	{"SMTP step by step", "smtp+plain://", []string{"PIPELINING", "CHUNKING"}},
	{"SMTP pipelined", "smtp+plain://", []string{"CHUNKING"}},
	{"SMTP chunk", "smtp+plain://", []string{"PIPELINING"}},
	{"SMTP pipelined chunk", "smtp+plain://", nil},
	{"LMTP step by step", "lmtp+plain://", []string{"PIPELINING", "CHUNKING"}},
	{"LMTP pipelined", "lmtp+plain://", []string{"CHUNKING"}},
	{"LMTP chunk", "lmtp+plain://", []string{"PIPELINING"}},
	{"LMTP pipelined chunk", "lmtp+plain://", nil},
}

// TestD1_SendExitAndResults tries every combination of 2yz, 4yz and 5yz for three recipients at RCPT, at DATA and at the
// end of the text: each in a run of its own, and all in one stream, over one connection and over four.
func TestD1_SendExitAndResults(t *testing.T) {
	for _, mode := range fateModes {
		t.Run(mode.name, func(t *testing.T) {
			lmtp := strings.HasPrefix(mode.scheme, "lmtp")
			list := fates(!slices.Contains(mode.without, "CHUNKING"), lmtp)
			at, kept := fateHost(t, mode.scheme, mode.without, list)
			accepted := 0
			for n, f := range list {
				if testing.Short() && n%7 != 0 {
					continue
				}
				r := sendWith(t, fateLetter(n), "--server", at, "--json")
				var got []sentJSON
				for line := range strings.Lines(r.stdout) {
					var one sentJSON
					if err := json.Unmarshal([]byte(line), &one); err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					got = append(got, one)
				}
				wantFates(t, got, list, []int{n}, lmtp)
				if want := f.code(lmtp); r.code != want || (r.stderr == "") != (want == 0) {
					t.Errorf("%+v: exit %d, want %d; stderr %q", f, r.code, want, r.stderr)
				}
				accepted += strings.Count(fmt.Sprint(f.lines(lmtp)), "accepted")
			}
			if got := kept(); got != accepted {
				t.Errorf("the server has messages for %d recipients, and accepted %d", got, accepted)
			}
			for _, words := range [][]string{nil, {"-j", "4"}} {
				at, kept := fateHost(t, mode.scheme, mode.without, list)
				got := testStreamOfFates(t, list, lmtp, append([]string{"--server", at}, words...))
				if kept := kept(); kept != got {
					t.Errorf("stream %q: the server has messages for %d recipients, and accepted %d", words, kept, got)
				}
			}
			t.Logf("%d combinations", len(list))
		})
	}
}

// testStreamOfFates sends all in one run and returns how many recipients are to be accepted.
func testStreamOfFates(t *testing.T, list []fate, lmtp bool, words []string) (accepted int) {
	t.Helper()
	var stream strings.Builder
	var numbers []int
	for n, f := range list {
		stream.WriteString(fateLetter(n))
		numbers = append(numbers, n)
		accepted += strings.Count(fmt.Sprint(f.lines(lmtp)), "accepted")
	}
	results := filepath.Join(t.TempDir(), "results")
	r := sendWith(t, stream.String(), append(words, "--results", results)...)
	if r.code != 4 || r.stdout != "" {
		t.Errorf("stream %q: exit %d, stdout %q, want 4 and nothing", words, r.code, r.stdout)
	}
	got := resultLines(t, results)
	wantFates(t, got, list, numbers, lmtp)
	for _, line := range got {
		if want := fmt.Sprintf("@m%d.test", line.Message-1); !strings.HasSuffix(line.Recipient, want) {
			t.Errorf("%+v: the number is not that of the message", line)
		}
	}
	return accepted
}

// TestD1_SendExitOfSeveral tries streams of two messages: the exit code says whether some, none or all recipients were
// accepted, and when none was whether another try may help, in whatever order they come.
func TestD1_SendExitOfSeveral(t *testing.T) {
	kinds := map[string]fate{
		"accepted":         {rcpt: [3]int{2, 2, 2}, data: 3, dot: [3]int{2}},
		"some":             {rcpt: [3]int{2, 5, 4}, data: 3, dot: [3]int{2}},
		"refused":          {rcpt: [3]int{5, 5, 5}, data: 3},
		"deferred":         {rcpt: [3]int{4, 4, 4}, data: 3},
		"text refused":     {rcpt: [3]int{2, 2, 2}, data: 3, dot: [3]int{5}},
		"text put off":     {rcpt: [3]int{2, 2, 2}, data: 3, dot: [3]int{4}},
		"refused and late": {rcpt: [3]int{5, 4, 5}, data: 3},
	}
	for one, a := range kinds {
		for two, b := range kinds {
			t.Run(one+", "+two, func(t *testing.T) {
				at, _ := fateHost(t, "smtp+plain://", nil, []fate{a, b})
				r := sendWith(t, fateLetter(0)+fateLetter(1), "--server", at)
				if want := codeOfTwo(a.code(false), b.code(false)); r.code != want {
					t.Errorf("exit %d, want %d; stderr %q", r.code, want, r.stderr)
				}
			})
		}
	}
}

// codeOfTwo is the exit code for two messages that have these alone.
func codeOfTwo(a, b int) int {
	accepts := func(code int) bool { return code == 0 || code == 4 }
	switch {
	case a == b:
		return a
	case accepts(a) || accepts(b):
		return 4
	case a == 75 || b == 75:
		return 75
	}
	return a
}
