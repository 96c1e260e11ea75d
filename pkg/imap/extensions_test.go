package imap

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

func TestESearch(t *testing.T) {
	c := selected(t, "IMAP4rev1 ESEARCH SEARCHRES PARTIAL", `
		C: $a UID SEARCH RETURN (MIN MAX COUNT) SEEN
		S: * ESEARCH (TAG "${a}") UID MIN 3 MAX 90 COUNT 7
		S: $a OK done
		C: $a UID SEARCH RETURN (COUNT PARTIAL -1:-2) ALL
		S: * ESEARCH (TAG "${a}") UID PARTIAL (-1:-2 88,90) COUNT 40 MODSEQ 917162500
		S: $a OK done
		C: $a UID SEARCH RETURN (PARTIAL 100:200) ALL
		S: * ESEARCH (TAG "${a}") UID PARTIAL (100:200 NIL)
		S: $a OK done
		C: $a UID SEARCH RETURN (SAVE) FLAGGED
		S: $a OK done
		C: $a UID SEARCH RETURN (ALL) $ UNSEEN
		S: * ESEARCH (TAG "someone") UID ALL 1:5
		S: * ESEARCH (TAG "${a}") UID ALL 2,4
		S: $a OK done
		C: $a UID FETCH $ (UID FLAGS)
		S: * 2 FETCH (UID 2 FLAGS (\Seen))
		S: $a OK done
		C: $a UID FETCH 1:\* (UID FLAGS) (PARTIAL -1:-500)
		S: * 2 FETCH (UID 90 FLAGS (\Seen))
		S: $a OK done`)
	ctx := within(t)
	for _, tt := range []struct {
		ret  SearchReturn
		keys []SearchKey
		want string
	}{
		{SearchReturn{Min: true, Max: true, Count: true}, []SearchKey{SearchFlag(`\Seen`)}, " 7 3 90 0"},
		{SearchReturn{Count: true, Partial: Partial{-1, -2}}, nil, "88,90 40 0 0 917162500"},
		{SearchReturn{Partial: Partial{100, 200}}, nil, " 0 0 0 0"},
		{SearchReturn{Save: true}, []SearchKey{SearchFlag(`\Flagged`)}, " 0 0 0 0"},
		{SearchReturn{All: true}, []SearchKey{SearchSaved(), SearchNoFlag(`\Seen`)}, "2,4 0 0 0 0"},
	} {
		d, err := c.ESearch(ctx, tt.ret, tt.keys...)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(d.UIDs.String(), " ", d.Count, d.Min, d.Max, d.ModSeq); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.ret, got, tt.want)
		}
	}
	var got []UID
	each := func(m *Message) error { got = append(got, m.UID); return nil }
	if missing, err := c.Fetch(ctx, UIDSet{}, &FetchOptions{Flags: true, Saved: true}, each); err != nil || !missing.Empty() {
		t.Errorf("saved: missing %v, %v", missing, err)
	}
	if missing, err := c.Fetch(ctx, uids(t, "1:*"), &FetchOptions{Flags: true, Partial: Partial{-1, -500}}, each); err != nil || !missing.Empty() {
		t.Errorf("partial: missing %v, %v", missing, err)
	}
	if !reflect.DeepEqual(got, []UID{2, 90}) {
		t.Errorf("got %v", got)
	}
	if _, err := c.ESearch(ctx, SearchReturn{Partial: Partial{-1, 5}}); err == nil {
		t.Error("a window of two sides: got no error")
	}
}

