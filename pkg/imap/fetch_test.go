package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestFetchBodies(t *testing.T) {
	c := selected(t, allCaps, `C: $a UID FETCH 1:3 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])
		S> "* 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 5 BODY[] {5}\r\nhello)\r\n"
		S> "* 2 FETCH (UID 2 FLAGS () INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" RFC822.SIZE 3 BODY[] \"abc\")\r\n"
		S> "* 3 FETCH (UID 3 FLAGS (a b) INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" RFC822.SIZE 0 BODY[] {0}\r\n)\r\n"
		S: $a OK done`)
	var got []string
	missing, err := c.Fetch(within(t), uids(t, "1:3"), &FetchOptions{Flags: true, InternalDate: true, Size: true, Sections: []Section{{}}}, func(m *Message) error {
		b, err := m.Next()
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(b)
		got = append(got, fmt.Sprintf("%d %v %d %d %q %d", m.UID, m.Flags, m.InternalDate.Year(), m.Size, raw, b.Size))
		if _, again := m.Next(); again != io.EOF {
			t.Errorf("second section: %v, want io.EOF", again)
		}
		return err
	})
	want := []string{`1 [\Seen] 1996 5 "hello" 5`, `2 [] 2020 3 "abc" 3`, `3 [a b] 2020 0 "" 0`}
	if err != nil || !missing.Empty() || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, missing %v, %v, want %q", got, missing, err, want)
	}
}

// Whatever the order in which items come, the callback sees all of them.
func TestFetchAnyOrder(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<17) // over what is kept in memory
	for name, reply := range map[string]string{
		"uid last":       "* 1 FETCH (FLAGS (x) BODY[] {%d}\r\n%s RFC822.SIZE 1 UID 5)\r\n",
		"flags last":     "* 1 FETCH (UID 5 RFC822.SIZE 1 BODY[] {%d}\r\n%s FLAGS (x))\r\n",
		"body first":     "* 1 FETCH (BODY[] {%d}\r\n%s UID 5 RFC822.SIZE 1 FLAGS (x))\r\n",
		"item unknown":   "* 1 FETCH (X-NEW (a {1}\r\nb \"c\") UID 5 RFC822.SIZE 1 FLAGS (x) BODY[] {%d}\r\n%s)\r\n",
		"lower case":     "* 1 fetch (uid 5 flags (x) rfc822.size 1 body[] {%d}\r\n%s)\r\n",
		"unknown behind": "* 1 FETCH (UID 5 FLAGS (x) RFC822.SIZE 1 BODY[] {%d}\r\n%s X-NEW NIL)\r\n",
	} {
		for _, body := range []string{"small", big} {
			t.Run(fmt.Sprintf("%s/%d", name, len(body)), func(t *testing.T) {
				addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\n"+inbox+"C: $a UID FETCH 5 (UID FLAGS RFC822.SIZE BODY.PEEK[])\nSEND reply\nS: $a OK done\nC? * LOGOUT",
					wiretest.Var("reply", fmt.Sprintf(reply, len(body), body)))
				c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Select(within(t), "INBOX", nil); err != nil {
					t.Fatal(err)
				}
				calls := 0
				_, err = c.Fetch(within(t), uids(t, "5"), &FetchOptions{Flags: true, Size: true, Sections: []Section{{}}}, func(m *Message) error {
					calls++
					b, err := m.Next()
					if err != nil {
						return err
					}
					raw, err := io.ReadAll(b)
					if m.UID != 5 || len(m.Flags) != 1 || string(raw) != body || b.Size != int64(len(body)) {
						t.Errorf("got UID %d, flags %v, %d octets, want 5, [x], %d", m.UID, m.Flags, len(raw), len(body))
					}
					return err
				})
				if err != nil || calls != 1 {
					t.Errorf("got %d calls, %v", calls, err)
				}
			})
		}
	}
}

