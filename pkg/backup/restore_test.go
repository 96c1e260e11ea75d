package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/interop"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/store"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// stocked is a repository with whatever makes a restore hard.
func stocked(t testing.TB, format string) *testRepo {
	t.Helper()
	c := newRepo(t, format)
	box := func(name string, subscribed bool, attrs ...string) uint32 {
		n, err := c.rec.box(&Mailbox{Name: name, Delim: "/", Subscribed: subscribed, Attrs: attrs})
		c.must(err)
		return n
	}
	in, sent, work := box("INBOX", true), box("Sent", true, `\Sent`), box("Work/2026", false)
	drafts, void := box("Entwürfe", true, `\Drafts`, `\HasNoChildren`), box("Leer & leer", false)
	_ = void
	nl := "\n"
	if format == FormatEML {
		nl = "\r\n"
	}
	letter := func(i int, more string) string {
		return strings.ReplaceAll(fmt.Sprintf("From: bob@example.org\nMessage-ID: <%d@example.org>\nSubject: number %d\n\n%scrêpes %d\n", i, i, more, i), "\n", nl)
	}
	put := func(box, uid uint32, body string, flags ...string) {
		m := c.message(box, 7, uid, body, flags...)
		if format == FormatEML {
			m.Size = int64(len(body))
			m.File = factsOf(m, int64(len(body)), false).name() + emlSuffix
		}
		c.write(m, body)
		c.must(c.rec.msgs(box, m))
	}
	for i := range uint32(12) {
		put(in, i+1, letter(int(i), strings.Repeat("x", int(i)*300)), [][]string{nil, {`\Seen`}, {`\Flagged`, `\Answered`, "work"}}[i%3]...)
	}
	for i, uid := range []uint32{3, 3 + 60, 4} { // the same three times, twice of the same date
		put(sent, uid, letter(99, ""), `\Seen`)
		put(work, uid, "Subject: same"+nl+nl+fmt.Sprint("body ", i)+nl) // the same header and size, no Message-ID
	}
	put(drafts, 1, letter(3, strings.Repeat("x", 3*300)), `\Draft`) // also in INBOX
	put(drafts, 2, nl)                                              // nothing
	put(drafts, 3, "no header")
	put(drafts, 4, strings.ReplaceAll(letter(40, ""), nl+nl, nl)+"no empty line")
	c.snap(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	return c
}

// factLine is what has to be the same on the server.
func factLine(mailbox string, digest []byte, flags []string, date time.Time) string {
	var list []string
	for _, f := range flags {
		if !strings.EqualFold(f, `\Recent`) {
			list = append(list, strings.ToLower(f))
		}
	}
	slices.Sort(list)
	return fmt.Sprintf("%s %x %v %s", mailbox, digest[:8], list, date.UTC().Format(time.RFC3339))
}

// storedFacts tells all messages of a repository, sorted.
func storedFacts(t testing.TB, r *Repo, name func(string) string) []string {
	t.Helper()
	var list []string
	for m, err := range r.Messages("") {
		if err != nil {
			t.Fatal(err)
		}
		sm, err := r.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, sm.Wire()); err != nil {
			t.Fatal(err)
		}
		sm.Close()
		list = append(list, factLine(name(m.Mailbox.Name), h.Sum(nil), m.Flags, m.Date))
	}
	slices.Sort(list)
	return list
}

