package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapPeers runs f against Dovecot and against our own server: whole, with less and less, and as every persona. open
// gives one more session of the same account each time.
func imapPeers(t *testing.T, f func(t *testing.T, open func(imap.Options) *imap.Client)) {
	t.Run("dovecot", func(t *testing.T) {
		d := Dovecot(t)
		u := d.AddUser(t)
		f(t, func(o imap.Options) *imap.Client { return openIMAP(t, d, u, o) })
	})
	for name, without := range map[string][]string{
		"ours": nil, "ours without QRESYNC": {"QRESYNC"}, "ours without CONDSTORE": {"CONDSTORE"},
		"ours without MULTIAPPEND": {"MULTIAPPEND"}, "ours without IDLE": {"IDLE", "ESEARCH"},
		"ours with LITERAL-": {"LITERAL+"}, "ours without literals": {"LITERAL+", "LITERAL-", "IMAP4rev2"},
	} {
		t.Run(name, func(t *testing.T) {
			ownPeer(t, func(o *server.Options) { o.Without = without }, nil, f)
		})
	}
	for _, name := range server.Personas() {
		t.Run("as "+name, func(t *testing.T) {
			ownPeer(t, func(o *server.Options) {
				var err error
				if o.Without, o.Faults, err = server.Persona(name); err != nil {
					t.Fatal(err)
				}
			}, map[string]auth.Source{"exchange": auth.Literal("tok")}[name], f)
		})
	}
}

func ownPeer(t *testing.T, change func(*server.Options), token auth.Source, f func(t *testing.T, open func(imap.Options) *imap.Client)) {
	m := serveAll(t, change)
	f(t, func(o imap.Options) *imap.Client {
		c := dialIMAP(t, endpoint(t, wire.IMAP, m.Addr("imaps"), wire.ImplicitTLS), o, m.pool)
		cr := &auth.Credentials{User: "alice", Password: auth.Literal("ses ame")}
		if token != nil {
			cr.Password, cr.Token = nil, token
		}
		do(t, c.Auth(limit(t), cr))
		return c
	})
}

