package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// storeKinds are the implementations that must behave alike.
var storeKinds = []struct {
	name string
	open func(t testing.TB) Store
}{
	{"memory", func(t testing.TB) Store { return keepStore(t, NewMemory()) }},
	{"maildir", func(t testing.TB) Store { return openTestMaildir(t, t.TempDir()) }},
}

func openTestMaildir(t testing.TB, dir string) Store {
	t.Helper()
	s, err := OpenMaildir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return keepStore(t, s)
}

func keepStore(t testing.TB, s Store) Store {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// eachStore runs a test over both implementations.
func eachStore(t *testing.T, test func(t *testing.T, a Account)) {
	t.Helper()
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(t, testAccount(t, kind.open(t)))
		})
	}
}

func testAccount(t testing.TB, s Store) Account {
	t.Helper()
	a, err := s.Account("alice@example.org")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func testMailbox(t testing.TB, a Account, name string) Mailbox {
	t.Helper()
	m, err := a.Mailbox(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// putAll appends messages and returns what the store says of them.
func putAll(t testing.TB, m Mailbox, bodies ...string) []MessageInfo {
	t.Helper()
	var in []NewMessage
	for _, b := range bodies {
		in = append(in, NewMessage{Body: strings.NewReader(b)})
	}
	infos, err := m.Append(t.Context(), in)
	if err != nil || len(infos) != len(bodies) {
		t.Fatalf("append of %d: %d, %v", len(bodies), len(infos), err)
	}
	return infos
}

func storedBody(t testing.TB, m Mailbox, uid uint32) string {
	t.Helper()
	b, err := m.Open(uid)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil || int64(len(text)) != b.Size() {
		t.Fatalf("read %d of %d octets: %v", len(text), b.Size(), err)
	}
	return string(text)
}

func uidsOf(infos []MessageInfo) []uint32 {
	var uids []uint32
	for _, i := range infos {
		uids = append(uids, i.UID)
	}
	return uids
}

func listNames(a Account) []string {
	var names []string
	for _, i := range a.List() {
		names = append(names, i.Name)
	}
	return names
}

func wantEqual[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantSlice[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStore_NewAccount(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		var got []string
		for _, i := range a.List() {
			got = append(got, fmt.Sprintf("%s%s %t %t %t", i.Name, i.SpecialUse, i.Subscribed, i.HasChildren, i.NoSelect))
		}
		wantSlice(t, "list", got, []string{
			`INBOX true false false`, `Archive\Archive true false false`, `Drafts\Drafts true false false`,
			`Junk\Junk true false false`, `Sent\Sent true false false`, `Trash\Trash true false false`})
		again, err := a.(*account).store.Account("alice@example.org")
		if err != nil || again != a {
			t.Errorf("second call: got %p, %v, want %p", again, err, a)
		}
		for _, user := range []string{"", strings.Repeat("u", 5000)} {
			if _, err := a.(*account).store.Account(user); err == nil {
				t.Errorf("user of %d octets: no error", len(user))
			}
		}
	})
}

func TestStore_BodiesAreExact(t *testing.T) {
	big := strings.Repeat("0123456789abcdef\r\n", 300_000) // over 5 MB
	cases := []struct{ name, body string }{
		{"plain", "Subject: x\r\n\r\nhello\r\n"},
		{"empty", ""},
		{"no line end", "Subject: x\r\n\r\nhello"},
		{"bare LF", "Subject: x\r\n\r\na\nb\r\n"},
		{"bare CR", "Subject: x\r\n\r\na\rb\r\n"},
		{"CR at the end", "Subject: x\r\n\r\nabc\r"},
		{"NUL and 8 bit", "Subject: x\r\n\r\n\x00\xff\xfe\r\n"},
		{"no CR at all", "just text"},
		{"big", "Subject: x\r\n\r\n" + big},
		{"big with bare LF", "Subject: x\r\n\r\n\n" + big},
		{"one chunk", strings.Repeat("x", blobChunk)},
		{"first chunk", strings.Repeat("x", firstChunk)},
		{"chunk and one", strings.Repeat("x", blobChunk+1)},
	}
	eachStore(t, func(t *testing.T, a Account) {
		m := testMailbox(t, a, "inbox")
		for _, c := range cases {
			info := putAll(t, m, c.body)[0]
			wantEqual(t, c.name+": size", info.Size, int64(len(c.body)))
			if got := storedBody(t, m, info.UID); got != c.body {
				t.Errorf("%s: %d octets came back as %d others", c.name, len(c.body), len(got))
			}
		}
		b, err := m.Open(1)
		mustDo(t, err)
		defer b.Close()
		p := make([]byte, 5)
		n, err := b.ReadAt(p, 9)
		wantEqual(t, "middle", fmt.Sprintf("%d %q %v", n, p, err), `5 "x\r\n\r\n" <nil>`)
		n, err = b.ReadAt(p, b.Size()-2)
		wantEqual(t, "end", fmt.Sprintf("%d %q %v", n, p[:2], err), `2 "\r\n" EOF`)
		n, err = b.ReadAt(p, b.Size()+10)
		wantEqual(t, "behind the end", fmt.Sprint(n, err), "0 EOF")
	})
}

func TestStore_AppendTellsFlagsAndDate(t *testing.T) {
	date := time.Date(2020, 2, 3, 4, 5, 6, 7, time.FixedZone("", 3600))
	eachStore(t, func(t *testing.T, a Account) {
		m := testMailbox(t, a, "INBOX")
		infos, err := m.Append(t.Context(), []NewMessage{
			{Body: strings.NewReader("a"), Flags: []string{`\seen`, "work", `\RECENT`, `\Seen`, "Work", "$forwarded"}, Date: date},
			{Body: strings.NewReader("bb")}})
		mustDo(t, err)
		wantSlice(t, "flags", infos[0].Flags, []string{"$Forwarded", `\Seen`, "work"})
		wantEqual(t, "date", infos[0].Date.Format(time.RFC3339Nano), "2020-02-03T04:05:06+01:00")
		wantSlice(t, "uids", uidsOf(infos), []uint32{1, 2})
		if infos[0].ID == infos[1].ID || infos[0].ID == "" {
			t.Errorf("IDs: %q and %q", infos[0].ID, infos[1].ID)
		}
		if d := time.Since(infos[1].Date); d < 0 || d > time.Minute {
			t.Errorf("date for none: %v", infos[1].Date)
		}
		s := m.State()
		wantEqual(t, "state", fmt.Sprint(s.UIDNext, s.Messages, s.Unseen, s.Deleted, s.Size), "3 2 1 0 3")
		wantEqual(t, "mod-sequence", s.HighestModSeq, infos[1].ModSeq)
		octets, messages := a.Usage()
		wantEqual(t, "usage", fmt.Sprint(octets, messages), "3 2")
		for _, bad := range []string{"", `\`, "a b", "a\r\nb", "(x)", "é", `a\b`, strings.Repeat("x", 300)} {
			_, err := m.Append(t.Context(), []NewMessage{{Body: strings.NewReader("x"), Flags: []string{bad}}})
			wantError(t, fmt.Sprintf("flag %q", bad), err, ErrFlag)
		}
	})
}

// brokenReader gives some octets, then an error.
func brokenReader(err error) io.Reader {
	return io.MultiReader(strings.NewReader(strings.Repeat("x", 200_000)), errReader{err})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestStore_AppendIsAllOrNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		m := testMailbox(t, a, "INBOX")
		before := m.State()
		cut := errors.New("too large")
		for _, want := range []error{cut, io.ErrUnexpectedEOF} {
			_, err := m.Append(t.Context(), []NewMessage{{Body: strings.NewReader("one")}, {Body: brokenReader(want)}})
			wantError(t, "append", err, want)
			_, err = m.Append(t.Context(), []NewMessage{{Body: errReader{want}}})
			wantError(t, "append at once", err, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := m.Append(ctx, []NewMessage{{Body: strings.NewReader("one")}})
		wantError(t, "cancelled", err, context.Canceled)
		wantEqual(t, "state", m.State(), before)
		infos, err := m.Append(t.Context(), nil)
		wantEqual(t, "append of nothing", fmt.Sprint(infos, err), "[] <nil>")
		wantSlice(t, "next", uidsOf(putAll(t, m, "two")), []uint32{1})
	})
}

func TestStore_SnapshotsStayAsTheyWere(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		m := testMailbox(t, a, "INBOX")
		putAll(t, m, "a", "b", "c")
		old := m.Messages()
		text := fmt.Sprint(old)
		putAll(t, m, "d")
		_, err := m.SetFlags([]uint32{1, 2, 9}, func(MessageInfo) ([]string, bool) { return []string{`\Deleted`, "k"}, true })
		mustDo(t, err)
		middle := m.Messages()
		middleText := fmt.Sprint(middle)
		_, err = m.Expunge([]uint32{2})
		mustDo(t, err)
		putAll(t, m, "e")
		_, err = m.SetFlags([]uint32{1}, func(MessageInfo) ([]string, bool) { return nil, true })
		mustDo(t, err)
		wantEqual(t, "first snapshot", fmt.Sprint(old), text)
		wantEqual(t, "second snapshot", fmt.Sprint(middle), middleText)
		wantSlice(t, "now", uidsOf(m.Messages()), []uint32{1, 3, 4, 5})
	})
}

func TestStore_SetFlags(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		m := testMailbox(t, a, "INBOX")
		putAll(t, m, "a", "b", "c", "d")
		start := m.State().HighestModSeq
		changed, err := m.SetFlags([]uint32{4, 2, 2, 3, 77}, func(i MessageInfo) ([]string, bool) {
			return append(slices.Clone(i.Flags), `\seen`, "x"), i.UID != 3
		})
		mustDo(t, err)
		wantSlice(t, "changed", uidsOf(changed), []uint32{2, 4})
		wantSlice(t, "flags", changed[0].Flags, []string{`\Seen`, "x"})
		if changed[0].ModSeq <= start || changed[1].ModSeq != m.State().HighestModSeq {
			t.Errorf("mod-sequences: %d, %d after %d", changed[0].ModSeq, changed[1].ModSeq, start)
		}
		wantEqual(t, "unseen", m.State().Unseen, 2)
		same, err := m.SetFlags([]uint32{2}, func(MessageInfo) ([]string, bool) { return []string{"x", `\Seen`}, true })
		wantEqual(t, "same flags", fmt.Sprint(same, err), "[] <nil>")
		before := fmt.Sprint(m.Messages(), m.State())
		_, err = m.SetFlags([]uint32{1, 2}, func(i MessageInfo) ([]string, bool) {
			if i.UID == 2 {
				return []string{"a b"}, true
			}
			return []string{"fine"}, true
		})
		wantError(t, "bad keyword", err, ErrFlag)
		wantEqual(t, "after an error", fmt.Sprint(m.Messages(), m.State()), before)
	})
}

func TestStore_ExpungeAndVanished(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		m := testMailbox(t, a, "INBOX")
		putAll(t, m, "a", "b", "c", "d", "e")
		start := m.State().HighestModSeq
		b, err := m.Open(4)
		mustDo(t, err)
		defer b.Close()
		gone, err := m.Expunge([]uint32{4, 2, 99, 4})
		mustDo(t, err)
		wantSlice(t, "expunged", gone, []uint32{2, 4})
		middle := m.State().HighestModSeq
		_, err = m.Expunge([]uint32{1})
		mustDo(t, err)
		wantSlice(t, "vanished at all", m.Vanished(0), []uint32{1, 2, 4})
		wantSlice(t, "vanished since the start", m.Vanished(start), []uint32{1, 2, 4})
		wantSlice(t, "vanished since the middle", m.Vanished(middle), []uint32{1})
		wantSlice(t, "vanished since now", m.Vanished(m.State().HighestModSeq), nil)
		wantSlice(t, "rest", uidsOf(m.Messages()), []uint32{3, 5})
		_, err = m.Open(2)
		wantError(t, "open", err, ErrNoMessage)
		p := make([]byte, 1)
		if _, err := b.ReadAt(p, 0); err != nil || p[0] != 'd' {
			t.Errorf("a body opened before: %q, %v", p, err)
		}
		wantSlice(t, "UIDs are not used again", uidsOf(putAll(t, m, "f")), []uint32{6})
		gone, err = m.Expunge([]uint32{2})
		wantEqual(t, "again", fmt.Sprint(gone, err), "[] <nil>")
	})
}

func TestStore_CopyAndMove(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		in, out := testMailbox(t, a, "INBOX"), testMailbox(t, a, "Archive")
		putAll(t, out, "old")
		_, err := in.Append(t.Context(), []NewMessage{{Body: strings.NewReader("a\nb"), Flags: []string{"k", `\Flagged`}, Date: time.Unix(1e9, 0)}})
		mustDo(t, err)
		putAll(t, in, "two", "three")
		copied, err := a.Copy(t.Context(), in, []uint32{3, 1, 50}, out)
		mustDo(t, err)
		wantSlice(t, "copied", copied, []CopiedUID{{1, 2}, {3, 3}})
		x, y := in.Messages()[0], out.Messages()[1]
		wantEqual(t, "copy", fmt.Sprint(y.Flags, y.Date, y.Size, y.ID), fmt.Sprint(x.Flags, x.Date, x.Size, x.ID))
		wantEqual(t, "body", storedBody(t, out, 2), "a\nb")
		moved, err := a.Move(t.Context(), in, []uint32{2, 3}, out)
		mustDo(t, err)
		wantSlice(t, "moved", moved, []CopiedUID{{2, 4}, {3, 5}})
		wantSlice(t, "source", uidsOf(in.Messages()), []uint32{1})
		wantSlice(t, "vanished", in.Vanished(0), []uint32{2, 3})
		wantEqual(t, "moved body", storedBody(t, out, 4), "two")
		same, err := a.Copy(t.Context(), in, []uint32{1}, in)
		mustDo(t, err)
		wantSlice(t, "onto itself", same, []CopiedUID{{1, 4}})
		same, err = a.Move(t.Context(), in, []uint32{1}, in)
		mustDo(t, err)
		wantSlice(t, "moved onto itself", same, []CopiedUID{{1, 5}})
		wantEqual(t, "its body", storedBody(t, in, 5), "a\nb")
		mustDo(t, a.Create("Gone", ""))
		gone := testMailbox(t, a, "Gone")
		mustDo(t, a.Delete("Gone"))
		before := fmt.Sprint(in.State(), in.Messages())
		_, err = a.Move(t.Context(), in, []uint32{4, 5}, gone)
		wantError(t, "into a deleted one", err, ErrNoMailbox)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = a.Move(ctx, in, []uint32{4, 5}, out)
		wantError(t, "cancelled", err, context.Canceled)
		wantEqual(t, "source after errors", fmt.Sprint(in.State(), in.Messages()), before)
		other, err := a.(*account).store.Account("bob@example.org")
		mustDo(t, err)
		_, err = a.Copy(t.Context(), in, []uint32{4}, testMailbox(t, other, "INBOX"))
		wantError(t, "another account", err, errForeign)
	})
}

func TestStore_CreateAndDelete(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		mustDo(t, a.Create("A/B/C", ""))
		mustDo(t, a.Create("sent/", ""))
		mustDo(t, a.Create("inBOX/x", `\FLAGGED`))
		wantSlice(t, "names", listNames(a), []string{"INBOX", "A", "A/B", "A/B/C", "Archive", "Drafts", "INBOX/x", "Junk", "Sent", "Trash", "sent"})
		wantError(t, "again", a.Create("A/B", ""), ErrMailboxExists)
		wantError(t, "INBOX", a.Create("Inbox", ""), ErrMailboxExists)
		wantError(t, "use", a.Create("U", `\Nonsense`), ErrSpecialUse)
		for _, bad := range []string{"", "/", "/a", "a//b", "a/b//", "a\x00b", "a\nb", "a\x7f", "\xff", "a\u0085b",
			strings.Repeat("x", 2000), strings.Repeat("x/", 60)} {
			wantError(t, fmt.Sprintf("name %.20q", bad), a.Create(bad, ""), ErrMailboxName)
			_, err := a.Mailbox(bad)
			wantError(t, fmt.Sprintf("open %.20q", bad), err, ErrNoMailbox)
		}
		old := testMailbox(t, a, "A/B")
		putAll(t, old, "x")
		watch, stop := old.Watch()
		defer stop()
		mustDo(t, a.Delete("A/B"))
		select {
		case <-watch:
		default:
			t.Error("no word to watchers of a deletion")
		}
		i := slices.IndexFunc(a.List(), func(i MailboxInfo) bool { return i.Name == "A/B" })
		if i < 0 || !a.List()[i].NoSelect || !a.List()[i].HasChildren {
			t.Errorf("a name with children: %+v", a.List())
		}
		wantError(t, "a name only", a.Delete("A/B"), ErrHasChildren)
		wantError(t, "INBOX", a.Delete("inbox"), ErrInbox)
		wantError(t, "none", a.Delete("Nope"), ErrNoMailbox)
		_, err := a.Mailbox("A/B")
		wantError(t, "open", err, ErrNoMailbox)
		_, err = old.Append(t.Context(), []NewMessage{{Body: strings.NewReader("x")}})
		wantError(t, "append", err, ErrNoMailbox)
		_, err = old.Open(1)
		wantError(t, "body", err, ErrNoMessage)
		wantEqual(t, "deleted", len(old.Messages())+old.State().Messages, 0)
		first := old.State().UIDValidity
		mustDo(t, a.Create("A/B", ""))
		if got := testMailbox(t, a, "A/B").State(); got.UIDValidity <= first || got.UIDNext != 1 || got.ID == old.State().ID {
			t.Errorf("made again: %+v after %+v", got, old.State())
		}
		octets, messages := a.Usage()
		wantEqual(t, "usage", fmt.Sprint(octets, messages), "0 0")
	})
}

func TestStore_UIDValidityAscends(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		seen := map[uint32]bool{}
		last := uint32(0)
		for i := range 30 {
			name := fmt.Sprint("M", i%3)
			mustDo(t, a.Create(name, ""))
			v := testMailbox(t, a, name).State().UIDValidity
			if v <= last || seen[v] {
				t.Fatalf("UIDVALIDITY %d after %d", v, last)
			}
			last, seen[v] = v, true
			mustDo(t, a.Delete(name))
		}
	})
}

func TestStore_Rename(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		mustDo(t, a.Create("A/B/C", ""))
		mustDo(t, a.Create("AB", ""))
		mustDo(t, a.Subscribe("A/B", true))
		child := testMailbox(t, a, "A/B/C")
		putAll(t, child, "c")
		before := child.State()
		mustDo(t, a.Rename("A", "X/Y"))
		wantSlice(t, "names", listNames(a), []string{"INBOX", "AB", "Archive", "Drafts", "Junk", "Sent", "Trash", "X", "X/Y", "X/Y/B", "X/Y/B/C"})
		wantEqual(t, "child", child.Name(), "X/Y/B/C")
		wantEqual(t, "state", child.State(), before)
		wantEqual(t, "body", storedBody(t, child, 1), "c")
		putAll(t, child, "more")
		wantSlice(t, "by its name", uidsOf(testMailbox(t, a, "X/Y/B/C").Messages()), []uint32{1, 2})
		mustDo(t, a.Rename("Sent", "Sent mail"))
		for _, i := range a.List() {
			wantEqual(t, i.Name+" subscribed", i.Subscribed, slices.Contains([]string{"INBOX", "Archive", "Drafts", "Junk", "Sent mail", "Trash", "X/Y/B"}, i.Name))
			wantEqual(t, i.Name+" is sent", i.SpecialUse == `\Sent`, i.Name == "Sent mail")
		}
		mustDo(t, a.Delete("X/Y"))
		mustDo(t, a.Rename("X/Y", "Z")) // a name only
		wantSlice(t, "names", listNames(a)[9:], []string{"Z/B", "Z/B/C"})
		for _, c := range []struct {
			from, to string
			want     error
		}{
			{"Nope", "N", ErrNoMailbox}, {"AB", "Z/B", ErrMailboxExists}, {"AB", "Z", ErrMailboxExists}, {"AB", "inbox", ErrMailboxExists},
			{"Z", "Z/B/D", ErrMailboxName}, {"AB", "a//b", ErrMailboxName}, {"", "x", ErrNoMailbox}, {"AB", "AB", ErrMailboxExists},
		} {
			wantError(t, c.from+" to "+c.to, a.Rename(c.from, c.to), c.want)
		}
	})
}

func TestStore_RenameInbox(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		mustDo(t, a.Create("INBOX/child", ""))
		in := testMailbox(t, a, "INBOX")
		putAll(t, in, "a", "b")
		before := in.State()
		mustDo(t, a.Rename("Inbox", "Old/Mail"))
		out := testMailbox(t, a, "Old/Mail")
		wantEqual(t, "moved", storedBody(t, out, 1)+storedBody(t, out, 2), "ab")
		after := in.State()
		wantEqual(t, "INBOX", fmt.Sprintf("%s %d %d %t", in.Name(), after.Messages, after.UIDNext, after.UIDValidity == before.UIDValidity), "INBOX 0 3 true")
		wantSlice(t, "vanished", in.Vanished(before.HighestModSeq), []uint32{1, 2})
		if !slices.Contains(listNames(a), "INBOX/child") {
			t.Errorf("the child went along: %q", listNames(a))
		}
		wantError(t, "again", a.Rename("INBOX", "Old/Mail"), ErrMailboxExists)
	})
}

func TestStore_Subscribe(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		subscribed := func() (names []string) {
			for _, i := range a.List() {
				if i.Subscribed {
					names = append(names, i.Name)
				}
			}
			return names
		}
		mustDo(t, a.Create("L/go", ""))
		mustDo(t, a.Subscribe("L/go", true))
		mustDo(t, a.Subscribe("L/go", true))
		mustDo(t, a.Subscribe("Junk", false))
		wantSlice(t, "subscribed", subscribed(), []string{"INBOX", "Archive", "Drafts", "L/go", "Sent", "Trash"})
		mustDo(t, a.Delete("L/go"))
		mustDo(t, a.Create("L/go", ""))
		wantEqual(t, "outlives the mailbox", slices.Contains(subscribed(), "L/go"), true)
		wantError(t, "none", a.Subscribe("Nope", true), ErrNoMailbox)
		mustDo(t, a.Subscribe("Nope", false))
	})
}

func TestStore_Watch(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		m := testMailbox(t, a, "INBOX")
		watch, stop := m.Watch()
		other, stopOther := m.Watch()
		waiting := func(c <-chan struct{}) (n int) {
			for {
				select {
				case <-c:
					n++
				default:
					return n
				}
			}
		}
		wantEqual(t, "before", waiting(watch), 0)
		putAll(t, m, "a")
		putAll(t, m, "b")
		_, err := m.SetFlags([]uint32{1}, func(MessageInfo) ([]string, bool) { return []string{`\Seen`}, true })
		mustDo(t, err)
		wantEqual(t, "three changes", waiting(watch), 1)
		_, err = m.Expunge([]uint32{1})
		mustDo(t, err)
		wantEqual(t, "expunge", waiting(watch), 1)
		_, err = m.Expunge([]uint32{1})
		mustDo(t, err)
		wantEqual(t, "nothing", waiting(watch), 0)
		stop()
		stop()
		putAll(t, m, "c")
		wantEqual(t, "stopped", waiting(watch), 0)
		wantEqual(t, "the other one", waiting(other), 1)
		stopOther()
	})
}

// TestStore_Concurrency has many goroutines at all of an account and looks then
// whether each message is somewhere, once and whole.
func TestStore_Concurrency(t *testing.T) {
	eachStore(t, func(t *testing.T, a Account) {
		const workers, each = 6, 15
		mustDo(t, a.Create("Work", ""))
		boxes := []Mailbox{testMailbox(t, a, "INBOX"), testMailbox(t, a, "Work"), testMailbox(t, a, "Trash")}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range each {
					m, to := boxes[(w+i)%3], boxes[(w+i+1)%3]
					infos, err := m.Append(t.Context(), []NewMessage{{Body: strings.NewReader(fmt.Sprintf("m %d %d\r\n", w, i))}})
					if err != nil {
						t.Error(err)
						return
					}
					_, err = m.SetFlags(uidsOf(m.Messages()), func(MessageInfo) ([]string, bool) { return []string{`\Seen`, fmt.Sprint("k", w)}, true })
					if err != nil {
						t.Error(err)
					}
					if _, err = a.Move(t.Context(), m, uidsOf(infos), to); err != nil {
						t.Error(err)
					}
					if _, err = a.Move(t.Context(), to, uidsOf(to.Messages()), m); err != nil {
						t.Error(err)
					}
					a.List()
					m.State()
					m.Vanished(3)
				}
			})
		}
		wg.Go(func() {
			for i := range each {
				if err := errors.Join(a.Rename("Work", fmt.Sprint("Play/", i)), a.Rename(fmt.Sprint("Play/", i), "Work")); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		seen := map[string]int{}
		for _, m := range boxes {
			last := uint32(0)
			for _, i := range m.Messages() {
				if i.UID <= last {
					t.Errorf("UID %d after %d", i.UID, last)
				}
				last = i.UID
				seen[storedBody(t, m, i.UID)]++
			}
		}
		wantEqual(t, "messages", len(seen), workers*each)
		for body, n := range seen {
			if n != 1 {
				t.Errorf("%q is there %d times", body, n)
			}
		}
	})
}

func TestStore_Closed(t *testing.T) {
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.open(t)
			a := testAccount(t, s)
			m := testMailbox(t, a, "INBOX")
			putAll(t, m, "a")
			b, err := m.Open(1)
			mustDo(t, err)
			defer b.Close()
			mustDo(t, s.Close())
			mustDo(t, s.Close())
			_, err = s.Account("bob")
			wantError(t, "account", err, ErrStoreClosed)
			wantError(t, "create", a.Create("x", ""), ErrStoreClosed)
			_, err = m.Expunge([]uint32{1})
			wantError(t, "expunge", err, ErrStoreClosed)
			if _, err = m.Append(t.Context(), []NewMessage{{Body: strings.NewReader("x")}}); err == nil {
				t.Error("append: no error")
			}
			p := make([]byte, 1)
			_, err = b.ReadAt(p, 0)
			wantEqual(t, "a body opened before", fmt.Sprintf("%s %v", p, err), "a <nil>")
		})
	}
}

// TestMemory_SharesOctets: copies cost no memory, and a large body is not copied
// while it grows.
func TestMemory_SharesOctets(t *testing.T) {
	a := testAccount(t, keepStore(t, NewMemory()))
	m := testMailbox(t, a, "INBOX")
	big := bytes.Repeat([]byte("x"), 32<<20)
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.Append(context.Background(), []NewMessage{{Body: bytes.NewReader(big)}}); err != nil {
				b.Fatal(err)
			}
			if _, err := m.Expunge(uidsOf(m.Messages())); err != nil {
				b.Fatal(err)
			}
		}
	})
	if got := r.AllocedBytesPerOp(); got > int64(len(big))*5/4 {
		t.Errorf("appending %d octets takes %d of memory", len(big), got)
	}
	_, err := m.Append(t.Context(), []NewMessage{{Body: bytes.NewReader(big)}})
	mustDo(t, err)
	uid := m.State().UIDNext - 1
	copied, err := a.Copy(t.Context(), m, []uint32{uid}, testMailbox(t, a, "Sent"))
	mustDo(t, err)
	x, err := m.Open(uid)
	mustDo(t, err)
	y, err := testMailbox(t, a, "Sent").Open(copied[0].To)
	mustDo(t, err)
	if x.(*blob) != y.(*blob) {
		t.Error("the copy has octets of its own")
	}
}

// TestMemory_TakesPieces: what was received into memory is stored without a copy, also where its context may end, and
// not stored when it has ended.
func TestMemory_TakesPieces(t *testing.T) {
	srv := startCore(t, nil)
	box := inboxBox(t, srv, "bob")
	text := strings.Repeat("0123456789abcde\n", fullPiece/8)
	sp := srv.newSpool()
	defer sp.close()
	_, _ = sp.Write([]byte(text))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := box.Append(ended, []NewMessage{{Body: sp.traced("a: b\n")}}); !errors.Is(err, context.Canceled) || sp.given {
		t.Errorf("after the context ended: got %v, taken %v", err, sp.given)
	}
	infos, err := box.Append(t.Context(), []NewMessage{{Body: sp.traced("a: b\n")}})
	mustDo(t, err)
	if got := storedBody(t, box, infos[0].UID); got != "a: b\n"+text {
		t.Errorf("got %d octets, want %d", len(got), len(text)+5)
	}
	body, err := box.Open(infos[0].UID)
	mustDo(t, err)
	if chunk := body.(*blob).chunks[2]; &chunk[0] != &sp.pieces[1][0] {
		t.Error("the text was copied")
	}
}