// onServerNow tells all messages of an account, sorted.
func onServerNow(t testing.TB, dial func(context.Context) (*imap.Client, error)) []string {
	t.Helper()
	ctx := context.Background()
	c, err := dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	boxes, err := c.List(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, box := range boxes {
		if !box.Selectable() {
			continue
		}
		if _, err := c.Examine(ctx, box.Name, nil); err != nil {
			t.Fatal(err)
		}
		o := &imap.FetchOptions{Flags: true, InternalDate: true, Sections: []imap.Section{{}}}
		for try := range 5 { // some servers refuse now and then
			before := len(list)
			_, err = c.Fetch(ctx, everything(), o, func(m *imap.Message) error {
				b, err := m.Next()
				if err != nil {
					return err
				}
				h := sha256.New()
				_, err = io.Copy(h, b)
				var flags []string
				for _, f := range m.Flags {
					flags = append(flags, string(f))
				}
				list = append(list, factLine(box.Name, h.Sum(nil), flags, m.InternalDate))
				return err
			})
			if err == nil {
				break
			}
			if list = list[:before]; try == 4 || c.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(list)
	return list
}

// sameLines compares two lists.
func sameLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func itself(name string) string { return name }

// inDrafts is where the mailbox for drafts goes if the server has one.
func inDrafts(name string) string { return strings.Replace(name, "Entwürfe", "Drafts", 1) }

// counts tells what became of the messages of a restore.
func counts(rep *RestoreReport) string {
	var wanted, present, appended, merged, refused int
	for _, m := range rep.Mailboxes {
		wanted, present, appended = wanted+m.Wanted, present+m.Present, appended+m.Appended
		merged, refused = merged+m.Merged, refused+len(m.Refused)
		if m.Err != nil {
			return m.Dest + ": " + m.Err.Error()
		}
	}
	return fmt.Sprintf("%d wanted, %d present, %d appended, %d merged, %d refused", wanted, present, appended, merged, refused)
}

// TestRestore restores into empty accounts of all kinds of servers: they have the same messages, and a second restore
// changes nothing.
func TestRestore(t *testing.T) {
	for _, c := range []struct {
		name, persona string
		without       []string
	}{
		{name: "whole"}, {name: "without MULTIAPPEND", without: []string{"MULTIAPPEND"}},
		{name: "without literals", without: []string{"LITERAL+", "LITERAL-", "IMAP4rev2"}},
		{name: "without special uses", without: []string{"SPECIAL-USE", "LIST-EXTENDED", "NAMESPACE"}},
		{name: "without UIDPLUS", without: []string{"UIDPLUS"}},
		{name: "gmail", persona: "gmail"}, {name: "exchange", persona: "exchange"}, {name: "yahoo", persona: "yahoo"},
		{name: "icloud", persona: "icloud"}, {name: "courier", persona: "courier"}, {name: "coremail", persona: "coremail"},
	} {
		for _, format := range formats {
			t.Run(c.name+" "+format, func(t *testing.T) {
				t.Parallel()
				g := newRig(t, c.persona, "", c.without...)
				repo := stocked(t, format)
				name := itself
				if !slices.Contains(c.without, "SPECIAL-USE") && (c.persona == "" || c.persona == "gmail" || c.persona == "coremail") {
					name = inDrafts
				}
				rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
				if err != nil || !rep.Complete() || counts(rep) != "22 wanted, 0 present, 22 appended, 0 merged, 0 refused" {
					t.Fatalf("got %s, %v, %+v", counts(rep), err, rep)
				}
				want := storedFacts(t, repo.Repo, name)
				sameLines(t, "restored", onServerNow(t, g.dial), want)
				for range 2 {
					rep, err = repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
					if err != nil || !rep.Complete() || counts(rep) != "22 wanted, 22 present, 0 appended, 0 merged, 0 refused" {
						t.Errorf("again: got %s, %v", counts(rep), err)
					}
				}
				sameLines(t, "restored again", onServerNow(t, g.dial), want)
			})
		}
	}
}

// TestRestore_Dovecot restores into empty accounts of another server, and again.
func TestRestore_Dovecot(t *testing.T) {
	d := interop.Dovecot(t)
	for _, format := range formats {
		u := d.AddUser(t)
		dial := func(ctx context.Context) (*imap.Client, error) {
			host, port, _ := net.SplitHostPort(d.IMAPS)
			n, _ := strconv.Atoi(port)
			c, err := imap.Dial(ctx, wire.Endpoint{Protocol: wire.IMAP, Host: host, Port: n, Security: wire.ImplicitTLS}, &imap.Options{Wire: &wire.Config{RootCAs: d.CA}})
			if err != nil {
				return nil, err
			}
			return c, c.Auth(ctx, &auth.Credentials{User: u.Name, Password: auth.Literal(u.Password)})
		}
		repo := stocked(t, format)
		for i, want := range []string{"22 wanted, 0 present, 22 appended, 0 merged, 0 refused", "22 wanted, 22 present, 0 appended, 0 merged, 0 refused"} {
			rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: dial})
			if err != nil || !rep.Complete() || counts(rep) != want {
				t.Errorf("%s, restore %d: got %s, %v, want %s", format, i, counts(rep), err, want)
			}
			sameLines(t, format, onServerNow(t, dial), storedFacts(t, repo.Repo, inDrafts))
		}
		subs := subscriptions(t, dial)
		if !slices.Contains(subs, "INBOX") || !slices.Contains(subs, "Sent") || slices.Contains(subs, "Work/2026") || slices.Contains(subs, "Leer & leer") {
			t.Errorf("subscribed to %q", subs)
		}
	}
}

// subscriptions lists what is subscribed to.
func subscriptions(t testing.TB, dial func(context.Context) (*imap.Client, error)) []string {
	t.Helper()
	c, err := dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.List(context.Background(), &imap.ListOptions{Subscribed: true})
	if err != nil || len(list) == 0 {
		t.Fatalf("got %v, %v", list, err)
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	return names
}

// knife passes connections on, and cuts once after so many octets of what the client says, or the server.
type knife struct {
	addr   string
	server bool

	mu   sync.Mutex
	cut  int64    // octets left; negative: never
	said [2]int64 // by the client, by the server
}

func side(server bool) int {
	if server {
		return 1
	}
	return 0
}

func newKnife(t *testing.T, to string, server bool, cut int64) *knife {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &knife{addr: l.Addr().String(), server: server, cut: cut}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			srv, err := net.Dial("tcp4", to)
			if err != nil {
				client.Close()
				return
			}
			wg.Go(func() { k.pump(srv, client, true) })
			wg.Go(func() { k.pump(client, srv, false) })
		}
	})
	return k
}

// total is how much the server said, or the client.
func (k *knife) total(server bool) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.said[side(server)]
}

