package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// searchMessage is the message that searches are tried on.
var searchMessage = wireForm(`Date: Tue, 1 Feb 1994 23:30:00 -0800
From: =?iso-8859-1?q?J=FCrgen?= <juergen@example.org>
To: Alice
	Smith <alice@example.org>
Cc: bob@example.org
Subject: =?utf-8?b?R3LDvMOfZQ==?= from afar
X-Empty:
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=limit

preamble word
--limit
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

na=EFve caf=E9 soft=
break
--limit
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

zqPOr8+DzrXPhs6/z4I=
--limit
Content-Type: application/pdf; name=secret.pdf

attached
--limit
Content-Type: message/rfc822

Subject: embedded

inner text
--limit--
`)

var searchInfo = MessageInfo{UID: 42, ModSeq: 700, Flags: []string{"$Forwarded", `\Answered`, `\Seen`},
	Date: time.Date(1994, 2, 3, 1, 0, 0, 0, time.FixedZone("", 3*3600)), Size: 1000, ID: "Mabc"}

func searchIn() searchContext {
	return searchContext{MaxSeq: 9, MaxUID: 50, Saved: imapwire.SetOf[imapwire.UID](41, 42), Now: searchInfo.Date.Add(time.Hour),
		Recent: func(uid uint32) bool { return uid == 42 }}
}

// parsed parses a search; literals are written as "{n}\r\n".
func parsed(keys string, o searchContext) (imapQuery, error) {
	d := imapwire.NewDecoder(lineSource{strings.NewReader(keys + "\r\n")}, nil)
	if err := d.Next(); err != nil {
		return imapQuery{}, err
	}
	return imapParseSearch(d, o)
}

func TestSearch(t *testing.T) {
	tests := []struct {
		keys string
		want bool
	}{
		{"ALL", true}, {"all", true}, {"SEEN", true}, {"UNSEEN", false}, {"ANSWERED", true}, {"UNANSWERED", false}, {"DELETED", false}, {"UNDELETED", true},
		{"DRAFT", false}, {"UNDRAFT", true}, {"FLAGGED", false}, {"UNFLAGGED", true}, {"KEYWORD $forwarded", true}, {"UNKEYWORD $Forwarded", false},
		{"KEYWORD x", false}, {"RECENT", true}, {"OLD", false}, {"NEW", false},
		{"1:9", true}, {"7", true}, {"8", false}, {"1:3,5:6", false}, {"*", false}, {"9:*", false}, {"5:*", true}, {"$", true}, {"NOT $", false},
		{"UID 42", true}, {"UID 1:41", false}, {"UID 43:*", false}, {"UID *:40", true}, {"UID $", true},
		{"LARGER 999", true}, {"LARGER 1000", false}, {"SMALLER 1001", true}, {"SMALLER 1000", false},
		{"SINCE 3-Feb-1994", true}, {"SINCE 4-feb-1994", false}, {"BEFORE 3-Feb-1994", false}, {`BEFORE "4-Feb-1994"`, true}, {"ON 03-FEB-1994", true}, {"ON 2-Feb-1994", false},
		{"SENTON 1-Feb-1994", true}, {"SENTON 2-Feb-1994", false}, {"SENTSINCE 1-Feb-1994", true}, {"SENTBEFORE 2-Feb-1994", true}, {"SENTBEFORE 1-Feb-1994", false},
		{"OLDER 3600", true}, {"OLDER 3601", false}, {"YOUNGER 3600", true}, {"YOUNGER 3599", false},
		{"MODSEQ 700", true}, {"MODSEQ 701", false}, {`MODSEQ "/flags/\\draft" all 620162338`, false}, {"EMAILID Mabc", true}, {"EMAILID mabc", false},
		{"THREADID Tabc", false}, {"THREADID x", false},
		{"FROM JUERGEN@", true}, {"FROM alice", false}, {"TO \"alice smith\"", true}, {"TO bob", false}, {"CC BOB", true}, {"BCC bob", false},
		{"SUBJECT afar", true}, {"SUBJECT {7}\r\nGRÜßE", true}, {`HEADER Message-id "<1@"`, true},
		{`HEADER X-Empty ""`, true}, {`HEADER X-None ""`, false}, {`HEADER Subject ""`, true}, {`CHARSET UTF-8 FROM {7}` + "\r\njürgen", true},
		{"BODY {10}\r\nNAÏVE caf", true}, {"BODY softbreak", true}, {"BODY {8}\r\nσίσε", true}, {"BODY {8}\r\nΣΊΣΕ", true},
		{"BODY afar", false}, {"TEXT afar", true}, {"BODY attached", false}, {"TEXT secret.pdf", true}, {"BODY secret", false}, {"BODY embedded", true},
		{"BODY inner", true}, {"BODY preamble", false}, {`BODY ""`, true}, {"TEXT \"subject: embedded\"", true},
		{"OR SEEN DELETED", true}, {"OR DRAFT DELETED", false}, {"OR (SEEN DRAFT) NOT DELETED", true}, {"NOT (SEEN ANSWERED)", false}, {"(SEEN ANSWERED)", true},
		{"SEEN ANSWERED NOT FROM bob BODY inner", true}, {"SEEN BODY inner BODY nowhere", false}, {"NOT NOT NOT SEEN", false}, {"CHARSET us-ascii ALL", true}, {"SEEN ", true},
		{"OR OR DRAFT DELETED (OR FLAGGED (TEXT inner))", true},
	}
	for _, tt := range tests {
		q, err := parsed(tt.keys, searchIn())
		if err != nil {
			t.Errorf("%s: %v", tt.keys, err)
			continue
		}
		got, err := q.Match(searchInfo, 7, func() (Body, error) { return bodyOf(searchMessage), nil })
		if err != nil || got != tt.want {
			t.Errorf("%s: got %v, %v, want %v", tt.keys, got, err, tt.want)
		}
	}
}

