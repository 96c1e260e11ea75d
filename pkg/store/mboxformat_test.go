package store

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// TestUnquoteMbox_Cases takes quotes off.
func TestUnquoteMbox_Cases(t *testing.T) {
	long := strings.Repeat(">", 70_000)
	for name, c := range map[string]struct{ quoted, want string }{
		"nothing":          {"", ""},
		"first line":       {">From a\n", "From a\n"},
		"two quotes":       {"x\n>>From a\n", "x\n>From a\n"},
		"not at the start": {"x >From a\n", "x >From a\n"},
		"other word":       {">Fromage\n", ">Fromage\n"},
		"colon":            {">From: a\n", ">From: a\n"},
		"cut":              {"x\n>From", "x\n>From"},
		"at the end":       {"x\n>From ", "x\nFrom "},
		"two in a row":     {">From a\n>From b\n", "From a\nFrom b\n"},
		"many quotes":      {"x\n" + long + "From a", "x\n" + long[1:] + "From a"},
		"quotes alone":     {long, long},
		"after a quote":    {">>From >From \n", ">From >From \n"},
	} {
		for how, r := range map[string]io.Reader{"whole": strings.NewReader(c.quoted), "halves": iotest.HalfReader(strings.NewReader(c.quoted)),
			"octets": iotest.OneByteReader(strings.NewReader(c.quoted)), "with its end": iotest.DataErrReader(strings.NewReader(c.quoted))} {
			got, err := io.ReadAll(UnquoteMbox(r))
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %s: got %.40q (%d octets), %v, want %.40q", name, how, got, len(got), err, c.want)
			}
		}
	}
	if _, err := io.ReadAll(UnquoteMbox(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))))); err != iotest.ErrTimeout {
		t.Errorf("got error %v, want that of the reader", err)
	}
}

// TestUnquoteMbox_Random undoes what QuoteMbox does, over lines that look like "From ".
func TestUnquoteMbox_Random(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	words := []string{"From ", ">", "\n", "From", " ", "x", "\r\n", ">From ", strings.Repeat(">", 40_000), strings.Repeat("y", 33_000)}
	for range 3000 {
		var b strings.Builder
		for range rnd.IntN(12) {
			b.WriteString(words[rnd.IntN(len(words))])
		}
		var quoted bytes.Buffer
		if err := QuoteMbox(&quoted, strings.NewReader(b.String())); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(quoted.String()) {
			if strings.HasPrefix(line, "From ") {
				t.Fatalf("%.60q: a line begins with From", b.String())
			}
		}
		var r io.Reader = &quoted
		if rnd.IntN(2) == 0 {
			r = iotest.HalfReader(r)
		}
		if got, err := io.ReadAll(UnquoteMbox(r)); err != nil || string(got) != b.String() {
			t.Fatalf("%.60q: got %.60q, %v", b.String(), got, err)
		}
	}
}