func (k *knife) pump(to, from net.Conn, client bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 1024)
	for {
		n, err := from.Read(buf)
		k.mu.Lock()
		k.said[side(!client)] += int64(n)
		switch {
		case client == k.server || k.cut < 0:
		case int64(n) >= k.cut:
			n, err = int(k.cut), io.EOF
			k.cut = -1 // once
		default:
			k.cut -= int64(n)
		}
		k.mu.Unlock()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// TestRestore_Cut cuts the connection of a restore at many places. Another restore, or the same one on another
// connection, has everything there at its end, and nothing twice.
func TestRestore_Cut(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	want := storedFacts(t, repo.Repo, inDrafts)
	whole := newRig(t, "", "")
	k := newKnife(t, whole.srv.Addr("imap"), false, -1)
	whole.addr = k.addr
	if _, err := repo.Restore(context.Background(), RestoreOptions{Dial: whole.dial}); err != nil {
		t.Fatal(err)
	}
	places := int64(60)
	if testing.Short() {
		places = 7
	}
	for _, server := range []bool{false, true} {
		total := k.total(server)
		if total < 1500 {
			t.Fatalf("only %d octets were sent", total)
		}
		for at := int64(1); at < total; at += total / places {
			t.Run(fmt.Sprintf("%d %v", at, server), func(t *testing.T) {
				t.Parallel()
				cutRestore(t, repo, want, server, at)
			})
		}
	}
}

// cutRestore restores with a cut, with and without another connection behind it, over one and over several, and then
// once more.
func cutRestore(t *testing.T, repo *testRepo, want []string, server bool, at int64) {
	for i, redial := range []bool{false, true, true} {
		g := newRig(t, "", "")
		g.addr = newKnife(t, g.srv.Addr("imap"), server, at).addr
		var dialed atomic.Int64
		offline := errors.New("offline")
		rep, err := repo.Restore(context.Background(), RestoreOptions{Settle: time.Millisecond, Connections: max(1, 3*(i-1)), Dial: func(ctx context.Context) (*imap.Client, error) {
			if dialed.Add(1) > 1 && !redial {
				return nil, offline
			}
			return g.dial(ctx)
		}})
		dials := dialed.Load()
		switch {
		case dials > 1 && redial && (err != nil || !rep.Complete()):
			t.Errorf("on another connection: got %s, %v", counts(rep), err)
		case dials > 1 && !redial && !errors.Is(err, offline):
			t.Errorf("got %v, want that nobody is there", err)
		}
		g.addr = ""
		rep, err = repo.Restore(context.Background(), RestoreOptions{Settle: time.Millisecond, Dial: g.dial})
		if err != nil || !rep.Complete() {
			t.Errorf("again: got %s, %v", counts(rep), err)
		}
		sameLines(t, "restored", onServerNow(t, g.dial), want)
	}
}

// TestRestore_Late has a server that goes on with what it was sent when the client is gone already: neither another
// restore nor the same one on another connection appends anything twice.
func TestRestore_Late(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	want := storedFacts(t, repo.Repo, inDrafts)
	for _, redial := range []bool{false, true} {
		g := newRig(t, "", "", append(slowAuth, "MULTIAPPEND")...) // with it all would be one command
		addr, passed := slowRelay(t, g.srv.Addr("imap"), 16_000)
		g.addr = addr
		offline := errors.New("offline")
		rep, err := repo.Restore(context.Background(), RestoreOptions{Settle: 300 * time.Millisecond, Connections: 1, Dial: func(ctx context.Context) (*imap.Client, error) {
			if g.addr == "" && !redial {
				return nil, offline
			}
			c, err := g.dial(ctx)
			g.addr = ""
			return c, err
		}})
		if redial && (err != nil || !rep.Complete()) || !redial && !errors.Is(err, offline) {
			t.Errorf("on a connection that is cut: got %s, %v", counts(rep), err)
		}
		rep, err = repo.Restore(context.Background(), RestoreOptions{Settle: 300 * time.Millisecond, Dial: g.dial})
		if err != nil || !rep.Complete() {
			t.Errorf("again: got %s, %v", counts(rep), err)
		}
		passed()
		sameLines(t, "restored", onServerNow(t, g.dial), want)
	}
}

// slowRelay passes one connection on, slowly to the server. After so many octets of the client's it closes that side at
// once, and what it has goes on to the server. passed waits for that.
func slowRelay(t *testing.T, addr string, octets int) (at string, passed func()) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	group.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		s, err := net.Dial("tcp4", addr)
		if err != nil {
			return
		}
		group.Go(func() { _, _ = io.Copy(c, s) })
		chunks := make(chan []byte, 1000)
		group.Go(func() {
			defer s.Close()
			for chunk := range chunks {
				if _, err := s.Write(chunk); err != nil {
					return
				}
				time.Sleep(40 * time.Millisecond)
			}
		})
		defer close(chunks)
		for octets > 0 {
			buf := make([]byte, min(octets, 500))
			n, err := c.Read(buf)
			chunks <- buf[:n]
			if octets -= n; err != nil {
				return
			}
		}
	})
	return l.Addr().String(), group.Wait
}

