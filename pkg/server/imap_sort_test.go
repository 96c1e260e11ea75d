package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

func TestBaseSubject(t *testing.T) {
	tests := []struct {
		subject, want string
		reply         bool
	}{
		{"Hello", "hello", false},
		{"", "", false},
		{"Re: Hello", "hello", true},
		{"RE : Hello", "hello", true},
		{"Fw: Fwd: re: Hello", "hello", true},
		{"Re[2]: Hello", "hello", true},
		{"Re [2] : Hello", "hello", true},
		{"[list] Re: Hello", "hello", true},
		{"Re: [list] Hello", "hello", true},
		{"[list] Hello", "hello", false},
		{"[a][b] [c] Hello (fwd)", "hello", true},
		{"[only]", "[only]", false},
		{"[a] [only]", "[only]", false},
		{"Hello (fwd) (FWD) ", "hello", true},
		{"[Fwd: Hello]", "hello", true},
		{"[Fwd: Re: [x] [fwd: Hello (fwd)]]", "hello", true},
		{"Re: [Fwd: Hello", "[fwd: hello", true},
		{"  Hello\t  there ", "hello there", false},
		{"=?utf-8?q?Re=3A_H=C3=A4llo?=", "hällo", true},
		{"Regarding: x", "regarding: x", false},
		{"re", "re", false},
		{"Re:", "", true},
		{"[[x] y", "[[x] y", false},
	}
	for _, tt := range tests {
		if got, reply := baseSubject(tt.subject); got != tt.want || reply != tt.reply {
			t.Errorf("%q: got %q, %v, want %q, %v", tt.subject, got, reply, tt.want, tt.reply)
		}
	}
}

// box is a mailbox of headers, its UIDs and dates in their order.
type box []string

func (b box) list() []MessageInfo {
	var list []MessageInfo
	for i, text := range b {
		list = append(list, MessageInfo{UID: uint32(i + 1), Size: int64(len(text)), Date: time.Date(2020, 1, 1, i, 0, 0, 0, time.UTC)})
	}
	return list
}

func (b box) open(uid uint32) (Body, error) {
	text := b[uid-1]
	if text == "gone" {
		return nil, ErrNoMessage
	}
	return bodyOf(wireForm(text) + "\r\n"), nil
}