// numbered are n messages with their number in the subject, the first of them with a flag.
func numbered(n int) iter.Seq2[imap.AppendItem, error] {
	return func(yield func(imap.AppendItem, error) bool) {
		for i := range n {
			text := fmt.Sprintf("From: alice@example.org\r\nSubject: number %d\r\n\r\n%s\r\n", i, strings.Repeat("crêpes ", i%13*100))
			m := imap.AppendItem{Size: int64(len(text)), Body: strings.NewReader(text), Date: time.Date(2026, 3, 1, 0, 0, i, 0, time.UTC)}
			if i == 0 {
				m.Flags = []imap.Flag{`\Flagged`}
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// appendNumbered appends letters and returns the UIDs told.
func appendNumbered(t *testing.T, c *imap.Client, mailbox string, n int) []imap.UID {
	t.Helper()
	var uids []imap.UID
	err := c.AppendAll(limit(t), mailbox, numbered(n), func(i int, r imap.AppendResult) error {
		if r.Err != nil || i != len(uids) {
			t.Errorf("message %d: got %+v after %d", i, r, len(uids))
		}
		uids = append(uids, r.UID)
		return nil
	})
	do(t, err)
	return uids
}

// TestIMAP_AppendAll stores messages one by one and many at a time: the mailboxes are the same.
func TestIMAP_AppendAll(t *testing.T) {
	imapPeers(t, func(t *testing.T, open func(imap.Options) *imap.Client) {
		var all [][]string
		for _, depth := range []int{1, 64} {
			c, box := open(imap.Options{Depth: depth}), fmt.Sprintf("depth %d", depth)
			do(t, c.Create(limit(t), box))
			n := 9 // one persona refuses the twentieth APPEND
			told := appendNumbered(t, c, box, n)
			if _, err := c.Examine(limit(t), box, nil); err != nil {
				t.Fatal(err)
			}
			var got []string
			missing, err := c.Fetch(limit(t), set(t, "1:9"), &imap.FetchOptions{Flags: true, InternalDate: true, Sections: []imap.Section{{}}}, func(m *imap.Message) error {
				b, err := m.Next()
				if err != nil {
					return err
				}
				text, err := io.ReadAll(b)
				m.Flags = slices.DeleteFunc(m.Flags, func(f imap.Flag) bool { return f == imapwire.FlagRecent })
				got = append(got, fmt.Sprint(m.UID, m.Flags, m.InternalDate.UTC(), string(text)))
				return err
			})
			if err != nil || missing.Count() != 0 || len(got) != n {
				t.Errorf("depth %d: got %d messages, missing %v, %v", depth, len(got), missing, err)
			}
			for i, uid := range told {
				if uid != 0 && uid != imap.UID(i+1) {
					t.Errorf("message %d: got UID %d", i, uid)
				}
			}
			all = append(all, got)
		}
		if !reflect.DeepEqual(all[0], all[1]) {
			t.Errorf("depth 64 gave %.300q, depth 1 %.300q", all[1], all[0])
		}
	})
}

func set(t *testing.T, text string) imap.UIDSet {
	t.Helper()
	s, err := imapwire.ParseUIDSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestIMAP_Resync changes a mailbox behind the back of a client: what it is told is the same whatever the server
// offers.
func TestIMAP_Resync(t *testing.T) {
	imapPeers(t, func(t *testing.T, open func(imap.Options) *imap.Client) {
		other := open(imap.Options{})
		appendNumbered(t, other, "INBOX", 10)
		flags := map[imap.UID][]imap.Flag{}
		c := open(imap.Options{})
		var changed []string
		o := &imap.ResyncOptions{
			Flags: func(uid imap.UID) ([]imap.Flag, bool) { f, ok := flags[uid]; return f, ok },
			Changed: func(f imap.FlagChange) error {
				changed = append(changed, fmt.Sprint(f.UID, f.Flags))
				return nil
			},
		}
		first, err := c.Resync(limit(t), "INBOX", imap.State{}, o)
		if err != nil || first.New.String() != "1:10" || first.Reset || len(changed) != 0 {
			t.Fatalf("first: got %+v, changed %v, %v", first, changed, err)
		}
		for i := range 10 {
			flags[imap.UID(i+1)] = nil
		}
		flags[1] = []imap.Flag{`\Flagged`}
		same, err := c.Resync(limit(t), "INBOX", first.State, o)
		if err != nil || !same.New.Empty() || !same.Vanished.Empty() || len(changed) != 0 {
			t.Errorf("unchanged: got %+v, changed %v, %v", same, changed, err)
		}
		if _, err := other.Select(limit(t), "INBOX", nil); err != nil {
			t.Fatal(err)
		}
		do(t, other.Store(limit(t), set(t, "2,5"), imap.AddFlags, []imap.Flag{`\Seen`}),
			other.Store(limit(t), set(t, "3:4"), imap.AddFlags, []imap.Flag{`\Deleted`}))
		if _, err := other.Expunge(limit(t)); err != nil {
			t.Fatal(err)
		}
		appendNumbered(t, other, "INBOX", 2)
		later, err := c.Resync(limit(t), "INBOX", same.State, o)
		slices.Sort(changed)
		if err != nil || later.New.String() != "11:12" || later.Vanished.String() != "3:4" || later.Reset ||
			later.State.Known.String() != "1:2,5:12" || !slices.Equal(changed, []string{`2 [\Seen]`, `5 [\Seen]`}) {
			t.Errorf("later: got %+v, changed %q, %v", later, changed, err)
		}
		moved := later.State
		moved.UIDValidity++
		again, err := c.Resync(limit(t), "INBOX", moved, o)
		if err != nil || !again.Reset || again.New.String() != "1:2,5:12" || !again.Vanished.Empty() {
			t.Errorf("other UIDVALIDITY: got %+v, %v", again, err)
		}
	})
}

// TestIMAP_Watch sees what another client does, by IDLE and by polling, with QRESYNC and without, and fetches from
// within.
func TestIMAP_Watch(t *testing.T) {
	for _, enable := range [][]string{nil, {"QRESYNC"}} {
		imapPeers(t, func(t *testing.T, open func(imap.Options) *imap.Client) {
			c, other := open(imap.Options{Enable: enable}), open(imap.Options{})
			appendNumbered(t, other, "INBOX", 3)
			for _, s := range []*imap.Client{c, other} {
				if _, err := s.Select(limit(t), "INBOX", nil); err != nil {
					t.Fatal(err)
				}
			}
			steps := []func() error{
				func() error { appendNumbered(t, other, "INBOX", 1); return nil },
				func() error { return other.Store(limit(t), set(t, "4"), imap.AddFlags, []imap.Flag{`\Seen`}) },
				func() error { return other.Store(limit(t), set(t, "1:2"), imap.AddFlags, []imap.Flag{`\Deleted`}) },
				func() error { _, err := other.Expunge(limit(t)); return err },
			}
			known := set(t, "2:3,99")
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			var got []string
			err := c.Watch(ctx, &imap.WatchOptions{Known: &known, Poll: 50 * time.Millisecond}, func(e imap.Event) error {
				line := fmt.Sprint(e.Kind, " ", e.UIDs.String())
				if e.Kind == imap.EventNew {
					missing, err := c.Fetch(ctx, e.UIDs, &imap.FetchOptions{Size: true}, func(m *imap.Message) error {
						line += fmt.Sprint(" ", m.Size)
						return nil
					})
					if err != nil || missing.Count() > 0 {
						return fmt.Errorf("fetch of %v: missing %v, %w", e.UIDs, missing, err)
					}
				}
				got = append(got, line)
				next := map[string]int{"new 1 48": 0, "new 4 48": 1, "flags 4": 2, "flags 2": 3}
				if n, ok := next[line]; ok {
					return steps[n]()
				}
				if strings.HasPrefix(line, "gone") && strings.HasSuffix(line, "2") {
					return imap.ErrStop
				}
				return nil
			})
			text := strings.Join(got, "\n")
			for _, want := range []string{"gone 99\nnew 1 48", "new 4 48", "flags 4", "flags 1", "flags 2", "gone"} {
				if !strings.Contains(text, want) {
					t.Errorf("want %q in %q", want, text)
				}
			}
			if err != nil {
				t.Errorf("got %v after %q", err, text)
			}
			if found, err := c.Search(limit(t)); err != nil || found.String() != "3:4" {
				t.Errorf("afterwards: got %v, %v", found, err)
			}
		})
	}
}

// TestIMAP_Extensions sorts, threads, counts and asks for quota where that is offered; the answers agree with plain
// searches.
func TestIMAP_Extensions(t *testing.T) {
	imapPeers(t, func(t *testing.T, open func(imap.Options) *imap.Client) {
		c := open(imap.Options{Enable: []string{"UTF8=ACCEPT"}})
		appendNumbered(t, c, "INBOX", 9)
		if _, err := c.Select(limit(t), "INBOX", nil); err != nil {
			t.Fatal(err)
		}
		offered := func(err error) bool {
			if _, ok := errors.AsType[*imap.CapabilityError](err); ok {
				return false
			}
			do(t, err)
			return true
		}
		sorted, err := c.Sort(limit(t), []imap.SortBy{{Key: imap.SortArrival, Reverse: true}}, imap.SearchSubject("number"))
		if want := []imap.UID{9, 8, 7, 6, 5, 4, 3, 2, 1}; offered(err) && !slices.Equal(sorted, want) {
			t.Errorf("sort: got %v", sorted)
		}
		threads, err := c.Threads(limit(t), "REFERENCES", imap.SearchSubject("number 3"))
		if offered(err) && (len(threads) != 1 || threads[0].UID != 4) {
			t.Errorf("thread: got %+v", threads)
		}
		found, err := c.ESearch(limit(t), imap.SearchReturn{Count: true, Min: true, Max: true}, imap.SearchNoFlag(`\Flagged`))
		if err != nil || found.Count != 8 || found.Min != 2 || found.Max != 9 {
			t.Errorf("search: got %+v, %v", found, err)
		}
		_, err = c.ESearch(limit(t), imap.SearchReturn{Save: true}, imap.SearchFlag(`\Flagged`))
		if offered(err) {
			var got []imap.UID
			_, err := c.Fetch(limit(t), imap.UIDSet{}, &imap.FetchOptions{Flags: true, Saved: true}, func(m *imap.Message) error {
				got = append(got, m.UID)
				return nil
			})
			if err != nil || !slices.Equal(got, []imap.UID{1}) {
				t.Errorf("saved: got %v, %v", got, err)
			}
		}
		_, err = c.QuotaRoots(limit(t), "INBOX")
		offered(err)
		do(t, c.Unselect(limit(t)))
	})
}

// TestI4_IMAPMailboxNames makes, lists, opens and deletes mailboxes with odd names, in modified UTF-7 and in UTF-8.
func TestI4_IMAPMailboxNames(t *testing.T) {
	odd := []string{"crêpes", "a&b", "&", "&-", "日本語", `quote"d`, `back\slash`, "{5}", "{5+}", "(x)", "]", "a*b%c", "NIL", "😀", " lead", "~peter", "trailing ", strings.Repeat("é", 60)}
	for _, enable := range [][]string{nil, {"UTF8=ACCEPT"}} {
		imapPeers(t, func(t *testing.T, open func(imap.Options) *imap.Client) {
			c := open(imap.Options{Enable: enable})
			for _, name := range odd {
				if err := c.Create(limit(t), name); err != nil {
					if e, ok := errors.AsType[*imap.Error](err); !ok || e.Status != "NO" {
						t.Errorf("create %q: %v", name, err)
					}
					continue // the server does not want such a name
				}
				if s, err := c.Examine(limit(t), name, nil); err != nil || s.Exists != 0 {
					t.Errorf("open %q: %v", name, err)
				}
				if all := names(t, c, imap.ListOptions{}); !slices.Contains(all, name) {
					t.Errorf("%q is not in the list %q", name, all)
				}
				if s, err := c.Status(limit(t), name, imap.StatusMessages); err != nil || !s.Has(imap.StatusMessages) {
					t.Errorf("status of %q: %+v, %v", name, s, err)
				}
				do(t, c.Unselect(limit(t)), c.Delete(limit(t), name))
			}
		})
	}
}