// TestRestore_CutAtSubscribe loses the connection when a mailbox is there and not subscribed to yet.
func TestRestore_CutAtSubscribe(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	g := newRig(t, "", "")
	repo.must(g.account.Subscribe("INBOX", false))
	var once sync.Once
	g.misbehave(striker(func(e server.Event) (s server.Strike) {
		if e.Command == "SUBSCRIBE" {
			once.Do(func() { s.Drop = true })
		}
		return s
	}))
	rep, err := repo.Restore(context.Background(), RestoreOptions{Connections: 1, Dial: g.dial})
	if subs := g.account.Subscribed(); err != nil || !rep.Complete() || g.dials.Load() != 2 || !slices.Contains(subs, "INBOX") {
		t.Errorf("got %s, %v, %d connections, subscribed to %q; want INBOX too, over 2", counts(rep), err, g.dials.Load(), subs)
	}
}

// TestRestore_Connections restores many mailboxes over several connections, and has a mailbox for a special use made
// before the one below it.
func TestRestore_Connections(t *testing.T) {
	repo := newRepo(t, FormatMaildir)
	for i := range 40 {
		box, err := repo.rec.box(&Mailbox{Name: fmt.Sprint("Box", i), Delim: "/", Subscribed: true})
		repo.must(err)
		repo.put(box, 7, uint32(i+1), fmt.Sprintf("Message-ID: <%d@example.org>\n\nbody %d\n", i, i), `\Seen`)
	}
	for _, m := range []*Mailbox{{Name: "Older", Delim: "/", Attrs: []string{`\Archive`}}, {Name: "Older/2025", Delim: "/"}} {
		box, err := repo.rec.box(m)
		repo.must(err)
		repo.put(box, 7, 1, "Message-ID: <"+strings.ToLower(m.Name)+"@example.org>\n\n"+m.Name+"\n")
	}
	repo.snap(time.Unix(1e9, 0))
	g := newRig(t, "", "")
	repo.must(g.account.Delete("Archive"))
	for _, want := range []string{"42 wanted, 0 present, 42 appended, 0 merged, 0 refused", "42 wanted, 42 present, 0 appended, 0 merged, 0 refused"} {
		g.dials.Store(0)
		rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
		if err != nil || !rep.Complete() || counts(rep) != want || g.dials.Load() != defaultConnections {
			t.Errorf("got %s, %v over %d connections, want %s over %d", counts(rep), err, g.dials.Load(), want, defaultConnections)
		}
		if !slices.IsSortedFunc(rep.Mailboxes, func(a, b RestoredMailbox) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("the mailboxes are not in the order of their names")
		}
		sameLines(t, "restored", onServerNow(t, g.dial), storedFacts(t, repo.Repo, itself))
	}
	for _, info := range g.account.List() {
		if info.Name == "Older" && info.SpecialUse != `\Archive` {
			t.Errorf("got the use %q, want \\Archive", info.SpecialUse)
		}
	}
}

// TestRestore_OneConnection has a server that ends all connections but the first.
func TestRestore_OneConnection(t *testing.T) {
	repo := newRepo(t, FormatMaildir)
	for i := range 20 {
		repo.put(repo.box(fmt.Sprint("Box", i)), 7, uint32(i+1), fmt.Sprintf("Message-ID: <%d@example.org>\n\nbody %d\n", i, i))
	}
	repo.snap(time.Unix(1e9, 0))
	g := newRig(t, "", "")
	var dials atomic.Int64
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: func(ctx context.Context) (*imap.Client, error) {
		n := dials.Add(1)
		if n > defaultConnections {
			return nil, errors.New("too many connections")
		}
		c, err := g.dial(ctx)
		if n > 1 && err == nil {
			err = c.Close()
		}
		return c, err
	}})
	if want := "20 wanted, 0 present, 20 appended, 0 merged, 0 refused"; err != nil || !rep.Complete() || counts(rep) != want {
		t.Errorf("got %s, %v, want %s", counts(rep), err, want)
	}
	sameLines(t, "restored", onServerNow(t, g.dial), storedFacts(t, repo.Repo, itself))
}