func TestFetchSeveralSections(t *testing.T) {
	o := &FetchOptions{Sections: []Section{{Spec: "HEADER"}, {Part: []int{1}}, {Part: []int{1}, Spec: "MIME"}, {Part: []int{9}}}}
	c := selected(t, allCaps, `C: $a UID FETCH 4 (UID BODY.PEEK[HEADER] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[9])
		S> "* 1 FETCH (UID 4 BODY[HEADER] {4}\r\nA: b BODY[1] \"text\" BODY[1.MIME] {2}\r\nm! BODY[9] NIL)\r\n"
		S: $a OK done
		C: $b UID FETCH 4 (UID BODY.PEEK[HEADER] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[9])
		S> "* 1 FETCH (UID 4 BODY[HEADER] {4}\r\nA: b BODY[1] \"text\" BODY[1.MIME] {2}\r\nm! BODY[9] NIL)\r\n"
		S: $b OK done`)
	got, missing, err := bodies(c, within(t), uids(t, "4"), o)
	if want := []string{"4:HEADER=A: b;1=text;1.MIME=m!;"}; err != nil || !missing.Empty() || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	// a callback that reads only a part of the first
	_, err = c.Fetch(within(t), uids(t, "4"), o, func(m *Message) error {
		b, err := m.Next()
		if err != nil {
			return err
		}
		_, err = b.Read(make([]byte, 1))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFetchItems(t *testing.T) {
	c := selected(t, allCaps, `C: $a UID FETCH 4 (UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ EMAILID THREADID PREVIEW ENVELOPE BODYSTRUCTURE) (CHANGEDSINCE 12)
		S> "* 9 FETCH (UID 4 FLAGS (\\Recent) INTERNALDATE NIL RFC822.SIZE 99 MODSEQ (7) EMAILID (M1) THREADID NIL PREVIEW {2}\r\nhi "
		S> "ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700\" \"sub\" ((\"Al\" NIL \"al\" \"example.org\")) NIL NIL ((NIL NIL \"bob\" \"example.org\")(NIL NIL \"undisclosed\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL \"<id@x>\") "
		S> "BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 5 1 NIL NIL NIL)(\"IMAGE\" \"PNG\" NIL NIL NIL \"BASE64\" 50 NIL (\"ATTACHMENT\" (\"FILENAME\" {5}\r\na.png)) (\"en\") \"loc\") \"MIXED\" (\"BOUNDARY\" \"x\") NIL NIL))\r\n"
		S: $a OK done`)
	o := &FetchOptions{Flags: true, InternalDate: true, Size: true, ModSeq: true, ObjectID: true, Preview: true, Envelope: true, Structure: true, ChangedSince: 12}
	calls := 0
	_, err := c.Fetch(within(t), uids(t, "4"), o, func(m *Message) error {
		calls++
		if m.UID != 4 || m.Size != 99 || m.ModSeq != 7 || m.EmailID != "M1" || m.ThreadID != "" || m.Preview != "hi" || !m.InternalDate.IsZero() {
			t.Errorf("got %+v", m)
		}
		env := &Envelope{Date: "Wed, 17 Jul 1996 02:23:25 -0700", Subject: "sub", From: []Address{{"Al", "al", "example.org"}},
			To: []Address{{"", "bob", "example.org"}, {"", "undisclosed", ""}, {}}, MessageID: "<id@x>"}
		if !reflect.DeepEqual(m.Envelope, env) {
			t.Errorf("envelope %+v, want %+v", m.Envelope, env)
		}
		s := m.Structure
		if s == nil || s.MediaType() != "multipart/mixed" || len(s.Parts) != 2 {
			t.Fatalf("structure %+v", s)
		}
		if p := s.Find("2"); p == nil || p.Filename() != "a.png" || p.Disposition != "attachment" || p.Size != 50 || p.Encoding != "base64" || p.Location != "loc" {
			t.Errorf("part 2: %+v", p)
		}
		if p := s.Find("1"); p == nil || p.MediaType() != "text/plain" || p.Lines != 1 || param(p.Params, "charset") != "utf-8" {
			t.Errorf("part 1: %+v", p)
		}
		return nil
	})
	if err != nil || calls != 1 {
		t.Errorf("got %d calls, %v", calls, err)
	}
}

// IONOS and others answer BAD to an item without its capability.
func TestFetchItemsAreGated(t *testing.T) {
	c := selected(t, "IMAP4rev1", `C: $a UID FETCH 4 (UID FLAGS)
		S: * 1 FETCH (FLAGS () UID 4)
		S: $a OK done`)
	o := &FetchOptions{Flags: true, ModSeq: true, ObjectID: true, Preview: true, ChangedSince: 9}
	n := 0
	if _, err := c.Fetch(within(t), uids(t, "4"), o, func(*Message) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestFetchBinary(t *testing.T) {
	o := &FetchOptions{Sections: []Section{{Part: []int{1}, Binary: true}}}
	c := selected(t, "IMAP4rev1 BINARY", "C: $a UID FETCH 4 (UID BINARY.PEEK[1])\nS> \"* 1 FETCH (UID 4 BINARY[1] ~{3}\\r\\na\\x00b)\\r\\n\"\nS: $a OK done")
	got, _, err := bodies(c, within(t), uids(t, "4"), o)
	if want := []string{"4:1=a\x00b;"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	c = selected(t, "IMAP4rev1", "")
	var lacks *CapabilityError
	if _, _, err := bodies(c, within(t), uids(t, "4"), o); !errors.As(err, &lacks) {
		t.Errorf("got %v, want a capability error", err)
	}
}

func TestFetchMarkSeen(t *testing.T) {
	c := selected(t, "IMAP4rev1", "C: $a UID FETCH 4 (UID BODY[])\nS: * 1 FETCH (UID 4 BODY[] \"x\" FLAGS (\\Seen))\nS: $a OK done")
	o := whole()
	o.MarkSeen = true
	if got, _, err := bodies(c, within(t), uids(t, "4"), o); err != nil || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFetchLongSetsArePipelined(t *testing.T) {
	var set UIDSet
	for u := UID(1); u < 8000; u += 2 {
		set.Add(u)
	}
	parts := set.Split(maxSetText)
	if len(parts) < 3 {
		t.Fatalf("only %d parts", len(parts))
	}
	var script strings.Builder
	command := func(i int) { fmt.Fprintf(&script, "C: $a%d UID FETCH * (UID BODY.PEEK[])\n", i) }
	command(0)
	for i := range parts { // the next command comes before the reply
		if i+1 < len(parts) {
			command(i + 1)
		}
		fmt.Fprintf(&script, "S: * 1 FETCH (UID %d BODY[] \"x\")\nS: $a%d OK done\n", parts[i].Ranges()[0].Start, i)
	}
	c := selected(t, "IMAP4rev1", script.String())
	got, missing, err := bodies(c, within(t), set, whole())
	if err != nil || len(got) != len(parts) || missing.Count() != set.Count()-uint64(len(parts)) {
		t.Errorf("got %d messages, %d missing, %v", len(got), missing.Count(), err)
	}
}

func TestS6_UnsolicitedData(t *testing.T) {
	c := selected(t, allCaps, `C: $a UID FETCH 5,7,9 (UID BODY.PEEK[])
		S: * 4 EXPUNGE
		S: * 9 EXISTS
		S: * 1 RECENT
		S: * OK [ALERT] look here
		S: * 2 FETCH (FLAGS (\Seen))
		S: * 2 FETCH (UID 5 FLAGS (\Seen))
		S: * 2 FETCH (UID 6 BODY[] "not asked for")
		S: * 1 FETCH (UID 5 BODY[] "five")
		S: * 1 FETCH (UID 5 BODY[] "five again")
		S: * LIST () "/" x
		S: * SEARCH 99
		S: * VANISHED 3
		S: * X-NEW something {3}
		S> "abc and more\r\n"
		S: * 3 FETCH (UID 9 FLAGS ())
		S: * 2 FETCH (BODY[] "nine" UID 9)
		S: * 2 FETCH (UID 9 BODY[TEXT] "another section")
		S: * CAPABILITY IMAP4rev1 X
		S: * 2 FETCH (UID 7 BODY[] "sev\"en")
		S: $a OK done`)
	got, missing, err := bodies(c, within(t), uids(t, "5,7,9"), whole())
	if want := []string{"5:=five;", "9:=nine;", `7:=sev"en;`}; err != nil || !missing.Empty() || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, missing %v, %v, want %q", got, missing, err, want)
	}
}

func TestS6_StarIsOneMessage(t *testing.T) {
	c := selected(t, allCaps, `C: $a UID FETCH 900:\* (UID BODY.PEEK[])
		S: * 2 FETCH (UID 12 FLAGS ())
		S: * 3 FETCH (UID 40 BODY[] "last")
		S: * 1 FETCH (UID 41 BODY[] "too many")
		S: * 1 FETCH (UID 901 BODY[] "in the range")
		S: $a OK done`)
	got, _, err := bodies(c, within(t), uids(t, "900:*"), whole())
	if want := []string{"40:=last;", "901:=in the range;"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestR5_VanishedMessages(t *testing.T) {
	o := whole()
	o.Size = true
	c := selected(t, allCaps, `C: $a UID FETCH 1:6 (UID RFC822.SIZE BODY.PEEK[])
		S: * 1 FETCH (UID 1 RFC822.SIZE 4 BODY[] NIL)
		S: * 2 FETCH (UID 2 RFC822.SIZE 4 BODY[] "")
		S: * 3 FETCH (UID 3 RFC822.SIZE 4)
		S: * 4 FETCH (UID 4 RFC822.SIZE 4 BODY[] "four")
		S: * 5 FETCH (UID 5 RFC822.SIZE 0 BODY[] "")
		S: $a NO [EXPUNGEISSUED] some messages are gone`)
	got, missing, err := bodies(c, within(t), uids(t, "1:6"), o)
	wantRefusal(t, err, "NO", "EXPUNGEISSUED")
	if want := []string{"4:=four;", "5:=;"}; missing.String() != "1:3,6" || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, missing %v, want %q, missing 1:3,6", got, missing, want)
	}
}

func TestS1_FetchLiteralSizes(t *testing.T) {
	tests := []struct {
		name, size string
		send       int
		ok         bool
	}{
		{"below the limit", "99", 99, true}, {"at the limit", "100", 100, true}, {"above the limit", "101", 101, false},
		{"2^31", "2147483648", 5, false}, {"2^32", "4294967296", 5, false}, {"2^63", "9223372036854775808", 5, false},
		{"2^64", "18446744073709551616", 5, false}, {"2^64+5", "18446744073709551621", 5, false}, {"negative", "-5", 5, false},
		{"plus", "5+", 5, false}, {"plus before", "+5", 5, false}, {"empty", "", 0, false}, {"leading zeros", "0000000005", 5, true},
		{"too short", "90", 50, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body, end := strings.Repeat("x", tt.send), "HANG"
			if tt.name == "too short" {
				end = "HALFCLOSE\nHANG"
			}
			addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\n"+inbox+"C: $a UID FETCH 1 (UID BODY.PEEK[])\nSEND reply\nS: $a OK done\n"+end,
				wiretest.Var("reply", "* 1 FETCH (UID 1 BODY[] {"+tt.size+"}\r\n"+body+")\r\n"))
			c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), &Options{Limits: &imapwire.Limits{Body: 100}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Select(within(t), "INBOX", nil); err != nil {
				t.Fatal(err)
			}
			got, _, err := bodies(c, within(t), uids(t, "1"), whole())
			if (err == nil) != tt.ok || (tt.ok && (len(got) != 1 || got[0] != "1:="+body+";")) {
				t.Errorf("got %.60q, %v, want ok %v", got, err, tt.ok)
			}
			if !tt.ok && c.Err() == nil {
				t.Error("the connection lives on")
			}
		})
	}
}

func TestS3_EndlessStreams(t *testing.T) {
	for name, raw := range map[string]string{
		"a line":              "x",
		"untagged responses":  "* OK still working\r\n",
		"unknown responses":   "* X-FOO bar\r\n",
		"list in a response":  "* LIST (",
		"literals in a list":  "* LIST (\\a {1}\r\n",
		"unsolicited fetches": "* 1 FETCH (FLAGS ())\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := dial(t, fmt.Sprintf("S: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC: $a LIST \"\" \"\\*\"\nFLOOD %q", raw), wire.Cleartext, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.List(within(t), nil)
			wantProtocol(t, err)
			c.Close()
		})
	}
}

func TestS4_Nesting(t *testing.T) {
	for _, depth := range []int{90, 200, 100_000} {
		body := strings.Repeat("(", depth) + `"TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0` + strings.Repeat(` "MIXED")`, depth)
		addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\n"+inbox+"C: $a UID FETCH 1 (UID BODYSTRUCTURE)\nSEND reply\nS: $a OK done\nHANG",
			wiretest.Var("reply", "* 1 FETCH (UID 1 BODYSTRUCTURE "+body+")\r\n"))
		c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Select(within(t), "INBOX", nil); err != nil {
			t.Fatal(err)
		}
		_, err = c.Fetch(within(t), uids(t, "1"), &FetchOptions{Structure: true}, func(*Message) error { return nil })
		if ok := err == nil; ok != (depth == 90) {
			t.Errorf("depth %d: got %v", depth, err)
		}
		c.Close()
	}
}

func TestS7_Numbers(t *testing.T) {
	for name, tt := range map[string]struct {
		reply string
		ok    bool
		quirk imapwire.Quirk
	}{
		"uid 0":             {"* 1 FETCH (UID 0 FLAGS () MODSEQ (1))", false, 0},
		"uid over 32 bits":  {"* 1 FETCH (UID 4294967296 FLAGS () MODSEQ (1))", false, 0},
		"negative modseq":   {"* 1 FETCH (UID 1 FLAGS () MODSEQ (-1))", true, imapwire.BadModSeq},
		"modseq 0":          {"* 1 FETCH (UID 1 FLAGS () MODSEQ (0))", true, imapwire.BadModSeq},
		"modseq over 63":    {"* 1 FETCH (UID 1 FLAGS () MODSEQ (9223372036854775808))", false, 0},
		"seq over 32 bits":  {"* 4294967296 FETCH (UID 1 FLAGS () MODSEQ (1))", false, 0},
		"huge exists":       {"* 4294967295 EXISTS\r\n* 1 FETCH (UID 1 FLAGS () MODSEQ (1))", true, 0},
		"vanished over all": {"* VANISHED 1:4294967295\r\n* 1 FETCH (UID 1 FLAGS () MODSEQ (1))", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1 CONDSTORE] hi\n"+inbox+"C: $a UID FETCH 1 (UID FLAGS MODSEQ)\nSEND reply\nS: $a OK done\nHANG",
				wiretest.Var("reply", tt.reply+"\r\n"))
			c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Select(within(t), "INBOX", nil); err != nil {
				t.Fatal(err)
			}
			n := 0
			_, err = c.Fetch(within(t), uids(t, "1"), &FetchOptions{Flags: true, ModSeq: true}, func(*Message) error { n++; return nil })
			if (err == nil) != tt.ok || (tt.ok && n != 1) {
				t.Errorf("got %d messages, %v, want ok %v", n, err, tt.ok)
			}
			if tt.quirk != 0 && !c.Quirks().Has(tt.quirk) {
				t.Errorf("quirks are %v, want %v", c.Quirks(), tt.quirk)
			}
		})
	}
}