func TestSearchRefused(t *testing.T) {
	tests := []struct{ name, keys, code string }{
		{"charset", "CHARSET KOI8-R TEXT x", "BADCHARSET"},
		{"unknown key", "FLOWERED", ""},
		{"unknown behind a good one", "SEEN FLOWERED (x)", ""},
		{"date", "SINCE 31-Foo-1994", ""},
		{"day", "SINCE 31-Feb-1994", ""},
		{"depth of NOT", strings.Repeat("NOT ", 150) + "SEEN", ""},
		{"depth of OR", strings.Repeat("OR SEEN ", 150) + "SEEN", ""},
		{"depth of lists", strings.Repeat("(", 150) + "SEEN" + strings.Repeat(")", 150), ""},
		{"keys", strings.Repeat("SEEN ", 3000) + "SEEN", ""},
		{"texts", manyTexts(300), ""},
		{"long text", "BODY " + strings.Repeat("x", 5000), ""},
		{"empty list", "()", ""},
		{"entry type", `MODSEQ "/flags/x" some 1`, ""},
	}
	for _, tt := range tests {
		_, err := parsed(tt.keys, searchIn())
		var refused *searchError
		if !errors.As(err, &refused) || refused.Code != tt.code {
			t.Errorf("%s: got %v (%T), want a refusal with code %q", tt.name, err, err, tt.code)
		}
	}
	o := searchIn()
	o.NoCharset = true
	if _, err := parsed("CHARSET UTF-8 ALL", o); err == nil {
		t.Error("CHARSET was accepted where it must not be given")
	}
	for _, keys := range []string{"", "SEEN)", "OR SEEN", "NOT", "FROM", "UID x", "LARGER x", "(SEEN", "YOUNGER 0", "SEEN  (", "1:", "MODSEQ"} {
		if _, err := parsed(keys, searchIn()); err == nil {
			t.Errorf("%q: got no error, want one", keys)
		}
	}
}

func manyTexts(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("BODY a%d", i))
	}
	return strings.Join(keys, " ")
}

// TestSearchRefusedSkips: after a refusal the decoder goes on with the next command, literals of the refused one
// included.
func TestSearchRefusedSkips(t *testing.T) {
	d := imapwire.NewDecoder(lineSource{strings.NewReader("FLOWERED FROM {5}\r\n a b  BODY {3}\r\nx\r\n\r\nnext\r\n")}, nil)
	if err := d.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := imapParseSearch(d, searchContext{}); err == nil {
		t.Fatal("got no error, want a refusal")
	}
	if d.SkipRest(); d.Next() != nil || d.Atom() != "next" {
		t.Errorf("the next command is lost: %v", d.Err())
	}
}