// TestRestore_Refused has a server that takes some messages only, and a file that is damaged: the others are restored,
// and the report tells which are not.
func TestRestore_Refused(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	var damaged, gone *Message
	for m, err := range repo.Messages("", "INBOX") {
		repo.must(err)
		switch m.UID {
		case 2:
			damaged = m
		case 5:
			gone = m
		}
	}
	name, err := repo.Path(damaged)
	repo.must(err)
	text, err := os.ReadFile(name)
	repo.must(err)
	text[20] ^= 1
	repo.must(os.WriteFile(name, text, 0o600))
	name, err = repo.Path(gone)
	repo.must(err)
	repo.must(os.Remove(name))

	g := newRig(t, "", "on IMAP APPEND \"Sent *\": reply NO [OVERQUOTA] full\non IMAP CREATE Work*: reply NO never\n", "MULTIAPPEND")
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
	repo.must(err)
	if rep.Complete() {
		t.Error("the report says that everything is there")
	}
	got := map[string]string{}
	for _, m := range rep.Mailboxes {
		text := fmt.Sprintf("%d of %d", m.Appended, m.Wanted)
		for _, r := range m.Refused {
			text += fmt.Sprintf("; %d %v", r.UID, errors.Unwrap(r.Err) != nil || r.Err != nil)
		}
		if m.Err != nil {
			text += "; " + m.Err.Error()
		}
		got[m.Name] = text
	}
	for name, want := range map[string]string{
		"INBOX": "10 of 12; 2 true; 5 true", "Sent": "0 of 3; 3 true; 4 true; 63 true", "Work/2026": `0 of 3; create "Work/2026": NO never`, "Entwürfe": "4 of 4",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if n := len(onServerNow(t, g.dial)); n != 14 {
		t.Errorf("got %d messages on the server, want 14", n)
	}
}

// TestRestore_Pause has a server that wants a pause now and then: it is made, and the message sent again.
func TestRestore_Pause(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	g := newRig(t, "", "on IMAP APPEND 2 of 5: reply NO Request is throttled. Suggested Backoff Time: 20 milliseconds\n", "MULTIAPPEND")
	waits := 0
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial, Event: func(e RestoreEvent) {
		if e.Kind == EventWait && e.Wait == 20*time.Millisecond && e.Err != nil {
			waits++
		}
	}})
	if err != nil || !rep.Complete() || waits == 0 {
		t.Errorf("got %s, %v, %d pauses", counts(rep), err, waits)
	}
	sameLines(t, "restored", onServerNow(t, g.dial), storedFacts(t, repo.Repo, inDrafts))
	g = newRig(t, "", "on IMAP APPEND: reply NO Request is throttled. Suggested Backoff Time: 1 milliseconds\n")
	rep, err = repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
	if err != nil || rep.Complete() || !strings.HasPrefix(counts(rep), "22 wanted, 0 present, 0 appended, 0 merged, 2") {
		t.Errorf("refused for ever: got %s, %v", counts(rep), err)
	}
}

// TestRestore_HeadersAreEnough compares by headers where size, date and Message-ID are clear, and by all octets where
// they are not.
func TestRestore_HeadersAreEnough(t *testing.T) {
	repo, g := stocked(t, FormatMaildir), newRig(t, "", "")
	for _, c := range []struct {
		mailbox string
		bodies  int
	}{{"INBOX", 0}, {"Sent", 0}, {"Work/2026", 1}} {
		o := RestoreOptions{Dial: g.dial, Selection: Selection{Patterns: []string{c.mailbox}}}
		_, err := repo.Restore(context.Background(), o)
		repo.must(err)
		g.faults.reset()
		_, err = repo.Restore(context.Background(), o)
		repo.must(err)
		if got := g.faults.bodies(); got != c.bodies {
			t.Errorf("%s: got %d commands for whole messages, want %d", c.mailbox, got, c.bodies)
		}
	}
}

// TestRestore_SizeLies has a server that does not tell the sizes of messages as they are: nothing is appended twice.
func TestRestore_SizeLies(t *testing.T) {
	repo, g := stocked(t, FormatMaildir), newRig(t, "", "on IMAP UID FETCH: lie wrong-size\n")
	for _, want := range []string{"22 wanted, 0 present, 22 appended, 0 merged, 0 refused", "22 wanted, 22 present, 0 appended, 0 merged, 0 refused"} {
		rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
		if err != nil || counts(rep) != want {
			t.Errorf("got %s, %v, want %s", counts(rep), err, want)
		}
	}
}

// TestRestore_RoundTrip backs an account up and restores it into another: they are the same.
func TestRestore_RoundTrip(t *testing.T) {
	from, to := newRig(t, "", ""), newRig(t, "", "")
	for i := range 20 {
		from.put([]string{"INBOX", "Sent", "Work/2026", "lists/a&b"}[i%4], text(i%15, i*100), [][]string{nil, {`\Seen`, "work"}}[i%2]...)
	}
	from.put("INBOX", "bare\nLF and\rCR\r\n")
	from.put("INBOX", "no line end")
	from.must(RunOptions{})
	repo, err := Open(from.dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: to.dial, Selection: Selection{At: "latest"}})
	if err != nil || !rep.Complete() {
		t.Fatalf("got %s, %v", counts(rep), err)
	}
	sameLines(t, "the other account", onServerNow(t, to.dial), onServerNow(t, from.dial))
	list, err := repo.CompareServer(context.Background(), from.dial, nil)
	if err != nil || len(list) == 0 {
		t.Fatalf("got %v, %v", list, err)
	}
	for _, d := range list {
		if !d.Same() {
			t.Errorf("compared: got %+v", d)
		}
	}
}

// TestRestore_Snapshot restores what a mailbox had at a snapshot, with the flags of then.
func TestRestore_Snapshot(t *testing.T) {
	repo, g := newRepo(t, FormatMaildir), newRig(t, "", "")
	box := repo.box("INBOX")
	one := repo.put(box, 7, 1, "Subject: one\n\n", `\Seen`)
	repo.put(box, 7, 2, "Subject: two\n\n")
	then := repo.snap(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	want := storedFacts(t, repo.Repo, itself)
	var gone imap.UIDSet
	gone.Add(2)
	repo.must(repo.rec.gone(box, 7, gone))
	changed := *one
	changed.Flags = []string{`\Flagged`}
	repo.must(repo.rec.flags(box, &changed))
	repo.snap(time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC))
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial, Selection: Selection{At: then}})
	if err != nil || counts(rep) != "2 wanted, 0 present, 2 appended, 0 merged, 0 refused" {
		t.Errorf("got %s, %v", counts(rep), err)
	}
	sameLines(t, "restored", onServerNow(t, g.dial), want)
}