func sortKeys(t *testing.T, text string) []sortKey {
	t.Helper()
	keys, err := imapParseSort(imapwire.NewTextDecoder([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSort(t *testing.T) {
	b := box{
		"Date: 3 Jan 2020 10:00:00 +0000\nFrom: Zed <bob@example.org>\nTo: x@example.org\nSubject: b\n",
		"Date: 3 Jan 2020 10:00:00 +0500\nFrom: alice@example.org\nCc: y@example.org\nSubject: Re: A\n",
		"From: =?utf-8?q?=C3=84nne?= <CAROL@example.org>\nSubject: [x] c\nTo: group: a@b;\n",
		"gone",
	}
	tests := []struct{ keys, want string }{
		{"(ARRIVAL)", "[0 1 2 3]"},
		{"(REVERSE ARRIVAL)", "[3 2 1 0]"},
		{"(DATE)", "[2 3 1 0]"},
		{"(SUBJECT)", "[3 1 0 2]"},
		{"(REVERSE SUBJECT)", "[2 0 1 3]"},
		{"(FROM)", "[3 1 0 2]"},
		{"(TO)", "[1 3 2 0]"},
		{"(CC)", "[0 2 3 1]"},
		{"(CC SUBJECT)", "[3 0 2 1]"},
		{"(DISPLAYFROM)", "[3 1 0 2]"},
		{"(DISPLAYTO)", "[1 3 2 0]"},
		{"(SIZE)", "[3 2 0 1]"}, // two are of one size,
	}
	for _, tt := range tests {
		got, err := imapSort(sortKeys(t, tt.keys), b.list(), b.open)
		if err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("%s: got %v, %v, want %s", tt.keys, got, err, tt.want)
		}
	}
	letters := box{"From: a_b@x\n", "From: AZb@x\n", "From: 1b@x\n"}
	if got, err := imapSort(sortKeys(t, "(FROM)"), letters.list(), letters.open); err != nil || fmt.Sprint(got) != "[2 1 0]" {
		t.Errorf("letters: got %v, %v, want [2 1 0]", got, err)
	}
	for _, text := range []string{"()", "(REVERSE)", "(REVERSE REVERSE DATE)", "(FLOWERS)", "DATE", "(DATE"} {
		if keys, err := imapParseSort(imapwire.NewTextDecoder([]byte(text))); err == nil {
			t.Errorf("%s: got %v, want an error", text, keys)
		}
	}
}

// mailOf makes a header for threading: "id subject refs…".
func mailOf(line string) string {
	words := strings.Split(line, "|")
	text := "Date: 1 Jan 2020 00:00:00 +0000\nMessage-ID: <" + words[0] + "@x>\nSubject: " + words[1] + "\n"
	if len(words) > 2 {
		text += "References:"
		for _, r := range strings.Fields(words[2]) {
			text += " <" + r + "@x>"
		}
		text += "\n"
	}
	return text
}

func TestThread(t *testing.T) {
	tests := []struct {
		name, algorithm string
		mails           []string
		want            string
	}{
		{"empty", "REFERENCES", nil, ""},
		{"one", "REFERENCES", []string{"a|s"}, "(1)"},
		{"chain", "REFERENCES", []string{"a|s", "b|re: s|a", "c|re: s|a b"}, "(1 2 3)"},
		{"chain backwards", "REFERENCES", []string{"c|re: s|a b", "b|re: s|a", "a|s"}, "(3 2 1)"},
		{"branches", "REFERENCES", []string{"a|s", "b|x|a", "c|y|a", "d|z|a c", "e|w|a c"}, "(1 (2)(3 (4)(5)))"},
		{"RFC 5256 §4", "REFERENCES", []string{"2|r", "3|a", "6|b|3", "4|c|6", "23|d|4", "44|e|6", "7|f|44", "96|g|7"}, "(1)(2 3 (4 5)(6 7 8))"},
		{"parent missing, one child", "REFERENCES", []string{"b|s|a", "c|t"}, "(1)(2)"},
		{"parent missing, two children", "REFERENCES", []string{"b|s|a", "c|t|a"}, "((1)(2))"},
		{"missing between", "REFERENCES", []string{"a|s", "c|t|a b", "d|u|a b"}, "(1 (2)(3))"},
		{"missing on missing", "REFERENCES", []string{"c|t|z a b", "d|u|z a", "e|v|z y"}, "((1)(2)(3))"},
		{"loop", "REFERENCES", []string{"a|s|b", "b|t|a"}, "(2 1)"},
		{"self", "REFERENCES", []string{"a|s|a"}, "(1)"},
		{"duplicate ID", "REFERENCES", []string{"a|s", "a|t", "b|u|a"}, "(1 3)(2)"},
		{"same subject, reply", "REFERENCES", []string{"a|s", "b|Re: s"}, "(1 2)"},
		{"same subject, reply first", "REFERENCES", []string{"b|Re: s", "a|s"}, "(2 1)"},
		{"same subject, no reply", "REFERENCES", []string{"a|s", "b|s", "c|Re: s"}, "((1)(2)(3))"},
		{"same subject below missing", "REFERENCES", []string{"a|s|z", "b|x|z", "c|re: s"}, "((1)(2)(3))"},
		{"two missing of one subject", "REFERENCES", []string{"a|s|z", "b|s|z", "c|s|y", "d|s|y"}, "((1)(2)(3)(4))"},
		{"no subject", "REFERENCES", []string{"a|", "b|"}, "(1)(2)"},
		{"truncated references", "REFERENCES", []string{"a|s", "b|x|a", "c|y|b", "d|z|a c"}, "(1 2 3 4)"},
		{"subjects", "ORDEREDSUBJECT", []string{"a|s", "b|t", "c|re: s", "d|[x] S (fwd)", "e|re: t"}, "(1 (3)(4))(2 5)"},
	}
	for _, tt := range tests {
		var b box
		for _, line := range tt.mails {
			b = append(b, mailOf(line))
		}
		got, err := imapThread(tt.algorithm, b.list(), b.open, func(i int) uint32 { return uint32(i + 1) })
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	if _, err := imapThread("REFS", nil, nil, nil); err == nil {
		t.Error("an algorithm that does not exist was accepted")
	}
}

// TestThreadInReplyTo: it counts only where References has nothing.
func TestThreadInReplyTo(t *testing.T) {
	b := box{"Message-ID: <a@x>\n", "Message-ID: <b@x>\nIn-Reply-To: Your letter <\"a\"@x> of 1 May\n", "Message-ID: <c@x>\nReferences: none\nIn-Reply-To: <b@x>\n"}
	if got, err := imapThread("REFERENCES", b.list(), b.open, func(i int) uint32 { return uint32(i + 1) }); err != nil || string(got) != "(1 2 3)" {
		t.Errorf("got %s, %v, want (1 2 3)", got, err)
	}
}

// TestS4_ThreadDepth: as deep as the mailbox is long, in both orders, without a stack and in linear time.
func TestS4_ThreadDepth(t *testing.T) {
	for _, order := range []string{"forwards", "backwards", "odd ones first"} {
		linear(t, order, 3000, func(n int) {
			got := string(writeThreads(byReferences(chainOf(n, order)), func(i int) uint32 { return uint32(i + 1) }))
			if strings.Count(got, "(") != 1 || strings.Count(got, " ") != n-1 {
				t.Fatalf("%s: got %.60s…, want one thread of %d", order, got, n)
			}
		})
	}
}

// chainOf is a chain of replies.
func chainOf(n int, order string) []threadInput {
	at := make([]int, n)
	for i := range at {
		switch at[i] = i; {
		case order == "backwards":
			at[i] = n - 1 - i
		case order == "odd ones first" && i < n/2:
			at[i] = 2*i + 1
		case order == "odd ones first":
			at[i] = 2 * (i - n/2)
		}
	}
	input := make([]threadInput, n)
	for i, k := range at {
		input[i] = threadInput{node: &threadNode{index: i}, id: fmt.Sprint(k)}
		if k > 0 {
			input[i].refs = []string{fmt.Sprint(k - 1)}
		}
	}
	return input
}

// FuzzThread: whatever the references, every message stands in the answer once, and the parentheses fit.
func FuzzThread(f *testing.F) {
	f.Add("a|s\nb|re: s|a\nc|x|b a")
	f.Add("a|s|b\nb|s|a\na|s|z y z")
	f.Fuzz(func(t *testing.T, text string) {
		var b box
		for _, line := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n") {
			if strings.Contains(line, "|") && len(b) < 50 {
				b = append(b, mailOf(line))
			}
		}
		for _, algorithm := range imapThreadAlgorithms {
			got, err := imapThread(algorithm, b.list(), b.open, func(i int) uint32 { return uint32(i + 1) })
			if err != nil {
				t.Fatal(err)
			}
			depth := 0
			for _, c := range got {
				if c == '(' {
					depth++
				} else if c == ')' {
					depth--
				}
				if depth < 0 {
					t.Fatalf("got %s, parentheses do not fit", got)
				}
			}
			seen := strings.FieldsFunc(string(got), func(r rune) bool { return strings.ContainsRune("() ", r) })
			slices.Sort(seen)
			if seen = slices.Compact(seen); depth != 0 || len(seen) != len(b) {
				t.Errorf("%s: got %s for %d messages", algorithm, got, len(b))
			}
		}
	})
}
