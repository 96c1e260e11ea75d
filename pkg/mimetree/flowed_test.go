package mimetree

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFlowed(t *testing.T) {
	tests := []struct {
		name, in, want string
		delSp          bool
	}{
		{"paragraph", "one \ntwo \nthree\nfour\n", "one two three\nfour\n", false},
		{"CRLF", "one \r\ntwo\r\n", "one two\n", false},
		{"delsp", "日 \n本\n", "日本\n", true},
		{"stuffed", " From here \n  two\n >x\n", "From here  two\n>x\n", false},
		{"quoted", "> one \n> two\n>> three \n>> four\nfive\n", "> one two\n>> three four\nfive\n", false},
		{"depth changes in a paragraph", "> one \n>> two \nthree\n", "> one \n>> two \nthree\n", false},
		{"quotes stuffed", ">>  one \n>>two\n", ">>  one two\n", false},
		{"empty quoted line", "> one\n>\n> two\n", "> one\n>\n> two\n", false},
		{"signature", "bye \n-- \nalice\n", "bye \n-- \nalice\n", false},
		{"signature quoted", "> bye \n> -- \n> alice\n", "> bye \n> -- \n> alice\n", false},
		{"signature stuffed", "x\n -- \nalice\n", "x\n-- \nalice\n", false},
		{"two blanks at the end", "one  \ntwo\n", "one  two\n", false},
		{"no line end", "one \ntwo", "one two", false},
		{"flows into nothing", "one \n", "one \n", false},
		{"flows into nothing, no line end", "one ", "one ", false},
		{"blank line", "one\n\n \ntwo\n", "one\n\n\ntwo\n", false},
		{"empty", "", "", false},
		{"long", strings.Repeat("x ", 5000) + "\ny\n", strings.Repeat("x ", 5000) + "y\n", false},
	}
	for _, tt := range tests {
		for how, r := range map[string]io.Reader{"at once": strings.NewReader(tt.in), "by octet": iotest.OneByteReader(strings.NewReader(tt.in))} {
			got, err := io.ReadAll(NewFlowedReader(r, tt.delSp))
			if err != nil || string(got) != tt.want {
				t.Errorf("%s %s: got %q, %v, want %q", tt.name, how, clip(got), err, clip([]byte(tt.want)))
			}
		}
	}
	broken := errors.New("broken")
	if got, err := io.ReadAll(NewFlowedReader(io.MultiReader(strings.NewReader("one \n"), iotest.ErrReader(broken)), false)); !errors.Is(err, broken) {
		t.Errorf("got %q, %v", got, err)
	}
	for name, unit := range map[string]string{"flowing": "x \n", "marks": ">", "blanks": " ", "marked lines": ">\n>> \n"} {
		linear(t, name, func(n int) {
			if _, err := io.Copy(io.Discard, NewFlowedReader(strings.NewReader(strings.Repeat(unit, n/len(unit))), false)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPartFlowed(t *testing.T) {
	for in, want := range map[string][2]bool{
		"text/plain; format=Flowed":            {true, false},
		"text/plain; format=flowed; DelSp=YES": {true, true},
		"text/html; format=flowed":             {false, false},
		"text/plain; delsp=yes":                {false, false},
	} {
		var p Part
		p.MediaType, p.Params, _ = ParseMediaType(in)
		if flowed, delSp := p.Flowed(); flowed != want[0] || delSp != want[1] {
			t.Errorf("%s: got %v %v, want %v", in, flowed, delSp, want)
		}
	}
}