// TestRestore_Errors ends with the errors of others, and a report.
func TestRestore_Errors(t *testing.T) {
	repo, g := stocked(t, FormatMaildir), newRig(t, "", "")
	offline := errors.New("offline")
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: func(context.Context) (*imap.Client, error) { return nil, offline }})
	if rep == nil || !errors.Is(err, offline) {
		t.Errorf("got %v, %v", rep, err)
	}
	if rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial, Selection: Selection{At: "2001"}}); rep == nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another snapshot: got %v, %v", rep, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	rep, err = repo.Restore(ctx, RestoreOptions{Dial: g.dial, Event: func(e RestoreEvent) {
		if e.Kind == EventMessage && e.Messages == 5 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || len(rep.Mailboxes) == 0 || rep.Complete() {
		t.Errorf("cancelled: got %+v, %v", rep, err)
	}
	rep, err = repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
	if err != nil || !rep.Complete() {
		t.Errorf("then: got %s, %v", counts(rep), err)
	}
	sameLines(t, "restored", onServerNow(t, g.dial), storedFacts(t, repo.Repo, inDrafts))
}

// TestSuspects says what it takes to tell that a message on the server is one of the backup.
func TestSuspects(t *testing.T) {
	locals := []local{
		{size: 10, date: 1, id: 5, whole: proof{1}}, {size: 10, date: 2, id: 5, whole: proof{1}},
		{size: 20, date: 1, id: 6, whole: proof{1}}, {size: 20, date: 1, id: 6, whole: proof{2}},
		{size: 30, date: 3, whole: proof{3}},
	}
	s := newSuspects(locals, disputes(slices.Clone(locals)))
	for _, c := range []struct {
		name string
		r    listed
		want proofKind
	}{
		{"clear", listed{size: 10, date: 2, id: 5}, byHeader}, {"another date", listed{size: 10, date: 3, id: 5}, byWhole},
		{"another size", listed{size: 11, date: 2, id: 5}, byWhole}, {"two of one ID and size", listed{size: 20, date: 1, id: 6}, byWhole},
		{"no ID", listed{size: 30, date: 9}, byWhole}, {"another ID", listed{size: 10, date: 9, id: 8}, byNothing},
		{"another ID, as it is written", listed{size: 30, date: 3, id: 8}, byWhole}, {"another size, no ID", listed{size: 31, date: 3}, byWhole}, {"another date besides", listed{size: 31, date: 4}, byNothing},
	} {
		if got := s.needs(&c.r); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// TestRestore_DryRun tells what a restore would do and does nothing.
func TestRestore_DryRun(t *testing.T) {
	repo, g := stocked(t, FormatMaildir), newRig(t, "", "")
	_, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial, Selection: Selection{Patterns: []string{"Sent"}}})
	repo.must(err)
	before := onServerNow(t, g.dial)
	g.faults.reset()
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial, DryRun: true})
	if err != nil || counts(rep) != "22 wanted, 3 present, 19 appended, 0 merged, 0 refused" {
		t.Errorf("got %s, %v", counts(rep), err)
	}
	g.faults.mu.Lock()
	for _, command := range []string{"CREATE", "SUBSCRIBE", "SELECT", "APPEND", "UID STORE"} {
		if n := g.faults.commands[command]; n > 0 {
			t.Errorf("%s was sent %d times", command, n)
		}
	}
	g.faults.mu.Unlock()
	sameLines(t, "after", onServerNow(t, g.dial), before)
}

// TestRestore_Selection restores some messages below a mailbox.
func TestRestore_Selection(t *testing.T) {
	repo, g := stocked(t, FormatMaildir), newRig(t, "", "")
	base := time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial, Prefix: "Old", Selection: Selection{
		Patterns: []string{"*", "!Work/*"}, Since: base.Add(3 * time.Second), Before: base.Add(6 * time.Second),
		Match: func(m *Message, sm *store.Message) bool { return sm.WireSize() == m.Size && m.UID != 5 },
	}})
	if err != nil || counts(rep) != "7 wanted, 0 present, 7 appended, 0 merged, 0 refused" {
		t.Errorf("got %s, %v", counts(rep), err)
	}
	var boxes []string
	for _, l := range onServerNow(t, g.dial) {
		boxes = append(boxes, l[:strings.LastIndex(l, " ")][:9])
	}
	if got := fmt.Sprint(boxes); got != "[Old/Entw\xc3 Old/Entw\xc3 Old/INBOX Old/INBOX Old/Sent  Old/Sent  Old/Sent ]" {
		t.Errorf("got %q", got)
	}
}