// TestPartialChangedSince follows the example of RFC 9394 §3.4, in which two modifiers meet.
func TestPartialChangedSince(t *testing.T) {
	c := selected(t, "IMAP4rev1 PARTIAL CONDSTORE", `
		C: $a UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -1:-30 CHANGEDSINCE 98305)
		S: * 12888 FETCH (FLAGS (\Flagged \Answered) MODSEQ (98306) UID 25997)
		S: * 12890 FETCH (FLAGS () MODSEQ (98312) UID 26600)
		S: $a OK FETCH completed`)
	var got []string
	_, err := c.Fetch(within(t), uids(t, "25900:26600"), &FetchOptions{Flags: true, Partial: Partial{-1, -30}, ChangedSince: 98305},
		func(m *Message) error { got = append(got, fmt.Sprint(m.UID, m.Flags, m.ModSeq)); return nil })
	if want := []string{`25997 [\Flagged \Answered] 98306`, "26600 [] 98312"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestESearchWithout takes the numbers from a plain search.
func TestESearchWithout(t *testing.T) {
	c := selected(t, "IMAP4rev1", "C: $a UID SEARCH ALL\nS: * SEARCH 9 3 4\nS: $a OK done")
	d, err := c.ESearch(within(t), SearchReturn{Count: true, Min: true, Max: true})
	if err != nil || d.Count != 3 || d.Min != 3 || d.Max != 9 || !d.UIDs.Empty() {
		t.Errorf("got %+v, %v", d, err)
	}
}

// TestCapabilityErrors asks a server that has nothing for everything: nothing is sent.
func TestCapabilityErrors(t *testing.T) {
	c, ctx := selected(t, "IMAP4rev1", ""), within(t)
	set := uids(t, "1")
	search := func(keys ...SearchKey) error { _, err := c.Search(ctx, keys...); return err }
	esearch := func(r SearchReturn) error { _, err := c.ESearch(ctx, r); return err }
	fetch := func(o FetchOptions) error { _, err := c.Fetch(ctx, set, &o, nil); return err }
	for want, err := range map[string]error{
		"IDLE":              func() error { _, err := c.Idle(ctx, 0); return err }(),
		"NOTIFY":            c.Notify(ctx, nil),
		"SORT":              func() error { _, err := c.Sort(ctx, []SortBy{{Key: SortDate}}); return err }(),
		"SORT=DISPLAY":      func() error { _, err := c.Sort(ctx, []SortBy{{Key: SortDisplayFrom}}); return err }(),
		"THREAD=REFERENCES": func() error { _, err := c.Threads(ctx, "REFERENCES"); return err }(),
		"QUOTA":             func() error { _, err := c.QuotaRoots(ctx, "INBOX"); return err }(),
		"REPLACE":           func() error { _, err := c.Replace(ctx, 1, "x", 1, strings.NewReader("x"), nil); return err }(),
		"X-GM-EXT-1":        c.StoreLabels(ctx, set, AddFlags, []string{"x"}),
		"x-gm-ext-1":        search(SearchNot(SearchGmail("has:attachment"))),
		"SEARCHRES":         esearch(SearchReturn{Save: true}),
		"searchres":         fetch(FetchOptions{Saved: true}),
		"PARTIAL":           esearch(SearchReturn{Partial: Partial{1, 2}}),
		"partial":           fetch(FetchOptions{Partial: Partial{1, 2}}),
		"WITHIN":            search(SearchYounger(time.Hour)),
		"CONDSTORE":         search(SearchModSeq(7)),
		"BINARY":            fetch(FetchOptions{Sections: []Section{{Part: []int{1}, Binary: true}}}),
		"binary":            fetch(FetchOptions{BinarySizes: []Section{{Part: []int{1}}}}),
		"COMPRESS=DEFLATE":  c.Compress(ctx),
		"UTF8=ACCEPT": func() error {
			_, err := c.Append(ctx, "x", 1, strings.NewReader("x"), &AppendOptions{UTF8: true})
			return err
		}(),
	} {
		var e *CapabilityError
		if !errors.As(err, &e) || !strings.EqualFold(e.Capability, want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// TestBinarySizes asks for the sizes of decoded parts; what was not asked for is skipped.
func TestBinarySizes(t *testing.T) {
	c := selected(t, "IMAP4rev1 BINARY", `
		C: $a UID FETCH 4:5 (UID BINARY.SIZE[1.2] BINARY.SIZE[3])
		S: * 9 FETCH (BINARY.SIZE[2] 5 BINARY.SIZE[3] 0 UID 4 BINARY.SIZE[1.2] 5000000000)
		S: * 10 FETCH (UID 5 BINARY.SIZE[2] 5)
		S: $a OK done`)
	var got []string
	missing, err := c.Fetch(within(t), uids(t, "4:5"), &FetchOptions{BinarySizes: []Section{{Part: []int{1, 2}}, {Part: []int{3}, Spec: "MIME"}}},
		func(m *Message) error { got = append(got, fmt.Sprint(m.UID, m.BinarySizes)); return nil })
	if want := []string{"4 [{3 0} {1.2 5000000000}]"}; err != nil || !reflect.DeepEqual(got, want) || missing.String() != "5" {
		t.Errorf("got %q, missing %v, %v, want %q, missing 5", got, missing, err, want)
	}
}

// TestLazyPreview follows RFC 8970 §4: what the server does not have at hand is NIL, a message without text has an
// empty one.
func TestLazyPreview(t *testing.T) {
	c := selected(t, "IMAP4rev1 PREVIEW", `
		C: $a UID FETCH 1:3 (UID PREVIEW (LAZY))
		S: * 1 FETCH (UID 1 PREVIEW "Preview text for message 1")
		S: * 2 FETCH (UID 2 PREVIEW NIL)
		S: * 3 FETCH (UID 3 PREVIEW "")
		S: $a OK FETCH complete.`)
	var got []string
	_, err := c.Fetch(within(t), uids(t, "1:3"), &FetchOptions{Preview: true, LazyPreview: true},
		func(m *Message) error {
			got = append(got, fmt.Sprintf("%d %q %v", m.UID, m.Preview, m.NoPreview))
			return nil
		})
	want := []string{`1 "Preview text for message 1" false`, `2 "" true`, `3 "" false`}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestAppendUTF8 sends headers in UTF-8 as RFC 6855 §4 wants them, once the server said that it takes them.
func TestAppendUTF8(t *testing.T) {
	const body = "Subject: crêpes\r\n\r\n"
	dialogue := func(enabled, appends string) *Client {
		c, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\nC: $a AUTHENTICATE *\n"+
			"S: $a OK [CAPABILITY IMAP4rev1 ENABLE UTF8=ACCEPT LITERAL+ MULTIAPPEND] in\nC: $e ENABLE UTF8=ACCEPT\nS: * ENABLED "+enabled+
			"\nS: $e OK done\n"+appends+"C? * LOGOUT", wire.Cleartext, &Options{Enable: []string{"UTF8=ACCEPT"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(within(t), alice()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	text := "C{20} \"Subject: crêpes\\r\\n\\r\\n\"\n"
	c := dialogue("UTF8=ACCEPT", "C: $s APPEND INBOX (\\Seen) UTF8 (~{20+}\n"+text+"C: )\nS: $s OK [APPENDUID 1 7] done\n")
	d, err := c.Append(within(t), "INBOX", int64(len(body)), strings.NewReader(body), &AppendOptions{UTF8: true, Flags: []Flag{`\Seen`}})
	if err != nil || d.UID != 7 {
		t.Errorf("got %+v, %v, want UID 7", d, err)
	}
	items := func(yield func(AppendItem, error) bool) {
		_ = yield(AppendItem{Size: int64(len(body)), Body: strings.NewReader(body), UTF8: true}, nil) &&
			yield(AppendItem{Size: 2, Body: strings.NewReader("\r\n")}, nil)
	}
	for enabled, want := range map[string]string{"UTF8=ACCEPT": "<nil> <nil>", "": "CapabilityError <nil>"} {
		appends := "C: $s APPEND INBOX {2+}\nC{2} \"\\r\\n\"\nC:\nS: $s OK done\n"
		if enabled != "" {
			appends = "C: $s APPEND INBOX UTF8 (~{20+}\n" + text + "C: ) {2+}\nC{2} \"\\r\\n\"\nC:\nS: $s OK done\n"
		}
		var got [2]string
		err := dialogue(enabled, appends).AppendAll(within(t), "INBOX", items, func(n int, r AppendResult) error {
			got[n] = strings.TrimPrefix(fmt.Sprintf("%T", r.Err), "*imap.")
			return nil
		})
		if text := strings.Join(got[:], " "); err != nil || text != want {
			t.Errorf("enabled %q: got %s, %v, want %s", enabled, text, err, want)
		}
	}
}

func TestSort(t *testing.T) {
	c := selected(t, "IMAP4rev1 SORT", `
		C: $a UID SORT (REVERSE DATE SUBJECT) UTF-8 SUBJECT {6}
		S: + go
		C: crêpe
		S: * SORT 9 3 4
		S: $a OK done
		C: $a UID SORT (SIZE) US-ASCII ALL
		S: * SORT
		S: $a OK done`)
	got, err := c.Sort(within(t), []SortBy{{SortDate, true}, {Key: SortSubject}}, SearchSubject("crêpe"))
	if err != nil || !reflect.DeepEqual(got, []UID{9, 3, 4}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := c.Sort(within(t), []SortBy{{Key: SortSize}}); err != nil || len(got) != 0 {
		t.Errorf("nothing found: got %v, %v", got, err)
	}
}

// threadText writes threads in one form.
func threadText(list []*Thread) string {
	var b strings.Builder
	for _, t := range list {
		t.Walk(func(t *Thread, depth int) { fmt.Fprintf(&b, "%s%d\n", strings.Repeat("-", depth), t.UID) })
	}
	return b.String()
}

func TestThreads(t *testing.T) {
	for reply, want := range map[string]string{
		"":                          "",
		" (2)(3 6 (4 23)(44 7 96))": "2\n3\n-6\n--4\n---23\n--44\n---7\n----96\n",
		" ((3)(5))":                 "0\n-3\n-5\n",
		" (1 ((2)(3)))":             "1\n-0\n--2\n--3\n",
		" (166)(167)":               "166\n167\n",
	} {
		c := selected(t, "IMAP4rev1 THREAD=REFERENCES", "C: $a UID THREAD REFERENCES US-ASCII ALL\nS: * THREAD"+reply+"\nS: $a OK done")
		got, err := c.Threads(within(t), "REFERENCES")
		if err != nil || threadText(got) != want {
			t.Errorf("%q: got %q, %v, want %q", reply, threadText(got), err, want)
		}
	}
}

func TestS4_ThreadNesting(t *testing.T) {
	for name, reply := range map[string]string{
		"too deep": strings.Repeat("(1 ", maxThreadDepth+1), "no end": "(1 2", "no beginning": "1)", "outside": "1 2", "zero": "(0)",
	} {
		t.Run(name, func(t *testing.T) {
			c := selected(t, "IMAP4rev1 THREAD=REFERENCES", "C: $a UID THREAD REFERENCES US-ASCII ALL\nS: * THREAD "+reply)
			_, err := c.Threads(within(t), "REFERENCES")
			wantProtocol(t, err)
		})
	}
}

func TestS5_MoreThanThereIs(t *testing.T) {
	for verb, reply := range map[string]string{"sort": "* SORT 1 2 3 4", "thread": "* THREAD (1 2 3 4)", "places": "* THREAD ((((((1))))))"} {
		t.Run(verb, func(t *testing.T) {
			c := session(t, "IMAP4rev1 SORT THREAD=REFERENCES", "C: $s SELECT a\nS: * 3 EXISTS\nS: $s OK done\nC: * UID *\nS: "+reply)
			if _, err := c.Select(within(t), "a", nil); err != nil {
				t.Fatal(err)
			}
			var err error
			if verb == "sort" {
				_, err = c.Sort(within(t), []SortBy{{Key: SortDate}})
			} else {
				_, err = c.Threads(within(t), "REFERENCES")
			}
			wantProtocol(t, err)
		})
	}
}

func TestQuota(t *testing.T) {
	c := session(t, "IMAP4rev1 QUOTA", `
		C: $a GETQUOTAROOT INBOX
		S: * QUOTAROOT INBOX "" {3}
		S: a b
		S: * QUOTA "" (STORAGE 10 512 message 4 100)
		S: * QUOTA {3}
		S: a b ()
		S: $a OK done
		C: $a GETQUOTA "a b"
		S: * QUOTA "a b" (STORAGE 9223372036854775807 9223372036854775807)
		S: $a OK done
		C: $a GETQUOTA x
		S: $a NO [NONEXISTENT] none`)
	got, err := c.QuotaRoots(within(t), "INBOX")
	want := []Quota{{"", []QuotaResource{{"STORAGE", 10, 512}, {"MESSAGE", 4, 100}}}, {"a b", nil}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if q, err := c.Quota(within(t), "a b"); err != nil || q.Resources[0].Limit != 1<<63-1 {
		t.Errorf("got %+v, %v", q, err)
	}
	_, err = c.Quota(within(t), "x")
	wantRefusal(t, err, "NO", "NONEXISTENT")
}

// TestReplace follows the example of RFC 8508 §3.3.
func TestReplace(t *testing.T) {
	c := selected(t, "IMAP4rev1 REPLACE UIDPLUS LITERAL+", `
		C: $a UID REPLACE 2000 Drafts (\Seen \Draft) {6+}
		C{6} "A: b\r\n"
		C:
		S: * OK [APPENDUID 1 2001] Replacement Message ready
		S: * 5 EXISTS
		S: * 4 EXPUNGE
		S: $a OK Replace completed`)
	got, err := c.Replace(within(t), 2000, "Drafts", 6, strings.NewReader("A: b\r\n"), &AppendOptions{Flags: []Flag{`\Seen`, `\Draft`}})
	if err != nil || *got != (AppendData{1, 2001}) || c.exists != 4 {
		t.Errorf("got %+v, %d messages, %v, want 1 2001, 4", got, c.exists, err)
	}
}

func TestUIDOnly(t *testing.T) {
	c := selected(t, "IMAP4rev1 ENABLE UIDONLY ESEARCH UIDPLUS", `
		C: $a ENABLE UIDONLY
		S: * ENABLED UIDONLY
		S: $a OK done
		C: $a UID FETCH 25900:26000 (UID FLAGS BODY.PEEK[])
		S: * 25996 UIDFETCH (FLAGS (\Seen) BODY[] {2}
		S> "hi)\r\n"
		S: * 99999 UIDFETCH (FLAGS () BODY[] {2}
		S> "no)\r\n"
		S: * 25997 UIDFETCH (UID 25997 BODY[] {2}
		S> "ho FLAGS ())\r\n"
		S: $a OK done
		C: $a UID EXPUNGE 25996
		S: * VANISHED 25996
		S: $a OK done`)
	if on, err := c.Enable(within(t), "UIDONLY"); err != nil || !on.Has("UIDONLY") {
		t.Fatalf("got %v, %v", on, err)
	}
	o := whole()
	o.Flags = true
	got, missing, err := bodies(c, within(t), uids(t, "25900:26000"), o)
	if err != nil || !reflect.DeepEqual(got, []string{"25996:=hi;", "25997:=ho;"}) || missing.Contains(25996) {
		t.Errorf("got %q, missing %v, %v", got, missing, err)
	}
	if n, err := c.UIDExpunge(within(t), uids(t, "25996")); n != 1 || err != nil {
		t.Errorf("expunge: got %d, %v", n, err)
	}
}

func TestMessageLimit(t *testing.T) {
	c := selected(t, "IMAP4rev1 MESSAGELIMIT=2", `
		C: $a UID SEARCH ALL
		S: * SEARCH 9 8
		S: $a OK [MESSAGELIMIT 2 8] partial
		C: $a UID SEARCH UID 1:7
		S: * SEARCH 5 3
		S: $a OK [MESSAGELIMIT 2 3] partial
		C: $a UID SEARCH UID 1:2
		S: * SEARCH 1
		S: $a OK done
		C: $a UID SEARCH UID 1:\*
		S: * SEARCH 1 3 5
		S: $a OK [MESSAGELIMIT 2 5] upwards
		C: $a UID SEARCH UID 1:\* UID 6:4294967295
		S: * SEARCH 8 9
		S: $a OK done
		C: $a UID FETCH 1,3 (UID FLAGS)
		C: $b UID FETCH 5,8 (UID FLAGS)
		S: * 1 FETCH (UID 1 FLAGS ())
		S: * 2 FETCH (UID 3 FLAGS ())
		S: $a OK done
		C: $c UID FETCH 9 (UID FLAGS)
		S: * 3 FETCH (UID 5 FLAGS ())
		S: * 4 FETCH (UID 8 FLAGS ())
		S: $b OK done
		S: * 5 FETCH (UID 9 FLAGS ())
		S: $c OK done
		C: $a UID STORE 1,3 +FLAGS.SILENT (\Seen)
		S: $a OK done`)
	all, err := c.Search(within(t))
	if err != nil || all.String() != "1,3,5,8:9" {
		t.Errorf("search: got %v, %v", all, err)
	}
	var got UIDSet
	if _, err := c.Fetch(within(t), uids(t, "1:*"), &FetchOptions{Flags: true}, func(m *Message) error { got.Add(m.UID); return nil }); err != nil || got.String() != "1,3,5,8:9" {
		t.Errorf("fetch: got %v, %v", got, err)
	}
	if err := c.Store(within(t), uids(t, "1,3"), AddFlags, []Flag{`\Seen`}); err != nil {
		t.Errorf("store: %v", err)
	}
}

func TestGmail(t *testing.T) {
	c := selected(t, "IMAP4rev1 X-GM-EXT-1", `
		C: $a UID SEARCH X-GM-RAW "has:attachment in:unread"
		S: * SEARCH 7
		S: $a OK done
		C: $a UID FETCH 7 (UID X-GM-MSGID X-GM-THRID X-GM-LABELS)
		S: * 1 FETCH (X-GM-THRID 18446744073709551615 X-GM-MSGID 1278455344230334865 X-GM-LABELS (\Inbox "Muy Importante" cr&AOo-pes {2}
		S> "a]) UID 7)\r\n"
		S: $a OK done
		C: $a UID STORE 7 +X-GM-LABELS.SILENT (\Starred cr&AOo-pes "a b")
		S: $a OK done`)
	if found, err := c.Search(within(t), SearchGmail("has:attachment in:unread")); err != nil || found.String() != "7" {
		t.Errorf("got %v, %v", found, err)
	}
	_, err := c.Fetch(within(t), uids(t, "7"), &FetchOptions{Gmail: true}, func(m *Message) error {
		if want := []string{`\Inbox`, "Muy Importante", "crêpes", "a]"}; !reflect.DeepEqual(m.Labels, want) || m.GmailID != 1278455344230334865 || m.GmailThread != 1<<64-1 {
			t.Errorf("got %q, %d, %d", m.Labels, m.GmailID, m.GmailThread)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := c.StoreLabels(within(t), uids(t, "7"), AddFlags, []string{`\Starred`, "crêpes", "a b"}); err != nil {
		t.Error(err)
	}
}

func TestNotify(t *testing.T) {
	c := selected(t, "IMAP4rev1 NOTIFY IDLE", `
		C: $a NOTIFY SET (selected (MessageNew MessageExpunge FlagChange)) (subtree Lists (MessageNew MessageExpunge))
		S: $a OK done
		C: $a UID SEARCH ALL
		S: * 1 EXISTS
		S: * SEARCH 3
		S: $a OK done
		S: * STATUS Lists/a (MESSAGES 4 UIDNEXT 9)
		S: * STATUS Lists/b (UIDNEXT 12)
		S: * LIST (\NonExistent) "/" Lists/c
		S: * 1 FETCH (FLAGS (\Seen))
		C: $a NOTIFY NONE
		S: $a OK done`)
	var got []string
	err := c.Watch(within(t), &WatchOptions{Others: []NotifyGroup{{"subtree", []string{"Lists"}, []NotifyEvent{NotifyMessageNew, NotifyMessageExpunge}}}}, func(e Event) error {
		line := e.Kind.String() + " " + e.Mailbox
		if e.Status != nil {
			line += fmt.Sprint(" ", e.Status.UIDNext)
		}
		if got = append(got, line); e.Kind == EventFlags {
			return ErrStop
		}
		return nil
	})
	if want := []string{"mailbox Lists/a 9", "mailbox Lists/b 12", "list Lists/c", "flags INBOX"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestR12_Idle(t *testing.T) {
	t.Run("renewed", func(t *testing.T) {
		c := selected(t, "IMAP4rev1 IDLE", `
			C: $a IDLE
			S: + idling
			C: DONE
			S: $a OK done
			C: $a IDLE
			S: + idling
			S: * OK Still here
			S: * 5 EXISTS
			C: DONE
			S: * 6 EXISTS
			S: $a OK done`)
		if changed, err := c.Idle(within(t), 20*time.Millisecond); changed || err != nil {
			t.Errorf("silence: got %v, %v", changed, err)
		}
		if changed, err := c.Idle(within(t), time.Hour); !changed || err != nil {
			t.Errorf("news: got %v, %v", changed, err)
		}
	})
	t.Run("kinds of news", func(t *testing.T) {
		for _, news := range []string{"* 1 FETCH (FLAGS (\\Seen))", "* 2 EXPUNGE", "* VANISHED 7", "* 300001 EXISTS"} {
			c := selected(t, "IMAP4rev1 IDLE", "C: $a IDLE\nS: + idling\nS: * 300000 EXISTS\nS: "+news+"\nC: DONE\nS: $a OK done")
			if changed, err := c.Idle(within(t), time.Hour); !changed || err != nil {
				t.Errorf("%s: got %v, %v", news, changed, err)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		c := selected(t, "IMAP4rev1 IDLE", "C: $a IDLE\nS: $a NO no")
		_, err := c.Idle(within(t), time.Hour)
		wantRefusal(t, err, "NO", "")
	})
	t.Run("bye", func(t *testing.T) {
		c := selected(t, "IMAP4rev1 IDLE", "C: $a IDLE\nS: + idling\nS: * BYE down for maintenance\nCLOSE")
		_, err := c.Idle(within(t), time.Hour)
		wantRefusal(t, err, "BYE", "")
	})
	t.Run("dead peer", func(t *testing.T) {
		c := selected(t, "IMAP4rev1 IDLE", "C: $a IDLE\nS: + idling\nC: DONE\nHANG")
		c.conn.SetTimeout(50 * time.Millisecond)
		_, err := c.Idle(within(t), 20*time.Millisecond)
		var timeout *wire.TimeoutError
		if !errors.As(err, &timeout) {
			t.Errorf("got %v, want a time-out", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		c := selected(t, "IMAP4rev1 IDLE", "C: $a IDLE\nS: + idling\nHANG")
		ctx, cancel := context.WithCancel(within(t))
		time.AfterFunc(30*time.Millisecond, cancel)
		if _, err := c.Idle(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestS6_WatchLies plays servers whose numbers do not fit: the mailbox is looked at again.
func TestS6_WatchLies(t *testing.T) {
	const look = "C: $a UID SEARCH ALL\nS: * 3 EXISTS\nS: * SEARCH 1 2 3\nS: $a OK done\n"
	for name, lie := range map[string]string{
		"expunge of zero": "S: * 0 EXPUNGE", "expunge beyond": "S: * 4 EXPUNGE", "fewer": "S: * 2 EXISTS",
		"other UID": "S: * 1 FETCH (UID 9 FLAGS ())", "new without UIDs": "S: * 4 EXISTS\nC: DONE\nS: $b OK done\nC: $c UID FETCH 4:\\* (UID)\nS: $c OK done",
	} {
		t.Run(name, func(t *testing.T) {
			end := "C: DONE\nS: $b OK done\n"
			if strings.Contains(lie, "DONE") {
				end = ""
			}
			c := session(t, "IMAP4rev1 IDLE", "C: $s SELECT INBOX\nS: * 3 EXISTS\nS: $s OK done\n"+look+"C: $b IDLE\nS: + go\n"+lie+"\n"+end+
				"C: $a UID SEARCH ALL\nS: * 2 EXISTS\nS: * SEARCH 1 3\nS: $a OK done")
			if _, err := c.Select(within(t), "INBOX", nil); err != nil {
				t.Fatal(err)
			}
			var got []string
			err := c.Watch(within(t), nil, func(e Event) error {
				got = append(got, e.Kind.String()+" "+e.UIDs.String())
				if e.Kind == EventGone && e.UIDs.String() == "2" {
					return ErrStop
				}
				return nil
			})
			if err != nil {
				t.Errorf("got %v after %q", err, got)
			}
		})
	}
}

func TestS5_WatchHugeMailbox(t *testing.T) {
	c := session(t, "IMAP4rev1 IDLE ESEARCH", "C: $s SELECT INBOX\nS: * 4294967295 EXISTS\nS: $s OK done\nC: $a UID SEARCH RETURN (ALL) ALL\nS: * ESEARCH (TAG \"${a}\") UID ALL 1:4294967295\nS: $a OK done")
	if _, err := c.Select(within(t), "INBOX", nil); err != nil {
		t.Fatal(err)
	}
	wantProtocol(t, c.Watch(within(t), nil, func(Event) error { return nil }))
}

func TestThrottles(t *testing.T) {
	for _, tt := range []struct {
		e    Error
		temp bool
		wait time.Duration
	}{
		{Error{Status: "NO", Text: "Request is throttled. Suggested Backoff Time: 1500 milliseconds"}, true, 1500 * time.Millisecond},
		{Error{Status: "BAD", Text: "Request is throttled. Suggested Backoff Time: 299923 milliseconds"}, true, 299923 * time.Millisecond},
		{Error{Status: "NO", Text: "Suggested Backoff Time: 99999999999999999999 milliseconds"}, true, 0},
		{Error{Status: "NO", Text: "Suggested Backoff Time: 4294967295 seconds"}, true, 24 * time.Hour},
		{Error{Status: "NO", Text: "Suggested Backoff Time: soon"}, true, 0},
		{Error{Status: "NO", Code: "OVERQUOTA", Text: "Account exceeded command or bandwidth limits."}, true, time.Hour},
		{Error{Status: "NO", Code: "OVERQUOTA", Text: "Quota exceeded (mailbox for user is full)"}, false, 0},
		{Error{Status: "NO", Text: "Failure [THROTTLED]"}, true, 5 * time.Minute},
		{Error{Status: "NO", Code: "ALERT", Text: "Too many simultaneous connections. (Failure)"}, true, time.Minute},
		{Error{Status: "NO", Code: "LIMIT", Text: "Rate limit hit."}, true, 5 * time.Minute},
		{Error{Status: "NO", Code: "UNAVAILABLE", Text: "Server error - Please try again later"}, true, 0},
		{Error{Status: "BYE", Text: "Session expired, please login again."}, true, 0},
		{Error{Status: "NO", Code: "AUTHENTICATIONFAILED", Text: "too many failures, try again later"}, false, 0},
		{Error{Status: "NO", Text: `Mailbox "rate limit" doesn't exist`}, false, 0},
		{Error{Status: "NO", Code: "NONEXISTENT", Text: "Unknown Mailbox: x"}, false, 0},
	} {
		if temp, wait := tt.e.Temporary(), tt.e.RetryAfter(); temp != tt.temp || wait != tt.wait {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.e.Error(), temp, wait, tt.temp, tt.wait)
		}
	}
}

// TestS10_SlowLoris has a server that drips. The clock is the test's own.
func TestS10_SlowLoris(t *testing.T) {
	for _, tt := range []struct {
		rate  int64
		every time.Duration // passes with each look at the clock
		fails bool
	}{{0, time.Minute, true}, {0, time.Second, false}, {-1, time.Hour, false}, {1, time.Minute, false}} {
		c, err := dial(t, "S: * PREAUTH [CAPABILITY IMAP4rev1] hi"+inbox+"C: $a UID FETCH 1 (UID BODY.PEEK[])\nS> \"* 1 FETCH (UID 1 BODY[] {40}\\r\\n\"\nSPLIT 1\nS: "+
			strings.Repeat("x", 38)+"\nSPLIT 0\nS: )\nS: $a OK done\nC? * LOGOUT", wire.Cleartext, &Options{MinRate: tt.rate})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		c.source.pace.now = func() time.Time { now = now.Add(tt.every); return now }
		if _, err := c.Select(within(t), "INBOX", nil); err != nil {
			t.Fatal(err)
		}
		_, err = c.Fetch(within(t), uids(t, "1"), whole(), func(m *Message) error {
			b, err := m.Next()
			for err == nil {
				_, err = b.Read(make([]byte, 1))
			}
			return nil
		})
		var timeout *wire.TimeoutError
		if errors.As(err, &timeout) != tt.fails || (err != nil) != tt.fails {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

func TestInProgressIsIgnored(t *testing.T) {
	c := selected(t, "IMAP4rev1 INPROGRESS UIDPLUS", `
		C: $a UID COPY 1:9 x
		S: * OK [INPROGRESS ("${a}" 454 1000)] still copying
		S: * OK [INPROGRESS] still copying
		S: $a OK [COPYUID 1 1:2 5:6] done`)
	if d, err := c.Copy(within(t), uids(t, "1:9"), "x"); err != nil || d.UIDs().String() != "1:2" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func items(bodies ...string) iter.Seq2[AppendItem, error] {
	return func(yield func(AppendItem, error) bool) {
		for _, b := range bodies {
			if !yield(AppendItem{Size: int64(len(b)), Body: strings.NewReader(b)}, nil) {
				return
			}
		}
	}
}

// appendAll returns one word for each message.
func appendAll(t *testing.T, c *Client, list iter.Seq2[AppendItem, error]) ([]string, error) {
	t.Helper()
	var got []string
	err := c.AppendAll(within(t), "x", list, func(n int, r AppendResult) error {
		word := fmt.Sprint(n, " ", r.UID)
		var uncertain *UncertainError
		switch {
		case errors.As(r.Err, &uncertain):
			word = fmt.Sprint(n, " uncertain")
		case r.Err != nil:
			word = fmt.Sprint(n, " ", r.Err)
		}
		got = append(got, word)
		return nil
	})
	return got, err
}

func TestAppendAll(t *testing.T) {
	for _, tt := range []struct {
		name, caps, script string
		want               []string
	}{
		{"pipelined", "LITERAL+ UIDPLUS", `
			C: $a APPEND x {1+}
			C{1} "a"
			C:
			C: $b APPEND x {1+}
			C{1} "b"
			C:
			S: $a OK [APPENDUID 1 5] done
			S: $b NO [OVERQUOTA] full`, []string{"0 5", "1 append to \"x\": NO [OVERQUOTA] full"}},
		{"several in one", "LITERAL- UIDPLUS MULTIAPPEND", `
			C: $a APPEND x {1+}
			C{1} "a"
			C:  {1+}
			C{1} "b"
			C:
			S: $a OK [APPENDUID 1 5:6] done`, []string{"0 5", "1 6"}},
		{"refused together, then one by one", "LITERAL+ UIDPLUS MULTIAPPEND", `
			C: $a APPEND x {1+}
			C{1} "a"
			C:  {1+}
			C{1} "b"
			C:
			S: $a NO [LIMIT] too many
			C: $a APPEND x {1+}
			C{1} "a"
			C:
			C: $b APPEND x {1+}
			C{1} "b"
			C:
			S: $a OK [APPENDUID 1 5] done
			S: $b OK [APPENDUID 1 6] done`, []string{"0 5", "1 6"}},
		{"one after the other", "", `
			C: $a APPEND x {1}
			S: + go
			C{1} "a"
			C:
			C: $b APPEND x {1}
			S: $a OK done
			S: $b NO [TRYCREATE] no`, []string{"0 0", "1 append to \"x\": NO [TRYCREATE] no"}},
		{"too large", "APPENDLIMIT=0", "", []string{`0 append to "x": NO [TOOBIG] message of 1 octets is over the server's limit of 0`, `1 append to "x": NO [TOOBIG] message of 1 octets is over the server's limit of 0`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := appendAll(t, session(t, "IMAP4rev1 "+tt.caps, tt.script), items("a", "b"))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestAppendAllBadItems has items that cannot be sent among others: they alone fail, and nothing is broken off.
func TestAppendAllBadItems(t *testing.T) {
	c := session(t, "IMAP4rev1 LITERAL+ MULTIAPPEND UIDPLUS", "C: $a APPEND x {1+}\nC{1} \"a\"\nC:\nS: $a OK [APPENDUID 1 5] done\nC: $a APPEND x {1+}\nC{1} \"b\"\nC:\nS: $a OK [APPENDUID 1 6] done")
	got, err := appendAll(t, c, func(yield func(AppendItem, error) bool) {
		_ = yield(AppendItem{Size: 1, Body: strings.NewReader("a")}, nil) &&
			yield(AppendItem{Size: 1, Body: strings.NewReader("x"), Flags: []Flag{"a b"}}, nil) &&
			yield(AppendItem{Size: -1, Body: strings.NewReader("")}, nil)
	})
	if want := []string{`1 bad flag "a b"`, "2 negative size", "0 5"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := appendAll(t, c, items("b")); err != nil || !reflect.DeepEqual(got, []string{"0 6"}) {
		t.Errorf("afterwards: got %q, %v", got, err)
	}
}

// TestR7_AppendAllLostReply cuts the connection with commands in flight: those that left are uncertain, the one whose
// body failed and those behind it are not.
func TestR7_AppendAllLostReply(t *testing.T) {
	c := session(t, "IMAP4rev1 LITERAL+ UIDPLUS", `
		C: $a APPEND x {1+}
		C{1} "a"
		C:
		C: $b APPEND x {1+}
		C{1} "b"
		C:
		S: $a OK [APPENDUID 1 5] done
		CUT`)
	got, err := appendAll(t, c, items("a", "b"))
	if want := []string{"0 5", "1 uncertain"}; err == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	c = session(t, "IMAP4rev1 LITERAL+ UIDPLUS", `
		C: $a APPEND x {1+}
		C{1} "a"
		C:
		C: $b APPEND x {5+}
		S: $a OK [APPENDUID 1 5] done
		HANG`)
	short := func(yield func(AppendItem, error) bool) {
		_ = yield(AppendItem{Size: 1, Body: strings.NewReader("a")}, nil) && yield(AppendItem{Size: 5, Body: strings.NewReader("b")}, nil)
	}
	got, err = appendAll(t, c, short)
	if want := []string{"1 message is not as long as announced", "0 5"}; err == nil || !reflect.DeepEqual(got, want) || c.Err() == nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	c = session(t, "IMAP4rev1 LITERAL+", "C: $a APPEND x {1+}\nC{1} \"a\"\nC:\nS: $a OK done")
	failing := errors.New("no more")
	got, err = appendAll(t, c, func(yield func(AppendItem, error) bool) {
		_ = yield(AppendItem{Size: 1, Body: strings.NewReader("a")}, nil) && yield(AppendItem{}, failing)
	})
	if !errors.Is(err, failing) || !reflect.DeepEqual(got, []string{"0 0"}) || c.Err() != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestR3_UIDValidity tells of another generation, and back.
func TestR3_UIDValidity(t *testing.T) {
	for _, validity := range []string{"8", "0", ""} {
		told := "S: * OK [UIDVALIDITY " + validity + "] ok\n"
		if validity == "" {
			told = ""
		}
		c := session(t, "IMAP4rev1 ENABLE QRESYNC CONDSTORE", "C: $e ENABLE QRESYNC\nC: $s EXAMINE a (QRESYNC (7 100 1:3))\nS: * ENABLED QRESYNC\nS: $e OK done\nS: * 1 EXISTS\n"+told+
			"S: * OK [HIGHESTMODSEQ 120] ok\nS: * VANISHED (EARLIER) 1:2\nS: * 1 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (110))\nS: $s OK done\nC: $a UID SEARCH ALL\nS: * SEARCH 4\nS: $a OK done")
		got, err := c.Resync(within(t), "a", State{UIDValidity: 7, ModSeq: 100, Known: uids(t, "1:3")}, &ResyncOptions{Changed: func(f FlagChange) error {
			t.Errorf("flags of the other generation: %+v", f)
			return nil
		}})
		if err != nil || !got.Reset || got.New.String() != "4" || !got.Vanished.Empty() {
			t.Errorf("UIDVALIDITY %q: got %+v, %v", validity, got, err)
		}
	}
}

// TestR8_QResyncLies has a server that forgets to tell: the numbers do not fit, and all UIDs are asked for.
func TestR8_QResyncLies(t *testing.T) {
	for name, said := range map[string]string{
		"too few vanished": "S: * VANISHED (EARLIER) 9", "new one not told": "S: * VANISHED (EARLIER) 1:2", "nothing at all": "",
		"refused": "BAD",
	} {
		t.Run(name, func(t *testing.T) {
			script := "C: $e ENABLE QRESYNC\nC: $s EXAMINE a (QRESYNC (7 100 1:3))\nS: * ENABLED\nS: $e OK done\n"
			state := "S: * 2 EXISTS\nS: * OK [UIDVALIDITY 7] ok\nS: * OK [HIGHESTMODSEQ 100] ok\n"
			if said == "BAD" {
				script += "S: $s BAD what\nC: $s EXAMINE a (CONDSTORE)\n" + state
			} else {
				script += state + said + "\n"
			}
			c := session(t, "IMAP4rev1 ENABLE QRESYNC CONDSTORE", script+"S: $s OK done\nC: $a UID SEARCH ALL\nS: * SEARCH 3 9\nS: $a OK done")
			got, err := c.Resync(within(t), "a", State{UIDValidity: 7, ModSeq: 100, Known: uids(t, "1:3")}, nil)
			if err != nil || got.Reset || got.New.String() != "9" || got.Vanished.String() != "1:2" || got.State.Known.String() != "3,9" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// TestR4_DuplicateUIDs has UIDs that come twice and not in order.
func TestR4_DuplicateUIDs(t *testing.T) {
	c := session(t, "IMAP4rev1", "C: $s EXAMINE a\nS: * 3 EXISTS\nS: * OK [UIDVALIDITY 7] ok\nS: * OK [UIDNEXT 2] too low\nS: $s OK done\nC: $a UID SEARCH ALL\nS: * SEARCH 9 3 9 4\nS: $a OK done\n"+
		"C: $a UID FETCH 3:4 (UID FLAGS)\nS: * 3 FETCH (UID 4 FLAGS (b))\nS: * 1 FETCH (UID 3 FLAGS (\\Recent))\nS: * 1 FETCH (UID 4 FLAGS (c))\nS: * 1 FETCH (UID 77 FLAGS (c))\nS: $a OK done")
	var changed []string
	got, err := c.Resync(within(t), "a", State{UIDValidity: 7, Known: uids(t, "3:4")}, &ResyncOptions{
		Flags:   func(UID) ([]Flag, bool) { return nil, true },
		Changed: func(f FlagChange) error { changed = append(changed, fmt.Sprint(f.UID, f.Flags)); return nil },
	})
	if err != nil || got.New.String() != "9" || !reflect.DeepEqual(changed, []string{"4 [b]"}) {
		t.Errorf("got %+v, changed %q, %v", got, changed, err)
	}
}

// TestResync_Labels compares Gmail's labels where the caller keeps them, as sets, and only where they are told of.
func TestResync_Labels(t *testing.T) {
	const caps, fetch = "IMAP4rev1 CONDSTORE X-GM-EXT-1", `
		S: * 1 FETCH (UID 1 FLAGS () X-GM-LABELS (b \Inbox) MODSEQ (110))
		S: * 2 FETCH (UID 2 X-GM-LABELS (cr&AOo-pes) FLAGS () MODSEQ (111))
		S: * 3 FETCH (UID 3 FLAGS (\Seen) X-GM-LABELS () MODSEQ (112))
		S: * 4 FETCH (UID 4 FLAGS (\Seen))
		S: $a OK done`
	const open = `
		S: * 4 EXISTS
		S: * OK [UIDVALIDITY 7] ok
		S: * OK [HIGHESTMODSEQ 120] ok
		S: $s OK done
		C: $a UID SEARCH `
	const found = "ALL\nS: * SEARCH 1 2 3 4\nS: $a OK done\n"
	labels := map[UID][]string{1: {`\Inbox`, "b"}, 2: {`\Inbox`}, 3: {"old"}, 4: {"kept"}}
	for name, tt := range map[string]struct {
		caps, script string
		full         bool
		labels       bool
		want         []string
	}{
		"changed":     {caps, "C: $s EXAMINE a (CONDSTORE)" + open + found + "C: $a UID FETCH 1:4 (UID FLAGS X-GM-LABELS) (CHANGEDSINCE 100)" + fetch, false, true, []string{"2 [] [crêpes] true", `3 [\Seen] [] true`, `4 [\Seen] [] false`}},
		"full":        {caps, "C: $s EXAMINE a (CONDSTORE)" + open + found + "C: $a UID FETCH 1:4 (UID FLAGS X-GM-LABELS)" + fetch, true, true, []string{"2 [] [crêpes] true", `3 [\Seen] [] true`, `4 [\Seen] [] false`}},
		"of no use":   {caps, "C: $s EXAMINE a (CONDSTORE)" + open + found + "C: $a UID FETCH 1:4 (UID FLAGS) (CHANGEDSINCE 100)\nS: $a OK done", false, false, nil},
		"no labels":   {"IMAP4rev1 CONDSTORE", "C: $s EXAMINE a (CONDSTORE)" + open + found + "C: $a UID FETCH 1:4 (UID FLAGS) (CHANGEDSINCE 100)\nS: $a OK done", false, true, nil},
		"QRESYNC too": {caps + " ENABLE QRESYNC", "C: $s EXAMINE a (CONDSTORE)" + open + found + "C: $a UID FETCH 1:4 (UID FLAGS X-GM-LABELS) (CHANGEDSINCE 100)\nS: $a OK done", false, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := session(t, tt.caps, tt.script)
			var changed []string
			o := &ResyncOptions{Full: tt.full, Flags: func(UID) ([]Flag, bool) { return nil, true }, Changed: func(f FlagChange) error {
				changed = append(changed, fmt.Sprint(f.UID, f.Flags, f.Labels, f.HasLabels))
				return nil
			}}
			if tt.labels {
				o.Labels = func(u UID) ([]string, bool) { return labels[u], true }
			}
			_, err := c.Resync(within(t), "a", State{UIDValidity: 7, ModSeq: 100, Known: uids(t, "1:4")}, o)
			if err != nil || !slices.Equal(changed, tt.want) {
				t.Errorf("changed %q, %v; want %q", changed, err, tt.want)
			}
		})
	}
}

func TestSameFlags(t *testing.T) {
	for _, tt := range []struct {
		a, b []Flag
		want bool
	}{
		{nil, nil, true}, {[]Flag{`\Seen`, "x"}, []Flag{"X", `\SEEN`}, true}, {[]Flag{`\Seen`}, nil, false},
		{[]Flag{`\Recent`}, nil, true}, {[]Flag{"a", "a"}, []Flag{"a"}, true}, {[]Flag{"a"}, []Flag{"a", "b"}, false},
	} {
		if got := sameFlags(tt.a, tt.b); got != tt.want {
			t.Errorf("%v, %v: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestI4_NamesUnderUTF8 writes a name that is not plain only after it is known in which encoding.
func TestI4_NamesUnderUTF8(t *testing.T) {
	for enabled, name := range map[string]string{"UTF8=ACCEPT": `"crêpes & more"`, "": `"cr&AOo-pes &- more"`} {
		c, err := dial(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\nC: $a AUTHENTICATE *\nS: $a OK [CAPABILITY IMAP4rev1 ENABLE UTF8=ACCEPT LITERAL+] in\n"+
			"C: $e ENABLE UTF8=ACCEPT\nS: * ENABLED "+enabled+"\nS: $e OK done\nC: $s SELECT "+name+"\nS: $s OK done\nC? * LOGOUT", wire.Cleartext, &Options{Enable: []string{"UTF8=ACCEPT"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(within(t), alice()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Select(within(t), "crêpes & more", nil); err != nil {
			t.Error(err)
		}
	}
}

// TestSplitCount cuts sets by number.
func TestSplitCount(t *testing.T) {
	for _, tt := range []struct {
		set  string
		n    uint64
		want []string
	}{{"1:10", 4, []string{"1:4", "5:8", "9:10"}}, {"1,3,5:9", 3, []string{"1,3,5", "6:8", "9"}}, {"7", 100, []string{"7"}}, {"1:2", 0, []string{"1", "2"}}} {
		s, err := imapwire.ParseUIDSet(tt.set)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, part := range s.SplitCount(tt.n) {
			got = append(got, part.String())
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s by %d: got %v, want %v", tt.set, tt.n, got, tt.want)
		}
	}
}

// TestS2_SetsInAnyOrder counts the work of answers whose UIDs descend with gaps: twice as many take little more than
// twice as long.
func TestS2_SetsInAnyOrder(t *testing.T) {
	descending := func(n int, each func(UID)) {
		for i := n; i > 0; i-- {
			each(UID(3 * i))
		}
	}
	families := map[string]func(n int){
		"search": func(n int) {
			var b strings.Builder
			descending(n, func(uid UID) { fmt.Fprint(&b, " ", uid) })
			var found UIDSet
			decodeSearch(imapwire.NewTextDecoder([]byte(b.String())), &found)
			if found.Count() != uint64(n) {
				t.Errorf("got %d, want %d", found.Count(), n)
			}
		},
		"fetch": func(n int) {
			var s seen
			descending(n, s.add)
			if all := s.set(); all.Count() != uint64(n) || s.contains(1) || !s.contains(3) {
				t.Errorf("got %d, want %d", all.Count(), n)
			}
		},
	}
	for name, family := range families {
		cost := func(n int) time.Duration {
			best := time.Hour
			for range 3 {
				start := time.Now()
				family(n)
				best = min(best, time.Since(start))
			}
			return best
		}
		var small, large time.Duration
		for range 4 { // a busy machine may spoil one measurement
			small, large = cost(100_000), cost(200_000)
			if large <= small*26/10+5*time.Millisecond {
				break
			}
		}
		if large > small*26/10+5*time.Millisecond {
			t.Errorf("%s: twice the input took %v after %v", name, large, small)
		}
	}
}

// outcome plays text to a client and writes down what it made of it.
func outcome(text string, chunk int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var b strings.Builder
	peer := &cutPeer{rest: []byte(text), chunk: chunk}
	c, err := NewClient(ctx, wire.NewConn(peer, nil), &Options{Tag: "T"})
	fmt.Fprintln(&b, "greeting", err)
	if err != nil {
		return b.String()
	}
	defer c.conn.Close()
	list, err := c.List(ctx, &ListOptions{Status: StatusMessages})
	fmt.Fprintln(&b, len(list), err)
	sel, err := c.Select(ctx, "INBOX", nil)
	fmt.Fprintln(&b, sel, err)
	var all UIDSet
	all.AddRange(1, imapwire.Star)
	_, err = c.Fetch(ctx, all, &FetchOptions{Flags: true, Envelope: true, Structure: true, Sections: []Section{{}}}, func(m *Message) error {
		fmt.Fprintln(&b, m.UID, m.Flags, m.Size, m.Envelope != nil, m.Structure != nil)
		return nil
	})
	fmt.Fprintln(&b, err, c.caps, c.Quirks())
	return b.String()
}

// TestPieces_SameOutcome plays what real servers said, whole and in pieces of one byte and of seven: every answer and
// every error is the same.
func TestPieces_SameOutcome(t *testing.T) {
	var texts []string
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "corpora", "mailkit-sample", "Imap", "Resources", "*", "*.txt"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(raw), "\n", "\r\n")
		if strings.Contains(filepath.Base(file), "greeting") {
			texts = append(texts, text+"T1 OK done\r\n")
			continue
		}
		texts = append(texts, "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n"+strings.ReplaceAll(text, "A########", "T1")+"T2 OK done\r\nT3 OK done\r\n",
			"* PREAUTH [CAPABILITY IMAP4rev1] hi\r\nT1 OK done\r\n* 9 EXISTS\r\nT2 OK done\r\n"+strings.ReplaceAll(text, "A########", "T3"))
	}
	if len(texts) == 0 {
		t.Skip("no test data")
	}
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "corpora", "mox", "imapclient", "fuzzseed.txt"))
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, "\r\n") + "\r\n"
		texts = append(texts, "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n"+line+"T1 OK done\r\nT2 OK done\r\n"+line+"T3 OK done\r\n")
	}
	for _, text := range texts {
		whole := outcome(text, len(text))
		for _, chunk := range []int{1, 7} {
			if got := outcome(text, chunk); got != whole {
				t.Errorf("%.200q in pieces of %d: got %q, want %q", text, chunk, got, whole)
			}
		}
	}
}