func TestS7_UIDValidityZero(t *testing.T) {
	c := session(t, "IMAP4rev1", "C: $a SELECT x\nS: * OK [UIDVALIDITY 0] bad\nS: * OK [UIDNEXT 99999999999] bad\nS: * OK [HIGHESTMODSEQ -1] bad\nS: * OK [PERMANENTFLAGS oops] bad\nS: $a OK done")
	got, err := c.Select(within(t), "x", nil)
	if err != nil || got.UIDValidity != 0 || got.HighestModSeq != 0 || got.CanChange {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestS8_SizeIsAHint(t *testing.T) {
	o := whole()
	o.Size = true
	c := selected(t, allCaps, "C: $a UID FETCH 1 (UID RFC822.SIZE BODY.PEEK[])\nS: * 1 FETCH (UID 1 RFC822.SIZE 99999 BODY[] \"four\")\nS: $a OK done")
	got, _, err := bodies(c, within(t), uids(t, "1"), o)
	if want := []string{"1:=four;"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestS13_OddStructures(t *testing.T) {
	tests := []struct {
		name, body string
		quirk      imapwire.Quirk
		media      string
	}{
		{"gmail, empty multipart", `("ALTERNATIVE")`, imapwire.BadStructure, "multipart/alternative"},
		{"davmail, empty string first", `"" ("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1)`, imapwire.EmptyItem, "text/plain"},
		{"dovecot, negative lines", `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 -1)`, imapwire.BadStructure, "text/plain"},
		{"mail.ru, NIL value", `(("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 5 0 NIL NIL NIL NIL) "alternative" ("boundary" NIL))`, imapwire.BadStructure, "multipart/alternative"},
		{"lines missing", `("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1)`, imapwire.BadStructure, "text/plain"},
		{"message without its structure", `("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 1)`, imapwire.BadStructure, "message/rfc822"},
		{"only a string", `"oops"`, imapwire.BadStructure, ""},
		{"empty list", `()`, imapwire.BadStructure, ""},
		{"no subtype", `("X-ZIP" ("BOUNDARY" "") NIL NIL "7BIT" 5)`, imapwire.BadStructure, "x-zip/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := selected(t, allCaps, "C: $a UID FETCH 1 (UID BODYSTRUCTURE)\nS: * 1 FETCH (UID 1 BODYSTRUCTURE "+tt.body+")\nS: $a OK done")
			media := "no call"
			_, err := c.Fetch(within(t), uids(t, "1"), &FetchOptions{Structure: true}, func(m *Message) error {
				if media = ""; m.Structure != nil {
					media = m.Structure.MediaType()
				}
				return nil
			})
			if err != nil || media != tt.media || !c.Quirks().Has(tt.quirk) {
				t.Errorf("got %q, %v, quirks %v, want %q, %v", media, err, c.Quirks(), tt.media, tt.quirk)
			}
		})
	}
}

func TestNestedMessageNumbers(t *testing.T) {
	const s = `(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) (("TEXT" "HTML" NIL NIL NIL "7BIT" 2 2)("IMAGE" "GIF" NIL NIL NIL "BASE64" 3) "RELATED") 7)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "CSV" NIL NIL NIL "7BIT" 2 2) 7) "MIXED")`
	d := imapwire.NewTextDecoder([]byte(s))
	b, ok := newStructure(d.Value())
	if !ok || d.Err() != nil {
		t.Fatalf("got %v, %v", ok, d.Err())
	}
	for path, media := range map[string]string{"1": "text/plain", "2": "message/rfc822", "2.1": "text/html", "2.2": "image/gif", "3.1": "text/csv"} {
		if p := b.Find(path); p == nil || p.MediaType() != media {
			t.Errorf("part %s: got %+v, want %s", path, p, media)
		}
	}
	if b.Find("2").Envelope.Subject != "inner" || b.Find("2").Lines != 7 {
		t.Errorf("got %+v", b.Find("2"))
	}
}

func TestCallbackErrorEndsTheConnection(t *testing.T) {
	c, err := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\n"+inbox+"C: $a UID FETCH 1:2 (UID BODY.PEEK[])\nS: * 1 FETCH (UID 1 BODY[] {1000000}\nHANG", wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select(within(t), "INBOX", nil); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	missing, err := c.Fetch(within(t), uids(t, "1:2"), whole(), func(m *Message) error {
		if err := c.Noop(within(t)); err != ErrBusy {
			t.Errorf("a call from the callback: %v, want ErrBusy", err)
		}
		return full
	})
	if err != full || c.Err() == nil || missing.String() != "2" {
		t.Errorf("got %v, missing %v, want the callback's error and a dead connection", err, missing)
	}
}

func TestBodyAfterItsTime(t *testing.T) {
	c := selected(t, allCaps, "C: $a UID FETCH 1 (UID BODY.PEEK[])\nS> \"* 1 FETCH (UID 1 BODY[] {4}\\r\\nfour)\\r\\n\"\nS: $a OK done")
	var kept *Body
	if _, err := c.Fetch(within(t), uids(t, "1"), whole(), func(m *Message) (err error) { kept, err = m.Next(); return err }); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Read(make([]byte, 4)); err != ErrBodyClosed {
		t.Errorf("got %v, want ErrBodyClosed", err)
	}
}

func TestCancelled(t *testing.T) {
	c, err := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC: $a NOOP\nHANG", wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := c.Noop(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 60*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
	if err := c.Noop(context.Background()); err == nil {
		t.Error("the connection lives on")
	}
}

// cutSession is a whole session, and what a client does in it. The replies are
// cut after each octet.
const cutReplies = "* OK [CAPABILITY IMAP4rev1 LITERAL+ UIDPLUS] hi\r\n" +
	"T1 OK [CAPABILITY IMAP4rev1 LITERAL+ UIDPLUS] in\r\n" +
	"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\nT2 OK [READ-WRITE] done\r\n" +
	"* 1 FETCH (UID 1 FLAGS (\\Seen) BODY[] {6}\r\nab\r\ncd)\r\n* 2 FETCH (BODY[] {2}\r\nef UID 2 FLAGS ())\r\nT3 OK done\r\n" +
	"* SEARCH 1 2\r\nT4 OK done\r\n" +
	"T5 OK [COPYUID 9 1:2 5:6] done\r\n" +
	"T6 OK done\r\n" +
	"* 1 EXPUNGE\r\n* 1 EXPUNGE\r\nT7 OK done\r\n" +
	"T8 OK [APPENDUID 9 7] done\r\n"

// cutRun plays the client's half over conn and returns how far it came.
func cutRun(ctx context.Context, conn net.Conn) (steps int, fetched []string, err error) {
	c, err := NewClient(ctx, wire.NewConn(conn, &wire.Config{Timeout: 60 * time.Second}), &Options{Tag: "T"})
	if err != nil {
		return 0, nil, err
	}
	defer c.conn.Close()
	cr := alice()
	cr.AllowCleartext = true
	if err = c.Auth(ctx, cr); err != nil {
		return 1, nil, err
	}
	if _, err = c.Select(ctx, "INBOX", nil); err != nil {
		return 2, nil, err
	}
	set, _ := imapwire.ParseUIDSet("1:2")
	o := &FetchOptions{Flags: true, Sections: []Section{{}}}
	if fetched, _, err = bodies(c, ctx, set, o); err != nil {
		return 3, fetched, err
	}
	if _, err = c.Move(ctx, set, "Trash"); err != nil {
		return 4, fetched, err
	}
	if _, err = c.Append(ctx, "x", 3, strings.NewReader("abc"), nil); err != nil {
		return 5, fetched, err
	}
	return 6, fetched, nil
}

func TestS11_CutAtEachByte(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	whole := []string{"1:=ab\r\ncd;", "2:=ef;"}
	for _, chunk := range []int{1, 1 << 20} {
		for cut := 0; cut <= len(cutReplies); cut++ {
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			peer := &cutPeer{rest: []byte(cutReplies[:cut]), chunk: chunk}
			steps, fetched, err := cutRun(ctx, peer)
			cancel()
			if cut == len(cutReplies) {
				if err != nil || !reflect.DeepEqual(fetched, whole) {
					t.Fatalf("uncut: %v, %q", err, fetched)
				}
				continue
			}
			if err == nil {
				t.Fatalf("cut at %d: no error", cut)
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d, step %d: %v, want an unexpected end", cut, steps, err)
			}
			for i, got := range fetched {
				if got != whole[i] {
					t.Errorf("cut at %d: got %q", cut, got)
				}
			}
			sent := peer.sent.String()
			if strings.Contains(sent, "STORE") && !strings.Contains(cutReplies[:cut], "T5 OK") {
				t.Errorf("cut at %d: marked before the copy was safe: %q", cut, sent)
			}
			if strings.Contains(sent, "EXPUNGE") && !strings.Contains(cutReplies[:cut], "T6 OK done\r\n") {
				t.Errorf("cut at %d: expunged before the marks were safe: %q", cut, sent)
			}
		}
	}
}

// cutPeer is a connection whose peer says rest, whatever it is told, and ends.
// A reply waits until its command was sent.
type cutPeer struct {
	rest  []byte
	chunk int
	sent  bytes.Buffer
}

func (p *cutPeer) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.chunk, len(p.rest), p.due())])
	p.rest = p.rest[n:]
	return n, nil
}