// TestRestore_Twins counts: what is in the backup more often than on the server is appended as often as it is missing.
// Dates tell which.
func TestRestore_Twins(t *testing.T) {
	for _, id := range []string{"", "Message-ID: <1@example.org>\n"} {
		repo := newRepo(t, FormatMaildir)
		box := repo.box("Twins")
		for _, uid := range []uint32{3, 4, 63} { // the dates of the first and the last are the same
			repo.put(box, 7, uid, "Subject: twins\n"+id+"\nx\n")
		}
		repo.snap(time.Now())
		for _, uid := range []uint32{3, 4} {
			g := newRig(t, "", "")
			one := RestoreOptions{Dial: g.dial, Selection: Selection{Match: func(m *Message, _ *store.Message) bool { return m.UID == uid }}}
			_, err := repo.Restore(context.Background(), one)
			repo.must(err)
			rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
			if err != nil || counts(rep) != "3 wanted, 1 present, 2 appended, 0 merged, 0 refused" {
				t.Errorf("%d: got %s, %v", uid, counts(rep), err)
			}
			sameLines(t, "twins", onServerNow(t, g.dial), storedFacts(t, repo.Repo, itself))
		}
	}
}

// TestRestore_PairsKnownFirst has one copy of two messages on the server: it is that which is known to be there.
func TestRestore_PairsKnownFirst(t *testing.T) {
	one := func(at uint32) local { return local{at: at, size: 5, date: 1, whole: proof{1}} }
	b := &restoring{rs: &restorer{to: &target{}}, fates: []fate{todo, appended, todo}}
	b.pair(newMatcher(&census{here: []remote{{listed: listed{uid: 9, size: 5, date: 1}, proof: proof{1}, by: byWhole}}}), []local{one(0), one(1), one(2)})
	if want := []fate{todo, appended, todo}; !slices.Equal(b.fates, want) {
		t.Errorf("got %v, want %v", b.fates, want)
	}
}

// TestRestore_Flags leaves out the flags that PERMANENTFLAGS does not allow.
func TestRestore_Flags(t *testing.T) {
	b := &restoring{sel: &imap.SelectData{CanChange: true, PermanentFlags: []imap.Flag{`\Seen`, "$Forwarded"}}}
	flags := []string{`\Seen`, `\Flagged`, "work", "$forwarded", `\Recent`, "not a flag"}
	if got := b.keep(flags); !slices.Equal(got, []imap.Flag{`\Seen`, "$forwarded"}) || len(b.left) != 3 {
		t.Errorf("got %v, left out %v", got, b.left)
	}
	b.sel.PermanentFlags = []imap.Flag{`\Seen`, `\*`}
	if got := b.keep(flags); !slices.Equal(got, []imap.Flag{`\Seen`, "work", "$forwarded"}) {
		t.Errorf("got %v", got)
	}
	b.sel.CanChange = false
	if got := b.keep(flags); len(got) != 4 || slices.Contains(got, `\Recent`) {
		t.Errorf("not told: got %v", got)
	}
}

// gmailRepo is a backup of an account of Gmail: a message with two labels, one archived without any, one in the trash.
func gmailRepo(t *testing.T) *testRepo {
	t.Helper()
	c := newRepo(t, FormatEML)
	put := func(name, attr string, uid uint32, id uint64, body string, labels ...string) {
		m := &Mailbox{Name: name, Delim: "/"}
		if attr != "" {
			m.Attrs = []string{attr}
		}
		box, err := c.rec.box(m)
		c.must(err)
		msg := c.message(box, 7, uid, body)
		msg.Size, msg.GmailID, msg.Labels = int64(len(body)), id, labels
		c.write(msg, body)
		c.must(c.rec.msgs(box, msg))
	}
	put("INBOX", "", 1, 11, "Subject: a\r\n\r\na\r\n", `\Important`, "work/crêpes")
	put("[Gmail]/All Mail", `\All`, 1, 11, "Subject: a\r\n\r\na\r\n", `\Inbox`, `\Important`, "work/crêpes")
	put("[Gmail]/All Mail", `\All`, 2, 12, "Subject: b\r\n\r\nb\r\n")
	put("[Gmail]/Trash", `\Trash`, 1, 13, "Subject: c\r\n\r\nc\r\n")
	put("work/crêpes", "", 1, 11, "Subject: a\r\n\r\na\r\n", `\Inbox`, `\Important`)
	c.snap(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	return c
}

// TestRestore_Gmail gives a message to Gmail once, with its labels, which have other names for the mailboxes there.
func TestRestore_Gmail(t *testing.T) {
	repo := gmailRepo(t)
	const open = "S: * 0 EXISTS\nS: * FLAGS (\\Seen)\nS: * OK [PERMANENTFLAGS (\\Seen \\*)] ok\nS: * OK [UIDVALIDITY 9] ok\nS: $t OK done\n"
	addr := wiretest.Serve(t, `
		S: * PREAUTH [CAPABILITY IMAP4rev1 X-GM-EXT-1 UIDPLUS SPECIAL-USE LITERAL+] hi
		C: $t LIST "" *
		S: * LIST () "/" INBOX
		S: * LIST (\Noselect) "/" [Gmail]
		S: * LIST (\All) "/" "[Gmail]/Alle Nachrichten"
		S: * LIST (\Trash) "/" "[Gmail]/Papierkorb"
		S: $t OK done
		C: $t SELECT INBOX
		`+open+`
		C: $t APPEND INBOX "22-Nov-2026 12:00:01 +0100" {17+}
		C{17} "Subject: a\r\n\r\na\r\n"
		C:
		S: $t OK [APPENDUID 9 5] done
		C: $t UID STORE 5 +X-GM-LABELS.SILENT (\Important work/cr&AOo-pes)
		S: $t OK done
		C: $t SELECT [Gmail]/Papierkorb
		`+open+`
		C: $t APPEND [Gmail]/Papierkorb *
		C{17} "Subject: c\r\n\r\nc\r\n"
		C:
		S: $t OK [APPENDUID 9 1] done
		C: $t CREATE work/cr&AOo-pes
		S: $t OK done
		C: $t SELECT work/cr&AOo-pes
		`+open+`
		C: $t SELECT "[Gmail]/Alle Nachrichten"
		`+open+`
		C: $t APPEND "[Gmail]/Alle Nachrichten" *
		C{17} "Subject: b\r\n\r\nb\r\n"
		C:
		S: $t OK [APPENDUID 9 2] done
		C? * LOGOUT`)
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: func(ctx context.Context) (*imap.Client, error) {
		host, port, _ := net.SplitHostPort(addr)
		n, _ := strconv.Atoi(port)
		return imap.Dial(ctx, wire.Endpoint{Protocol: wire.IMAP, Host: host, Port: n, Security: wire.Cleartext}, nil)
	}})
	if err != nil || counts(rep) != "5 wanted, 0 present, 3 appended, 2 merged, 0 refused" {
		t.Errorf("got %s, %v", counts(rep), err)
	}
}

