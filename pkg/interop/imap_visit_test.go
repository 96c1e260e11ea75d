package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// keeper is what somebody keeps of mailboxes, made from what VisitAll tells alone.
type keeper struct {
	visits []imap.Visit // those under way
	states map[string]imap.State
	bodies map[string]map[imap.UID]string
	flags  map[string]map[imap.UID]string
	failed []string // mailboxes to be visited again
	twice  []string
}

func newKeeper() *keeper {
	return &keeper{states: map[string]imap.State{}, bodies: map[string]map[imap.UID]string{}, flags: map[string]map[imap.UID]string{}}
}

func flagText(flags []imap.Flag) string {
	var words []string
	for _, f := range flags {
		if !f.Equal(imapwire.FlagRecent) {
			words = append(words, strings.ToLower(string(f)))
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (k *keeper) Opened(i int, s *imap.SelectData) error {
	name := k.visits[i].Mailbox
	if s.UIDValidity != k.states[name].UIDValidity {
		k.states[name] = imap.State{UIDValidity: s.UIDValidity}
		k.bodies[name], k.flags[name] = map[imap.UID]string{}, map[imap.UID]string{}
	}
	return nil
}

func (k *keeper) Message(i int, m *imap.Message) error {
	name := k.visits[i].Mailbox
	b, err := m.Next()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(b)
	if _, there := k.bodies[name][m.UID]; there {
		k.twice = append(k.twice, fmt.Sprint(name, m.UID))
	}
	k.bodies[name][m.UID], k.flags[name][m.UID] = string(text), flagText(m.Flags)
	return err
}

func (k *keeper) Changed(i int, f imap.FlagChange) error {
	k.flags[k.visits[i].Mailbox][f.UID] = flagText(f.Flags)
	return nil
}

func (k *keeper) Done(i int, ch *imap.Changes, err error) error {
	name := k.visits[i].Mailbox
	if err != nil {
		k.failed = append(k.failed, name)
	}
	if ch == nil {
		return nil
	}
	for uid := range ch.Vanished.All() {
		delete(k.bodies[name], uid)
		delete(k.flags[name], uid)
	}
	state := ch.State
	if err != nil { // flags of others may be missing, and bodies
		state.ModSeq = 0
	}
	k.states[name] = state
	return nil
}

// visit brings mailboxes up to date. Servers that refuse now and then are asked again.
func (k *keeper) visit(t *testing.T, c *imap.Client, names []string) {
	t.Helper()
	for range 50 {
		k.visits, k.failed = nil, nil
		for _, name := range names {
			state := k.states[name]
			var known imap.UIDSet
			for uid := range k.bodies[name] {
				known.Add(uid)
			}
			state.Known = known
			flags := maps.Clone(k.flags[name])
			k.visits = append(k.visits, imap.Visit{Mailbox: name, Known: state,
				Flags: func(uid imap.UID) ([]imap.Flag, bool) {
					text, ok := flags[uid]
					var list []imap.Flag
					for _, word := range strings.Fields(text) {
						list = append(list, imap.Flag(word))
					}
					return list, ok
				},
				Items: imap.FetchOptions{Flags: true, Sections: []imap.Section{{}}}})
		}
		do(t, c.VisitAll(limit(t), slices.Values(k.visits), k))
		if len(k.failed) == 0 {
			return
		}
		names = slices.Clone(k.failed)
	}
	t.Fatalf("refused for ever: %v", k.failed)
}

// text is all that is kept.
func (k *keeper) text() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k.bodies)) {
		for _, uid := range slices.Sorted(maps.Keys(k.bodies[name])) {
			fmt.Fprintf(&b, "%s %d [%s] %.60q\n", name, uid, k.flags[name][uid], k.bodies[name][uid])
		}
	}
	return b.String()
}

// TestIMAP_VisitAll changes mailboxes at random and keeps copies of them, by sessions of every depth: they are the same
// at the end of each round, and the same as what a client sees that knows nothing.
func TestIMAP_VisitAll(t *testing.T) {
	imapPeers(t, func(t *testing.T, open func(imap.Options) *imap.Client) {
		rnd := rand.New(rand.NewPCG(7, 11))
		other := open(imap.Options{})
		names := []string{"INBOX", "leer", "Entwürfe & mehr", `qu"ote\d`, "a b", "x1", "x2", "x3", "x4", "x5"}
		for _, name := range names[1:] {
			do(t, other.Create(limit(t), name))
		}
		depths := []int{1, 2, 64, 0}
		keepers := make([]*keeper, len(depths))
		for i := range keepers {
			keepers[i] = newKeeper()
		}
		for round := range 4 {
			change(t, other, rnd, names)
			fresh := newKeeper()
			fresh.visit(t, open(imap.Options{}), names)
			want := fresh.text()
			if round == 0 && !strings.Contains(want, "number") {
				t.Fatalf("nothing came: %q", want)
			}
			for i, k := range keepers {
				c := open(imap.Options{Depth: depths[i]})
				k.visit(t, c, names)
				if got := k.text(); got != want {
					t.Errorf("round %d, depth %d: got\n%swant\n%s", round, depths[i], got, want)
				}
				if len(k.twice) > 0 {
					t.Errorf("round %d, depth %d: came twice: %v", round, depths[i], k.twice)
				}
				if round == 1 { // what somebody has lost comes again
					for uid := range k.bodies["x1"] {
						delete(k.bodies["x1"], uid)
						break
					}
					k.states["x2"] = imap.State{UIDValidity: k.states["x2"].UIDValidity + 1, ModSeq: k.states["x2"].ModSeq}
				}
			}
		}
	})
}

// change appends, flags and expunges at random. The mailbox "leer" stays empty.
func change(t *testing.T, c *imap.Client, rnd *rand.Rand, names []string) {
	t.Helper()
	ctx := context.Background()
	again := func(fn func() error) { // some servers refuse now and then
		t.Helper()
		var err error
		for range 3 {
			if err = fn(); err == nil {
				return
			}
		}
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "leer" || rnd.IntN(4) == 0 {
			continue
		}
		for m := range numbered(rnd.IntN(3)) {
			text, _ := io.ReadAll(m.Body)
			again(func() error {
				_, err := c.Append(ctx, name, m.Size, bytes.NewReader(text), &imap.AppendOptions{Flags: m.Flags})
				return err
			})
		}
		again(func() error { _, err := c.Select(ctx, name, nil); return err })
		found, err := c.Search(ctx)
		do(t, err)
		for uid := range found.All() {
			one := imapwire.SetOf(uid)
			switch rnd.IntN(6) {
			case 0:
				do(t, c.Store(ctx, one, imap.AddFlags, []imap.Flag{`\Seen`}))
			case 1:
				do(t, c.Store(ctx, one, imap.RemoveFlags, []imap.Flag{`\Seen`, `\Flagged`}))
			case 2:
				do(t, c.Store(ctx, one, imap.AddFlags, []imap.Flag{`\Deleted`}))
			}
		}
		if rnd.IntN(2) == 0 {
			_, err := c.Expunge(ctx)
			do(t, err)
		}
	}
}