// TestSearchOpens: a message is opened only when nothing else decides, once, and closed.
func TestSearchOpens(t *testing.T) {
	tests := []struct {
		keys string
		want int
	}{
		{"SEEN", 0}, {"BODY inner UNSEEN", 0}, {"OR BODY inner SEEN", 0}, {"FROM x TO y BODY z", 1}, {"OR SUBJECT nowhere BODY inner", 1}, {"(BODY x) NOT SEEN", 0},
	}
	for _, tt := range tests {
		q, err := parsed(tt.keys, searchIn())
		if err != nil {
			t.Fatal(err)
		}
		opened, closed := 0, 0
		if _, err := q.Match(searchInfo, 7, func() (Body, error) {
			opened++
			return closeCounter{bodyOf(searchMessage), &closed}, nil
		}); err != nil || opened != tt.want || closed != opened {
			t.Errorf("%s: got %d opened, %d closed, %v, want %d", tt.keys, opened, closed, err, tt.want)
		}
	}
	q, err := parsed("NOT BODY x", searchIn())
	if err != nil || !q.NeedsBody() {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	if found, err := q.Match(searchInfo, 7, func() (Body, error) { return nil, gone }); found || !errors.Is(err, gone) {
		t.Errorf("got %v, %v, want the error of open", found, err)
	}
}

type closeCounter struct {
	Body
	n *int
}

func (c closeCounter) Close() error {
	*c.n++
	return nil
}

// TestSearchChunks: a text is found wherever the pieces of the body are cut.
func TestSearchChunks(t *testing.T) {
	const want = "nädelchen"
	for _, at := range []int{0, 1, scanChunk - 11, scanChunk - 10, scanChunk - 9, scanChunk - 8, scanChunk - 2, scanChunk - 1, scanChunk, 2*scanChunk - 5} {
		text := strings.Repeat("x", at) + "NÄDELCHEN" + strings.Repeat("y", scanChunk)
		s := newTextScan([]textNeed{{text: want}, {text: "absent"}})
		if err := s.text(strings.NewReader(text)); err != nil || !s.found[0] || s.found[1] {
			t.Errorf("at %d: got %v, %v, want it found", at, s.found, err)
		}
	}
}

func TestSearchModSeq(t *testing.T) {
	for keys, want := range map[string]bool{"ALL": false, "OR SEEN MODSEQ 5": true} {
		if q, err := parsed(keys, searchIn()); err != nil || q.UsesModSeq() != want {
			t.Errorf("%s: got %v, %v, want %v", keys, q.UsesModSeq(), err, want)
		}
	}
}

// TestS2_SearchLinear measures texts that look for trouble.
func TestS2_SearchLinear(t *testing.T) {
	for _, keys := range []string{"BODY " + strings.Repeat("a", 1000) + "b", "TEXT aab"} {
		q, err := parsed(keys, searchIn())
		if err != nil {
			t.Fatal(err)
		}
		linear(t, keys[:5], 250_000, func(n int) {
			if _, err := q.Match(searchInfo, 7, func() (Body, error) { return bodyOf("\r\n" + strings.Repeat("a", n)), nil }); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// FuzzSearch: whatever the keys, parsing ends, and matching what was parsed does.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{"ALL", "OR (SEEN) NOT 1:*", "CHARSET UTF-8 BODY {3}\r\nabc", `HEADER "a" "b" MODSEQ "/x" all 5`, "UID $ SINCE 1-Feb-1994"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, keys string) {
		q, err := parsed(keys, searchIn())
		if err != nil {
			return
		}
		a, err := q.Match(searchInfo, 7, func() (Body, error) { return bodyOf(searchMessage), nil })
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(keys, "{\r\n") || strings.HasPrefix(strings.ToUpper(keys), "CHARSET") || strings.Contains(keys, "(((((((((") || len(keys) > 200 {
			return
		}
		n, err := parsed("NOT ("+keys+")", searchIn())
		if err != nil {
			return
		}
		if b, err := n.Match(searchInfo, 7, func() (Body, error) { return bodyOf(searchMessage), nil }); err != nil || a == b {
			t.Errorf("%q: got %v, and %v for its contrary, %v", keys, a, b, err)
		}
	})
}