// due is how much may be said before the next command: up to the end of the
// line of the tagged reply at hand.
func (p *cutPeer) due() int {
	at := 0
	for {
		i := bytes.IndexByte(p.rest[at:], '\n')
		if i < 0 {
			return len(p.rest)
		}
		line := p.rest[at : at+i+1]
		at += i + 1
		if line[0] == 'T' || bytes.HasPrefix(line, []byte("* OK [CAP")) {
			return at
		}
	}
}

func (p *cutPeer) Write(b []byte) (int, error)      { return p.sent.Write(b) }
func (p *cutPeer) Close() error                     { return nil }
func (p *cutPeer) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *cutPeer) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (p *cutPeer) SetDeadline(time.Time) error      { return nil }
func (p *cutPeer) SetReadDeadline(time.Time) error  { return nil }
func (p *cutPeer) SetWriteDeadline(time.Time) error { return nil }

func TestSpoolsLeaveNoFiles(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var s spools
	r, err := s.keep(strings.NewReader(strings.Repeat("x", 3<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != 3<<20 || err != nil {
		t.Errorf("got %d octets, %v", n, err)
	}
	s.close()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// benchPeer answers UID FETCH with n messages of size octets, from memory.
func benchFetch(b *testing.B, n, size int) {
	body := strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", size/64+1)[:size]
	var reply bytes.Buffer
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&reply, "* %d FETCH (UID %d FLAGS (\\Seen $Forwarded) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE %d BODY[] {%d}\r\n%s)\r\n", i, i, size, size, body)
	}
	peer := &benchPeer{fetch: reply.Bytes()}
	ctx := context.Background()
	c, err := NewClient(ctx, wire.NewConn(peer, nil), &Options{Tag: "T"})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Select(ctx, "INBOX", nil); err != nil {
		b.Fatal(err)
	}
	set, _ := imapwire.ParseUIDSet("1:" + strconv.Itoa(n))
	o := &FetchOptions{Flags: true, InternalDate: true, Size: true, Sections: []Section{{}}}
	b.SetBytes(int64(n * size))
	b.ReportAllocs()
	for b.Loop() {
		got := 0
		_, err := c.Fetch(ctx, set, o, func(m *Message) error {
			got++
			body, err := m.Next()
			if err == nil {
				_, err = body.WriteTo(io.Discard)
			}
			return err
		})
		if err != nil || got != n {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

type benchPeer struct {
	cutPeer
	fetch []byte
	tag   int
	out   bytes.Reader
	tail  []byte
	hello bool
}

func (p *benchPeer) Write(b []byte) (int, error) {
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		p.tag++
		p.out.Reset(nil)
		if bytes.Contains(line, []byte("FETCH")) {
			p.out.Reset(p.fetch)
		}
		p.tail = fmt.Appendf(p.tail[:0], "T%d OK done\r\n", p.tag)
	}
	return len(b), nil
}

func (p *benchPeer) Read(b []byte) (int, error) {
	if !p.hello {
		p.hello = true
		return copy(b, "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n"), nil
	}
	if p.out.Len() > 0 {
		return p.out.Read(b)
	}
	n := copy(b, p.tail)
	p.tail = p.tail[n:]
	return n, nil
}

func BenchmarkFetchLarge(b *testing.B)  { benchFetch(b, 10, 4<<20) }
func BenchmarkFetchMedium(b *testing.B) { benchFetch(b, 500, 68<<10) }
func BenchmarkFetchSmall(b *testing.B)  { benchFetch(b, 20_000, 300) }

func TestFetchOverTheLimit(t *testing.T) {
	for limit, want := range map[int64]error{5: ErrTooLarge, 6: nil} {
		addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\n"+inbox+"C: $a UID FETCH 1 (UID BODY.PEEK[])\n"+
			"S> \"* 1 FETCH (UID 1 BODY[] {6}\\r\\nA: b\\r\\n)\\r\\n\"\nS: $a OK done\nC? * LOGOUT")
		c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), &Options{Limits: &imapwire.Limits{Body: limit}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Select(within(t), "INBOX", nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := bodies(c, within(t), uids(t, "1"), whole()); !errors.Is(err, want) || !errors.Is(c.Err(), want) {
			t.Errorf("limit %d: got %v, the connection %v; want %v", limit, err, c.Err(), want)
		}
	}
}
