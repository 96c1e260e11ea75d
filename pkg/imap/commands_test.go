package imap

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestAuth(t *testing.T) {
	tests := []struct{ name, caps, mechanism, script, want string }{
		{"plain with initial response", "AUTH=PLAIN SASL-IR", "", "C: $a AUTHENTICATE PLAIN AGFsaWNlAHMza3JldCBjYW5hcnk=\nS: $a OK [CAPABILITY IMAP4rev1] in", ""},
		{"plain without", "AUTH=PLAIN", "", "C: $a AUTHENTICATE PLAIN\nS: + \nC: AGFsaWNlAHMza3JldCBjYW5hcnk=\nS: $a OK [CAPABILITY IMAP4rev1] in", ""},
		{"capabilities are asked for", "AUTH=PLAIN SASL-IR", "", "C: $a AUTHENTICATE PLAIN *\nS: $a OK in\nC: $b CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: $b OK done", ""},
		{"untagged capabilities", "AUTH=PLAIN SASL-IR", "", "C: $a AUTHENTICATE PLAIN *\nS: * CAPABILITY IMAP4rev1 X\nS: $a OK in", ""},
		{"login as fall-back", "", "", "C: $a LOGIN alice \"s3kret canary\"\nS: $a OK [CAPABILITY IMAP4rev1] in", ""},
		{"login by name", "AUTH=PLAIN", "login-command", "C: $a LOGIN alice \"s3kret canary\"\nS: $a OK [CAPABILITY IMAP4rev1] in", ""},
		{"login disabled", "LOGINDISABLED", "", "", "offers nothing"},
		{"login disabled, by name", "LOGINDISABLED", "login-command", "", "does not allow LOGIN"},
		{"refused", "AUTH=PLAIN SASL-IR", "", "C: $a AUTHENTICATE PLAIN *\nS: $a NO [AUTHENTICATIONFAILED] wrong", "wrong"},
		{"no fall-back after a refusal", "AUTH=PLAIN AUTH=LOGIN", "", "C: $a AUTHENTICATE PLAIN\nS: + \nC: *\nS: $a NO no", "no"},
		{"unavailable", "AUTH=PLAIN SASL-IR", "", "C: $a AUTHENTICATE PLAIN *\nS: $a NO [UNAVAILABLE] later", "later"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 "+tt.caps+"] hi\n"+tt.script+"\nC? * LOGOUT", wire.Cleartext, nil)
			if err != nil {
				t.Fatal(err)
			}
			cr := alice()
			cr.Mechanism = tt.mechanism
			if err = c.Auth(within(t), cr); err == nil {
				_, err = c.Capability(within(t))
			}
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			var refused *auth.Error
			if err != nil && tt.name != "unavailable" && !errors.As(err, &refused) {
				t.Errorf("got %T, want *auth.Error", err)
			}
		})
	}
}

func TestAuthUnavailableIsTemporary(t *testing.T) {
	c, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\nC: $a AUTHENTICATE PLAIN *\nS: $a NO [UNAVAILABLE] later\nC? * LOGOUT", wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Auth(within(t), alice())
	var temp interface{ Temporary() bool }
	if !errors.As(err, &temp) || !temp.Temporary() {
		t.Errorf("got %v, want a temporary error", err)
	}
}

func TestScramOverIMAP(t *testing.T) {
	// the server cannot know the password: it must be given up on
	c, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 SASL-IR] hi\nC: $a AUTHENTICATE SCRAM-SHA-256 *\nS: $a OK in\nHANG", wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), alice()); err == nil {
		t.Error("a server without proof was believed")
	}
	if c.Err() == nil {
		t.Error("the connection lives on")
	}
}

