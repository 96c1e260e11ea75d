package backup

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// TestCompareServer compares a server with its backup before and after it has changed, whatever it offers.
func TestCompareServer(t *testing.T) {
	for _, without := range [][]string{nil, {"QRESYNC"}, {"CONDSTORE"}, {"ESEARCH", "LIST-EXTENDED"}} {
		t.Run(strings.Join(without, " "), func(t *testing.T) {
			g, repo := newRig(t, "", "", without...), newRepo(t, FormatMaildir)
			for _, name := range []string{"INBOX", "Work", "Lost"} {
				info := g.box(name).State()
				box, err := repo.rec.box(&Mailbox{Name: name, Delim: "/"})
				repo.must(err)
				for i := range uint32(5) {
					g.put(name, text(int(i), 100), `\Seen`)
					repo.put(box, info.UIDValidity, i+1, fmt.Sprint(name, i), `\Seen`)
				}
			}
			for _, info := range g.account.List() { // mailboxes of every account
				if _, ok := repo.tip.box(info.Name); !ok {
					repo.box(info.Name)
				}
			}
			repo.snap(time.Now())
			tell := func(patterns ...string) (text string) {
				t.Helper()
				list, err := repo.CompareServer(context.Background(), g.dial, patterns)
				repo.must(err)
				for _, d := range list {
					if !d.Same() {
						text += fmt.Sprintf("%s %d %d +%v -%v ~%d %v %v %v\n", d.Mailbox, d.Server, d.Stored, d.NotStored, d.NotOnServer, d.Flags, d.Reset, d.NoMailbox, d.Err)
					}
				}
				return text
			}
			if got := tell(); got != "" {
				t.Errorf("nothing has changed: got %q", got)
			}
			in := g.box("INBOX")
			_, err := in.Expunge([]uint32{2, 5})
			repo.must(err)
			g.put("INBOX", text(9, 10))
			g.put("New", text(9, 10))
			c, err := g.dial(context.Background())
			repo.must(err)
			defer c.Close()
			_, err = c.Select(context.Background(), "INBOX", nil)
			repo.must(err)
			var set imap.UIDSet
			set.AddRange(3, 4)
			repo.must(c.Store(context.Background(), set, imap.AddFlags, []imap.Flag{`\Flagged`}))
			repo.must(g.account.Delete("Lost"))
			repo.must(g.account.Delete("Work"))
			g.put("Work", text(9, 10))
			want := "INBOX 4 5 +6 -2,5 ~2 false false <nil>\nLost 0 5 + -1:5 ~0 false true <nil>\nNew 1 0 +1 - ~0 false false <nil>\nWork 1 5 +1 - ~0 true false <nil>\n"
			if got := tell(); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if got := tell("L*", "!Lo*"); got != "" {
				t.Errorf("other mailboxes: got %q", got)
			}
		})
	}
}

// TestCompareServer_Busy asks again what the server had no time for.
func TestCompareServer_Busy(t *testing.T) {
	g := newRig(t, "", "on IMAP UID FETCH *FLAGS* 1 of 2: reply NO Request is throttled. Suggested Backoff Time: 5 milliseconds")
	for i := range 3 {
		g.put("INBOX", text(i, 100))
	}
	g.must(RunOptions{})
	repo, err := Open(g.dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	for range 3 {
		list, err := repo.CompareServer(t.Context(), g.dial, []string{"INBOX"})
		if err != nil || len(list) != 1 || !list[0].Same() {
			t.Errorf("got %+v, %v, want the same", list, err)
		}
	}
}