// TestRestore_FromGmail restores elsewhere: mailboxes for the labels, and in that for all mail only what is in none.
func TestRestore_FromGmail(t *testing.T) {
	repo, g := gmailRepo(t), newRig(t, "", "")
	rep, err := repo.Restore(context.Background(), RestoreOptions{Dial: g.dial})
	if err != nil || counts(rep) != "5 wanted, 0 present, 4 appended, 1 merged, 0 refused" {
		t.Errorf("got %s, %v", counts(rep), err)
	}
	var got []string
	for _, l := range onServerNow(t, g.dial) {
		name, _, _ := strings.Cut(l, " []")
		got = append(got, name[:strings.LastIndex(name, " ")])
	}
	if want := []string{"INBOX", "Trash", "[Gmail]/All Mail", "work/crêpes"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		name, below, prefix, delim string
		gmail                      bool
		server                     []imap.Mailbox
		boxes                      []Mailbox
		want                       string
	}{
		{name: "other separator", delim: ".", boxes: []Mailbox{{Name: "inbox", Delim: "/"}, {Name: "a/b.c", Delim: "/"}, {Name: "a/b_c", Delim: "/"}, {Name: "a//c", Delim: "/"}},
			want: "INBOX a.b_c_ a.b_c a._.c"},
		{name: "no separator there", delim: "", boxes: []Mailbox{{Name: "a/b", Delim: "/"}, {Name: "a_b", Delim: "/"}}, want: "a_b_ a_b"},
		{name: "no separator here", delim: "/", boxes: []Mailbox{{Name: "a/b"}}, want: "a_b"},
		{name: "namespace", delim: ".", prefix: "INBOX.", boxes: []Mailbox{{Name: "INBOX", Delim: "/"}, {Name: "a/b", Delim: "/"}, {Name: "INBOX/c", Delim: "/"}},
			want: "INBOX INBOX.a.b INBOX.c"},
		{name: "below", below: "Old", delim: "/", boxes: []Mailbox{{Name: "INBOX", Delim: "."}, {Name: "Sent", Attrs: []string{`\Sent`}}}, want: "Old/INBOX Old/Sent"},
		{name: "special uses", delim: "/", server: []imap.Mailbox{{Name: "Gesendet", Delim: "/", Attrs: []imap.Flag{`\Sent`}}, {Name: "Bin", Delim: "/", Attrs: []imap.Flag{`\Trash`}}},
			boxes: []Mailbox{{Name: "Sent", Attrs: []string{`\Sent`}}, {Name: "Sent2", Attrs: []string{`\Sent`}}, {Name: "Bin"}, {Name: "Trash", Attrs: []string{`\Trash`}}, {Name: "All", Attrs: []string{`\All`}}},
			want:  `Gesendet(\Sent) Sent2(\Sent) Bin Trash(\Trash) All`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := &imap.Namespaces{Personal: []imap.Namespace{{Prefix: c.prefix, Delim: c.delim}}}
			to := newTarget(c.server, ns, c.below)
			var list []*place
			for i := range c.boxes {
				list = append(list, &place{from: &c.boxes[i]})
			}
			to.places(list)
			var got []string
			for _, p := range list {
				text := p.name
				for _, use := range p.use {
					text += "(" + string(use) + ")"
				}
				got = append(got, text)
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}