func TestCoremail(t *testing.T) {
	c, err := dial(t, `S: * OK Coremail System IMap Server Ready(example)
		C: $a CAPABILITY
		S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID
		S: $a OK done
		C: $b AUTHENTICATE PLAIN
		S: +
		C: *
		S: $b OK [CAPABILITY IMAP4rev1 ID] in
		C: $c ID ("name" "mail")
		S: * ID ("name" "Coremail" "vendor" NIL)
		S: $c OK done
		C? * LOGOUT`, wire.Cleartext, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(within(t), alice()); err != nil {
		t.Error(err)
	}
}

func TestID(t *testing.T) {
	c := session(t, allCaps, "C: $a ID (\"name\" \"mail\" \"version\" \"1\")\nS: * ID (\"name\" \"Dovecot\" \"os\" NIL)\nS: $a OK done")
	got, err := c.ID(within(t), []IDField{{"name", "mail"}, {"version", "1"}})
	if want := []IDField{{"name", "Dovecot"}, {"os", ""}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestNamespace(t *testing.T) {
	c := session(t, allCaps, `C: $a NAMESPACE
		S: * NAMESPACE (("" "/")("#mh/" "/" "X-PARAM" ("F1" "F2"))) (("Other\\" "\\")) NIL
		S: $a OK done`)
	got, err := c.Namespace(within(t))
	want := &Namespaces{Personal: []Namespace{{"", "/"}, {"#mh/", "/"}}, OtherUsers: []Namespace{{`Other\`, `\`}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestEnable(t *testing.T) {
	c := session(t, allCaps+" UTF8=ACCEPT", `C: $a ENABLE UTF8=ACCEPT
		S: * ENABLED UTF8=ACCEPT
		S: $a OK done
		C: $b SELECT "Entwürfe"
		S: $b OK done`)
	if got, err := c.Enable(within(t), "UTF8=ACCEPT"); err != nil || !got.Has("utf8=accept") {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, err := c.Select(within(t), "Entwürfe", nil); err != nil {
		t.Error(err)
	}
}

func TestRev2OnlySpeaksUTF8(t *testing.T) {
	c := session(t, "IMAP4rev2", `C: $b EXAMINE "Entwürfe"
		S: * LIST () "/" "Entwürfe"
		S: $b OK done`)
	if _, err := c.Examine(within(t), "Entwürfe", nil); err != nil {
		t.Error(err)
	}
	if !c.has("UIDPLUS") || c.has("CONDSTORE") {
		t.Error("IMAP4rev2 includes UIDPLUS and not CONDSTORE")
	}
}

func TestListStatusInOneRoundTrip(t *testing.T) {
	c := session(t, allCaps, `C: $a LIST "" "*" RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES UNSEEN SIZE))
		S: * LIST (\Subscribed \HasNoChildren) "/" inbox
		S: * STATUS INBOX (MESSAGES 5 UNSEEN 2 SIZE 12345)
		S: * LIST (\HasNoChildren \Sent) "/" "Entw&APw-rfe" ("CHILDINFO" ("SUBSCRIBED"))
		S: * STATUS "Entw&APw-rfe" (MESSAGES 1 UNSEEN 0 SIZE 99999999999)
		S: * LIST (\Noselect) NIL {3}
		S> "a\"b\r\n"
		S: $a OK done`)
	got, err := c.List(within(t), &ListOptions{Status: StatusMessages | StatusUnseen | StatusSize})
	if err != nil || len(got) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if m := got[0]; m.Name != "INBOX" || m.Role() != "inbox" || !m.Has(`\subscribed`) || m.Status.Messages != 5 || m.Status.Unseen != 2 {
		t.Errorf("first: %+v", m)
	}
	if m := got[1]; m.Name != "Entwürfe" || m.Role() != "sent" || m.Delim != "/" || m.Status.Size != 99999999999 {
		t.Errorf("second: %+v", m)
	}
	if m := got[2]; m.Name != `a"b` || m.Delim != "" || m.Selectable() || m.Status != nil {
		t.Errorf("third: %+v", m)
	}
}

func TestListWithoutExtensions(t *testing.T) {
	c := session(t, "IMAP4rev1", `C: $a LIST "" "%"
		S: * LIST () "/" INBOX
		S: * LIST () "/" INBOX
		S: * LIST (\Noselect) "/" folder
		S: * LIST () "/" "no"
		S: * LIST () "/" last
		S: $a OK done
		C: $b STATUS INBOX (MESSAGES)
		C: $c STATUS no (MESSAGES)
		C: $d STATUS last (MESSAGES)
		S: * STATUS "INBOX" (MESSAGES 5 ) 
		S: $b OK done
		S: $c NO [NOPERM] no
		S: * STATUS last (MESSAGES 7)
		S: $d OK done`)
	got, err := c.List(within(t), &ListOptions{Pattern: "%", Status: StatusMessages | StatusSize | StatusHighestModSeq})
	if err != nil || len(got) != 4 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if !got[0].Status.Has(StatusMessages) || got[0].Status.Messages != 5 || got[2].Status != nil || got[3].Status.Messages != 7 {
		t.Errorf("got %+v", got)
	}
}

func TestListExtendedAnswersBad(t *testing.T) {
	c := session(t, "IMAP4rev1 LIST-EXTENDED", `C: $a LIST "" "*" RETURN (SUBSCRIBED CHILDREN)
		S: $a BAD what
		C: $b LIST "" "*"
		S: * LIST () "/" INBOX
		S: $b OK done`)
	if got, err := c.List(within(t), nil); err != nil || len(got) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestListSubscribed(t *testing.T) {
	c := session(t, "IMAP4rev1", "C: $a LSUB \"\" \"*\"\nS: * LSUB () \".\" INBOX.a\nS: $a OK done")
	if got, err := c.List(within(t), &ListOptions{Subscribed: true}); err != nil || len(got) != 1 || got[0].Name != "INBOX.a" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A name that is not modified UTF-7 can be used as the server wrote it.
func TestI4_RawNamesAreUsedAsTheyCame(t *testing.T) {
	c := session(t, "IMAP4rev1 LITERAL+", `C: $a LIST "" "*"
		S: * LIST () "/" "A&B"
		S> "* LIST () \"/\" \"caf\xc3\xa9\"\r\n"
		S: $a OK done
		C: $b SELECT A&B
		S: $b OK done
		C: $c SELECT {5+}
		C> "caf\xc3\xa9\r\n"
		S: $c OK done
		C: $d SELECT R&-D
		S: $d OK done`)
	got, err := c.List(within(t), nil)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, name := range []string{got[0].Name, got[1].Name, "R&D"} {
		if _, err := c.Select(within(t), name, nil); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestI3_MailboxNamesAreOneArgument(t *testing.T) {
	for name, want := range map[string]string{
		"a\r\nA2 DELETE INBOX": `"a&AA0ACg-A2 DELETE INBOX"`,
		`a"b\c`:                `"a\"b\\c"`,
		"a b":                  `"a b"`,
		"{5+}":                 `"{5+}"`,
		"*":                    `"\*"`,
		"":                     `""`,
		"nil":                  `"nil"`,
		"inbox":                "INBOX",
	} {
		t.Run(name, func(t *testing.T) {
			want := strings.NewReplacer(`\"`, `\"`).Replace(want)
			c := session(t, "IMAP4rev1 LITERAL+", "C: $a CREATE "+want+"\nS: $a OK done")
			if err := c.Create(within(t), name); err != nil {
				t.Error(err)
			}
		})
	}
	for _, bad := range []string{"a\x00b", "\xff"} {
		c := session(t, "IMAP4rev1", "C: $a NOOP\nS: $a OK done")
		var argument *wire.ArgumentError
		if err := c.Create(within(t), bad); !errors.As(err, &argument) {
			t.Errorf("%q: got %v, want an argument error", bad, err)
		}
		if err := c.Noop(within(t)); err != nil {
			t.Errorf("%q: the connection is broken: %v", bad, err)
		}
	}
}

func TestStatus(t *testing.T) {
	c := session(t, allCaps, `C: $a STATUS "a b" (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ MAILBOXID)
		S: * STATUS other (MESSAGES 99)
		S: * STATUS "a b" (MESSAGES 1 RECENT 2 UIDNEXT 3 UIDVALIDITY 4 UNSEEN 5 SIZE 6 HIGHESTMODSEQ 7 MAILBOXID (F8) X-NEW (a "b" {1}
		S> "c))\r\n"
		S: $a OK done`)
	got, err := c.Status(within(t), "a b", 0xffff)
	want := &StatusData{Mailbox: "a b", Items: 0xff, Messages: 1, Recent: 2, UIDNext: 3, UIDValidity: 4, Unseen: 5, Size: 6, HighestModSeq: 7, MailboxID: "F8"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestSelect(t *testing.T) {
	c := session(t, allCaps, `C: $a SELECT Archive (CONDSTORE)
		S: * 172 EXISTS
		S: * 1 RECENT
		S: * OK [UNSEEN 12] first
		S: * OK [UIDVALIDITY 3857529045] ok
		S: * OK [UIDNEXT 4392] ok
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft \$Forwarded)
		S: * OK [PERMANENTFLAGS (\Deleted \Seen \*)] limited
		S: * OK [HIGHESTMODSEQ 715194045007]
		S: * OK [MAILBOXID (F2212ea87-6097-4256-9d51-71338625)] ok
		S: $a OK [READ-WRITE] done`)
	got, err := c.Select(within(t), "Archive", &SelectOptions{CondStore: true})
	want := &SelectData{Mailbox: "Archive", Exists: 172, Recent: 1, FirstUnseen: 12, UIDValidity: 3857529045, UIDNext: 4392,
		HighestModSeq: 715194045007, MailboxID: "F2212ea87-6097-4256-9d51-71338625", CanChange: true,
		Flags:          []Flag{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`, "$Forwarded"},
		PermanentFlags: []Flag{`\Deleted`, `\Seen`, `\*`}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if c.Mailbox() != "Archive" {
		t.Errorf("mailbox is %q", c.Mailbox())
	}
}

func TestSelectRefusedLeavesNothingSelected(t *testing.T) {
	c := selected(t, allCaps, "C: $a SELECT nope\nS: $a NO [NONEXISTENT] no such mailbox")
	_, err := c.Select(within(t), "nope", nil)
	wantRefusal(t, err, "NO", "NONEXISTENT")
	if want := `select "nope": NO [NONEXISTENT] no such mailbox`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if _, err := c.Search(within(t)); err != ErrNotSelected {
		t.Errorf("got %v, want ErrNotSelected", err)
	}
}

func TestSelectWithoutOffersIsPlain(t *testing.T) {
	c := session(t, "IMAP4rev1", "C: $a SELECT INBOX\nS: * 5348 EXISTS\nS: $a OK [READ-ONLY] done")
	got, err := c.Select(within(t), "inbox", &SelectOptions{CondStore: true})
	if err != nil || !got.ReadOnly || got.UIDValidity != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestUnselect(t *testing.T) {
	c := selected(t, allCaps, "C: $a UNSELECT\nS: $a OK done")
	if err := c.Unselect(within(t)); err != nil || c.Mailbox() != "" {
		t.Errorf("got %v", err)
	}
	c = selected(t, "IMAP4rev1", "C: $a EXAMINE \"\"\nS: $a NO no such mailbox")
	if err := c.Unselect(within(t)); err != nil || c.Mailbox() != "" {
		t.Errorf("without UNSELECT: got %v", err)
	}
}

func TestMailboxCommands(t *testing.T) {
	c := session(t, allCaps, `
		C: $a CREATE Entw&APw-rfe
		S: $a OK done
		C: $b DELETE "a b"
		S: $b OK done
		C: $c RENAME a "b c"
		S: $c OK done
		C: $d SUBSCRIBE a
		S: $d OK done
		C: $e UNSUBSCRIBE a
		S: $e NO not subscribed
		C: $f LOGOUT
		S: * BYE bye
		S: $f OK done`)
	ctx := within(t)
	for i, err := range []error{c.Create(ctx, "Entwürfe"), c.Delete(ctx, "a b"), c.Rename(ctx, "a", "b c"), c.Subscribe(ctx, "a")} {
		if err != nil {
			t.Errorf("command %d: %v", i, err)
		}
	}
	wantRefusal(t, c.Unsubscribe(ctx, "a"), "NO", "")
	if err := c.Logout(ctx); err != nil {
		t.Errorf("logout: %v", err)
	}
}

func TestSearch(t *testing.T) {
	day := time.Date(2026, 11, 1, 15, 0, 0, 0, time.UTC)
	set, _ := imapwire.ParseUIDSet("1:9,20:*")
	seqs, _ := imapwire.ParseSeqSet("1:3")
	tests := []struct {
		name, caps, script, want string
		keys                     []SearchKey
	}{
		{"all", "", "C: $a UID SEARCH ALL\nS: * SEARCH 1 2 3 9\nS: $a OK done", "1:3,9", nil},
		{"nothing", "", "C: $a UID SEARCH UNSEEN\nS: * SEARCH\nS: $a OK done", "", []SearchKey{SearchNoFlag(`\Seen`)}},
		{"trailing space", "", "C: $a UID SEARCH ALL\nS: * SEARCH 1 2 \nS: $a OK done", "1:2", nil},
		{"modseq", "", "C: $a UID SEARCH ALL\nS: * SEARCH 2 5 (MODSEQ 917162500)\nS: $a OK done", "2,5", nil},
		{"two lines", "", "C: $a UID SEARCH ALL\nS: * SEARCH 1\nS: * SEARCH 5\nS: $a OK done", "1,5", nil},
		{"esearch", "ESEARCH", "C: $a UID SEARCH RETURN (ALL) SEEN\nS: * ESEARCH (TAG \"x\") UID ALL 99\nS: * ESEARCH (TAG \"${a}\") UID COUNT 5 ALL 1:4,9 MODSEQ 8\nS: $a OK done", "1:4,9", []SearchKey{SearchFlag(`\Seen`)}},
		{"esearch, nothing", "ESEARCH", "C: $a UID SEARCH RETURN (ALL) ALL\nS: * ESEARCH (TAG \"${a}\") UID\nS: $a OK done", "", nil},
		{"esearch offered, not understood", "ESEARCH", "C: $a UID SEARCH RETURN (ALL) ALL\nS: $a BAD\nC: $b UID SEARCH ALL\nS: * SEARCH 4\nS: $b OK done", "4", nil},
		{"strings", "", `C: $a UID SEARCH FROM "bot" SUBJECT "a \"b\" \\c" HEADER "List-Id" "" NOT TEXT "x"` + "\nS: $a OK done", "",
			[]SearchKey{SearchFrom("bot"), SearchSubject(`a "b" \c`), SearchHeader("List-Id", ""), SearchNot(SearchText("x"))}},
		{"dates and sizes", "", "C: $a UID SEARCH SINCE 1-Nov-2026 SENTBEFORE 1-Nov-2026 LARGER 0 SMALLER 1048576\nS: $a OK done", "",
			[]SearchKey{SearchSince(day), SearchSentBefore(day), SearchLarger(0), SearchSmaller(1 << 20)}},
		{"sets", "", "C: $a UID SEARCH UID 1:9,20:\\* 1:3\nS: $a OK done", "", []SearchKey{SearchUIDs(set), SearchSeq(seqs)}},
		{"flags", "", "C: $a UID SEARCH KEYWORD $$x UNKEYWORD todo OLD UNDELETED\nS: $a OK done", "",
			[]SearchKey{SearchFlag("$$x"), SearchNoFlag("todo"), SearchNoFlag(`\Recent`), SearchNoFlag(`\Deleted`)}},
		{"or", "", "C: $a UID SEARCH OR SEEN (FLAGGED SMALLER 5)\nS: $a OK done", "", []SearchKey{SearchOr(SearchFlag(`\Seen`), SearchRaw("FLAGGED SMALLER 5"))}},
		{"not ascii", "LITERAL+", "C: $a UID SEARCH CHARSET UTF-8 SUBJECT {3+}\nC> \"\\xc3\\xa9x\\r\\n\"\nS: $a OK done", "", []SearchKey{SearchSubject("éx")}},
		{"not ascii, waiting", "", "C: $a UID SEARCH CHARSET UTF-8 SUBJECT {3}\nS: + go\nC> \"\\xc3\\xa9x\\r\\n\"\nS: * SEARCH 8\nS: $a OK done", "8", []SearchKey{SearchSubject("éx")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := strings.ReplaceAll(tt.script, "$$", `\$`)
			for i, k := range tt.keys {
				if k.atom == "$$x" {
					tt.keys[i].atom = "$x"
				}
			}
			c := selected(t, "IMAP4rev1 "+tt.caps, script)
			got, err := c.Search(within(t), tt.keys...)
			if err != nil || got.String() != tt.want {
				t.Errorf("got %q, %v, want %q", got.String(), err, tt.want)
			}
		})
	}
}

func TestSearchBadCharset(t *testing.T) {
	c := selected(t, "IMAP4rev1", "C: $a UID SEARCH CHARSET UTF-8 SUBJECT {2}\nS: $a NO [BADCHARSET (US-ASCII)] no\nC: $b NOOP\nS: $b OK done")
	_, err := c.Search(within(t), SearchSubject("é"))
	wantRefusal(t, err, "NO", "BADCHARSET")
	if err := c.Noop(within(t)); err != nil {
		t.Errorf("a refused literal broke the connection: %v", err)
	}
}

func TestS5_HugeSearchAnswer(t *testing.T) {
	var b strings.Builder
	for i := 1; i <= 600_000; i += 2 {
		fmt.Fprintf(&b, " %d", i)
	}
	addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\n"+inbox+"C: $a UID SEARCH ALL\nSEND answer\nS: $a OK done\nC? * LOGOUT",
		wiretest.Var("answer", "* SEARCH"+b.String()+"\r\n"))
	c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Select(within(t), "INBOX", nil); err != nil {
		t.Fatal(err)
	}
	got, err := c.Search(within(t))
	if err != nil || got.Count() != 300_000 {
		t.Errorf("got %d, %v, want 300000 in a line of %d octets", got.Count(), err, b.Len())
	}
}

func TestParseTerms(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tests := []struct{ in, want string }{
		{"unseen", "UNSEEN"},
		{"UNSEEN", "UNSEEN"},
		{"all", "ALL"},
		{"from:bot", `FROM "bot"`},
		{`subject:"nightly build"`, `SUBJECT "nightly build"`},
		{"subject:nightly build: done", `SUBJECT "nightly build: done"`},
		{"since:2026-11-01", "SINCE 1-Nov-2026"},
		{"before:7d", "BEFORE 15-Nov-2026"},
		{"before:2w", "BEFORE 8-Nov-2026"},
		{"on:today", "ON 22-Nov-2026"},
		{"sentsince:yesterday", "SENTSINCE 21-Nov-2026"},
		{"larger:1M", "LARGER 1048576"},
		{"smaller:500", "SMALLER 500"},
		{"header:List-Id:foo", `HEADER "List-Id" "foo"`},
		{"header:X-Spam", `HEADER "X-Spam" ""`},
		{"header:Subject:a:b", `HEADER "Subject" "a:b"`},
		{"keyword:todo", "KEYWORD todo"},
		{"keyword:seen", "SEEN"},
		{"unkeyword:$Junk", "UNKEYWORD $Junk"},
		{"uid:1:9", "UID 1:9"},
		{"not:flagged", "NOT FLAGGED"},
		{"not:from:a", `NOT FROM "a"`},
		{"not:not:all", "NOT NOT ALL"},
		{"text:a\r\nb", "TEXT {4+}\r\na\r\nb"},
	}
	for _, tt := range tests {
		keys, err := ParseTerms([]string{tt.in}, now)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		var out strings.Builder
		e := imapwire.NewEncoder(stringOutput{&out})
		e.Literals = imapwire.LiteralPlus
		e.Begin("x").SP()
		encodeKeys(e, keys)
		if err := e.End(); err != nil || strings.TrimSuffix(out.String()[2:], "\r\n") != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.in, out.String()[2:], err, tt.want)
		}
		if !IsTerm(tt.in) {
			t.Errorf("IsTerm(%q) is false", tt.in)
		}
	}
	for _, bad := range []string{"", "foo", "foo:bar", "from:", "unseen:x", "since:soon", "since:2026-13-01", "since:", "larger:", "larger:x", "larger:-1",
		"larger:5G", "uid:", "uid:0", "uid:a", "keyword:a b", "keyword:", "header:", "header: x", "not:", "not:foo", "unseen from:x", strings.Repeat("not:", 20) + "seen", "1:5", "*"} {
		if keys, err := ParseTerms([]string{bad}, now); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, keys)
		}
	}
	for _, set := range []string{"1", "1:5", "*", "900:*", "-", "1:5,9"} {
		if IsTerm(set) {
			t.Errorf("IsTerm(%q) is true", set)
		}
	}
}

type stringOutput struct{ b *strings.Builder }

func (o stringOutput) WriteLine(s string) error    { o.b.WriteString(s + "\r\n"); return nil }
func (o stringOutput) Write(p []byte) (int, error) { return o.b.Write(p) }

func TestStore(t *testing.T) {
	c := selected(t, allCaps, `C: $a UID STORE 1:3 +FLAGS.SILENT (\Seen \$Forwarded)
		S: $a OK done
		C: $b UID STORE 4 -FLAGS.SILENT (todo)
		S: * 1 FETCH (FLAGS (\Seen))
		S: $b OK done
		C: $c UID STORE 5 FLAGS.SILENT ()
		S: $c NO [CANNOT] no`)
	ctx := within(t)
	if err := c.Store(ctx, uids(t, "1:3"), AddFlags, []Flag{`\Seen`, "$Forwarded"}); err != nil {
		t.Error(err)
	}
	if err := c.Store(ctx, uids(t, "4"), RemoveFlags, []Flag{"todo"}); err != nil {
		t.Error(err)
	}
	wantRefusal(t, c.Store(ctx, uids(t, "5"), SetFlags, nil), "NO", "CANNOT")
}

func TestStoreBadFlagSendsNothing(t *testing.T) {
	c := selected(t, allCaps, "C: $a NOOP\nS: $a OK done")
	if err := c.Store(within(t), uids(t, "1"), AddFlags, []Flag{"a) b"}); err == nil {
		t.Error("got no error")
	}
	if err := c.Noop(within(t)); err != nil {
		t.Error(err)
	}
}

func TestExpunge(t *testing.T) {
	c := selected(t, allCaps, `C: $a EXPUNGE
		S: * 3 EXPUNGE
		S: * 3 EXPUNGE
		S: $a OK done
		C: $b UID EXPUNGE 5:6
		S: * VANISHED 5:6
		S: $b OK done`)
	if n, err := c.Expunge(within(t)); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2", n, err)
	}
	if n, err := c.UIDExpunge(within(t), uids(t, "5:6")); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2", n, err)
	}
}

func TestUIDExpungeNeedsUIDPlus(t *testing.T) {
	c := selected(t, "IMAP4rev1", "")
	var lacks *CapabilityError
	if _, err := c.UIDExpunge(within(t), uids(t, "5")); !errors.As(err, &lacks) {
		t.Errorf("got %v, want a capability error", err)
	}
}

func TestCopy(t *testing.T) {
	c := selected(t, allCaps, `C: $a UID COPY 304,319:320 Trash
		S: $a OK [COPYUID 38505 304,319:320 3956:3958] done`)
	got, err := c.Copy(within(t), uids(t, "304,319:320"), "Trash")
	if err != nil || got.UIDValidity != 38505 {
		t.Fatalf("got %+v, %v", got, err)
	}
	pairs := ""
	got.Each(func(src, dst UID) { pairs += fmt.Sprintf("%d>%d ", src, dst) })
	if pairs != "304>3956 319>3957 320>3958 " {
		t.Errorf("got %q", pairs)
	}
}

func TestS6_UIDPlusCodesOnlyForTheCommandInFlight(t *testing.T) {
	c := selected(t, allCaps, `C: $a NOOP
		S: $a OK [APPENDUID 1 99] done
		C: $b UID COPY 1 x
		S: * OK [COPYUID 9 1 9] not ours
		S: * OK [APPENDUID 1 99] nor this
		S: $b OK [APPENDUID 1 99] done
		C: $c APPEND x {1+}
		C> "a\r\n"
		S: * OK [APPENDUID 1 99] not ours
		S: $c OK [COPYUID 9 1 9] done
		C: $d UID COPY 2 x
		S: $d OK [COPYUID 9 1:4294967295 1] lengths differ
		C: $e UID COPY 2 x
		S: $e OK [COPYUID 9 0 1] zero`)
	ctx := within(t)
	if err := c.Noop(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Copy(ctx, uids(t, "1"), "x"); err != nil || got.UIDValidity != 0 {
		t.Errorf("copy: got %+v, %v, want no UIDs", got, err)
	}
	if got, err := c.Append(ctx, "x", 1, strings.NewReader("a"), nil); err != nil || got.UID != 0 {
		t.Errorf("append: got %+v, %v, want no UID", got, err)
	}
	for range 2 {
		if got, err := c.Copy(ctx, uids(t, "2"), "x"); err != nil || got.UIDValidity != 0 {
			t.Errorf("bad COPYUID: got %+v, %v, want no UIDs", got, err)
		}
	}
}

func TestMove(t *testing.T) {
	for name, reply := range map[string]string{
		"untagged":       "S: * OK [COPYUID 55 31 6] moved\nS: * 1 EXPUNGE\nS: $a OK done",
		"tagged":         "S: * 1 EXPUNGE\nS: $a OK [COPYUID 55 31 6] done",
		"exchange naked": "S: [COPYUID 55 31 6]\nS: * 1 EXPUNGE\nS: * 0 EXISTS\nS: $a OK MOVE completed.",
	} {
		t.Run(name, func(t *testing.T) {
			c := selected(t, allCaps, "C: $a UID MOVE 31 Trash\n"+reply)
			got, err := c.Move(within(t), uids(t, "31"), "Trash")
			if err != nil || got.UIDValidity != 55 || len(got.Dest) != 1 || got.Dest[0].Start != 6 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// TestR6_MoveOrder: "imap move never deletes before COPY's OK". The peer fails
// the test for any command that is not in the script.
func TestR6_MoveOrder(t *testing.T) {
	const find = "C: $f UID SEARCH UID 5:7\nS: * SEARCH 5 6\nS: ${f} OK done\n"
	const copied = find + "C: $a UID COPY 5:6 Trash\nS: $a OK done\n"
	const marked = copied + "C: $b UID STORE 5:6 +FLAGS.SILENT (\\Deleted)\nS: $b OK done\n"
	tests := []struct {
		name, caps, script string
		ok                 bool
		status             string
	}{
		{"all goes well", "UIDPLUS", marked + "C: $c UID EXPUNGE 5:6\nS: * 1 EXPUNGE\nS: $c OK done", true, ""},
		{"copy refused", "UIDPLUS", find + "C: $a UID COPY 5:6 Trash\nS: $a NO [TRYCREATE] no", false, "NO"},
		{"copy bad", "UIDPLUS", find + "C: $a UID COPY 5:6 Trash\nS: $a BAD no", false, "BAD"},
		{"copy cut", "UIDPLUS", find + "C: $a UID COPY 5:6 Trash\nCLOSE", false, ""},
		{"copy answered by another tag", "UIDPLUS", find + "C: $a UID COPY 5:6 Trash\nS: x OK done\nHANG", false, ""},
		{"copy answered by untagged OK", "UIDPLUS", find + "C: $a UID COPY 5:6 Trash\nS: * OK [COPYUID 1 5:6 1:2] done\nCLOSE", false, ""},
		{"bye during copy", "UIDPLUS", find + "C: $a UID COPY 5:6 Trash\nS: * BYE\nCLOSE", false, "BYE"},
		{"store refused", "UIDPLUS", copied + "C: $b UID STORE 5:6 +FLAGS.SILENT (\\Deleted)\nS: $b NO read-only", false, "NO"},
		{"store cut", "UIDPLUS", copied + "C: $b UID STORE 5:6 +FLAGS.SILENT (\\Deleted)\nCLOSE", false, ""},
		{"expunge refused", "UIDPLUS", marked + "C: $c UID EXPUNGE 5:6\nS: $c NO no", false, "NO"},
		{"only what was copied", "UIDPLUS", find + "C: $a UID COPY 5:6 Trash\nS: $a OK [COPYUID 9 6 1] done\nC: $b UID STORE 6 +FLAGS.SILENT (\\Deleted)\nS: $b OK done\nC: $c UID EXPUNGE 6\nS: $c OK done", true, ""},
		{"nothing there", "UIDPLUS", "C: $f UID SEARCH UID 5:7\nS: * SEARCH\nS: $f OK done", true, ""},
		{"search refused", "UIDPLUS", "C: $f UID SEARCH UID 5:7\nS: $f NO no", false, "NO"},
		{"no UIDPLUS: never a plain expunge", "", marked, false, "left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := "S: * PREAUTH [CAPABILITY IMAP4rev1 " + tt.caps + "] hi\n" + inbox + tt.script
			if !strings.HasSuffix(tt.script, "CLOSE") && !strings.HasSuffix(tt.script, "HANG") {
				script += "\nC? * LOGOUT"
			}
			c, err := dial(t, script, wire.Cleartext, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Select(within(t), "INBOX", nil); err != nil {
				t.Fatal(err)
			}
			_, err = c.Move(within(t), uids(t, "5:7"), "Trash")
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
			var left *NotExpungedError
			switch tt.status {
			case "":
			case "left":
				if !errors.As(err, &left) || left.UIDs.String() != "5:6" {
					t.Errorf("got %v, want what is left", err)
				}
			default:
				var e *Error
				if !errors.As(err, &e) || e.Status != tt.status {
					t.Errorf("got %v, want %s", err, tt.status)
				}
			}
		})
	}
}

func TestAppend(t *testing.T) {
	when := time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600))
	const body = "A: b\r\n\r\nhello\r\n"
	tests := []struct {
		name, caps, script string
		o                  *AppendOptions
		uid                UID
	}{
		{"non-synchronising", "LITERAL+ UIDPLUS", "C: $a APPEND x {15+}\nC{15} \"A: b\\r\\n\\r\\nhello\\r\\n\"\nC:\nS: $a OK [APPENDUID 7 99] done", nil, 99},
		{"small enough for LITERAL-", "LITERAL-", "C: $a APPEND x {15+}\nC{15}\nC:\nS: $a OK done", nil, 0},
		{"synchronising", "", "C: $a APPEND x {15}\nS: * 5 EXISTS\nS: + go\nC{15}\nC:\nS: $a OK done", nil, 0},
		{"with everything", "LITERAL+", "C: $a APPEND x (\\Seen \\$Junk) \"17-Jul-1996 02:44:25 -0700\" {15+}\nC{15}\nC:\nS: $a OK [APPENDUID 7 1:2] done",
			&AppendOptions{Flags: []Flag{`\Seen`, "$Junk"}, Date: when}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := session(t, "IMAP4rev1 "+tt.caps, tt.script)
			got, err := c.Append(within(t), "x", int64(len(body)), strings.NewReader(body), tt.o)
			if err != nil || got.UID != tt.uid {
				t.Errorf("got %+v, %v, want UID %d", got, err, tt.uid)
			}
		})
	}
}

func TestR7_Append(t *testing.T) {
	send := func(c *Client, r io.Reader) error {
		_, err := c.Append(within(t), "x", 5, r, nil)
		return err
	}
	t.Run("refused before the message", func(t *testing.T) {
		c := session(t, "IMAP4rev1", "C: $a APPEND x {5}\nS: $a NO [TRYCREATE] no such mailbox\nC: $b NOOP\nS: $b OK done")
		err := send(c, strings.NewReader("a: b\n"))
		wantRefusal(t, err, "NO", "TRYCREATE")
		if err := c.Noop(within(t)); err != nil {
			t.Errorf("the session did not go on: %v", err)
		}
	})
	t.Run("refused after the message", func(t *testing.T) {
		c := session(t, "IMAP4rev1", "C: $a APPEND x {5}\nS: + go\nC{5}\nC:\nS: $a NO [OVERQUOTA] full\nC: $b NOOP\nS: $b OK done")
		err := send(c, strings.NewReader("a: b\n"))
		wantRefusal(t, err, "NO", "OVERQUOTA")
		if err := c.Noop(within(t)); err != nil {
			t.Errorf("the session did not go on: %v", err)
		}
	})
	t.Run("lost reply", func(t *testing.T) {
		c, _ := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1 LITERAL+] hi\nC: $a APPEND x {5+}\nC{5}\nC:\nCLOSE", wire.Cleartext, nil)
		var uncertain *UncertainError
		if err := send(c, strings.NewReader("a: b\n")); !errors.As(err, &uncertain) || !uncertain.Temporary() {
			t.Errorf("got %v, want an uncertain error", err)
		}
	})
	t.Run("lost reply, later in the session", func(t *testing.T) {
		c := session(t, "IMAP4rev1 LITERAL+", "C: $b NOOP\nS: $b OK done\nC: $a APPEND x {5+}\nC{5}\nC:\nCLOSE")
		if err := c.Noop(within(t)); err != nil {
			t.Fatal(err)
		}
		var uncertain *UncertainError
		if err := send(c, strings.NewReader("a: b\n")); !errors.As(err, &uncertain) {
			t.Errorf("got %v, want an uncertain error", err)
		}
	})
	t.Run("cut before the end is certain", func(t *testing.T) {
		c, _ := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC: $a APPEND x {5}\nCLOSE", wire.Cleartext, nil)
		var uncertain *UncertainError
		if err := send(c, strings.NewReader("a: b\n")); err == nil || errors.As(err, &uncertain) {
			t.Errorf("got %v, want a plain error", err)
		}
	})
	broken := errors.New("disk")
	for name, r := range map[string]io.Reader{"short": strings.NewReader("abc"), "long": strings.NewReader("abcdefgh"), "broken": io.MultiReader(strings.NewReader("ab"), failing{broken})} {
		t.Run("reader is "+name, func(t *testing.T) {
			var sent wiretest.Captured
			addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1 LITERAL+] hi\nHANG", wiretest.Capture(&sent))
			c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
			if err != nil {
				t.Fatal(err)
			}
			err = send(c, r)
			if err == nil || (name == "broken" && err != broken) {
				t.Errorf("got %v", err)
			}
			if c.Err() == nil {
				t.Error("the connection lives on")
			}
			c.Close()
			if got := string(sent.Received(0)); strings.Count(got, "\r\n") > 1 {
				t.Errorf("the command was completed: %q", got)
			}
		})
	}
	t.Run("over the server's limit", func(t *testing.T) {
		c := session(t, "IMAP4rev1 APPENDLIMIT=4", "C: $b NOOP\nS: $b OK done")
		wantRefusal(t, send(c, strings.NewReader("a: b\n")), "NO", "TOOBIG")
		if err := c.Noop(within(t)); err != nil {
			t.Error(err)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestByeInTheMiddle(t *testing.T) {
	t.Run("and closed", func(t *testing.T) {
		c, _ := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC: $a NOOP\nS: * BYE [UNAVAILABLE] shutting down\nCLOSE", wire.Cleartext, nil)
		err := c.Noop(within(t))
		wantRefusal(t, err, "BYE", "UNAVAILABLE")
		if err := c.Noop(within(t)); err == nil {
			t.Error("the connection lives on")
		}
	})
	t.Run("the reply that is owed counts", func(t *testing.T) {
		c, _ := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi\nC: $a NOOP\nS: * BYE bye\nS: $a NO [LIMIT] first\nCLOSE", wire.Cleartext, nil)
		wantRefusal(t, c.Noop(within(t)), "NO", "LIMIT")
		wantRefusal(t, c.Noop(within(t)), "BYE", "")
	})
}

func TestS5_SearchFindsMoreThanThereIs(t *testing.T) {
	c := selected(t, "IMAP4rev1 ESEARCH", "C: $a UID SEARCH RETURN (ALL) ALL\nS: * ESEARCH (TAG \"${a}\") UID ALL 1:4294967295\nS: $a OK done")
	_, err := c.Search(within(t))
	wantProtocol(t, err)
}
