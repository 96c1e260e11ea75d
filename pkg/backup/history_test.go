package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

func TestDiff(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box, other := c.box("INBOX"), c.box("Other")
	c.put(box, 1, 1, "one")
	c.put(box, 1, 2, "two", `\Seen`)
	c.put(box, 1, 3, "three")
	c.put(other, 1, 1, "moves")
	first := c.snap(time.Unix(1e9, 0))
	c.must(c.rec.flags(box, &Message{UIDValidity: 1, UID: 1, Flags: []string{"x"}}))
	c.must(c.rec.gone(box, 1, uidSet(3)))
	c.put(box, 1, 4, "four")
	c.must(c.rec.reset(other, 2))
	c.put(other, 2, 7, "moves", `\Flagged`)
	second := c.snap(time.Unix(2e9, 0))
	c.must(c.rec.reset(box, 9))
	c.put(box, 9, 1, "two", `\Seen`)
	c.must(c.rec.noBox(other))
	third := c.snap(time.Unix(3e9, 0))
	for _, d := range []struct {
		a, b string
		want []string
	}{
		{first, first, nil},
		{first, second, []string{`flags INBOX/1/1 [x] was []`, `removed INBOX/1/3`, `added INBOX/1/4`, `flags Other/2/7 [\Flagged] was []`}},
		{second, first, []string{`flags INBOX/1/1 [] was [x]`, `added INBOX/1/3`, `removed INBOX/1/4`, `flags Other/1/1 [] was [\Flagged]`}},
		{second, third, []string{`removed INBOX/1/1`, `removed INBOX/1/4`, `removed Other/2/7`}},
		{third, "", nil},
		{"latest", first, []string{`added INBOX/1/1`, `added INBOX/1/3`, `added Other/1/1`}},
	} {
		for _, write := range []bool{true, false} {
			c = c.reopen(write)
			var got []string
			for ch, err := range c.Diff(d.a, d.b) {
				c.must(err)
				m := ch.Message
				text := fmt.Sprintf("%s %s/%d/%d", ch.Kind, m.Mailbox.Name, m.UIDValidity, m.UID)
				if ch.Kind == ChangeFlags {
					text += fmt.Sprintf(" %s was %s", m.Flags, ch.Before.Flags)
				}
				got = append(got, text)
			}
			if !slices.Equal(got, d.want) {
				t.Errorf("from %q to %q: %q, want %q", d.a, d.b, got, d.want)
			}
		}
	}
	for _, err := range c.Diff("no such", "") {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a snapshot that is not there: %v", err)
		}
	}
}

// TestForgetPolicy has cases worked out by hand from what restic's manual says.
func TestForgetPolicy(t *testing.T) {
	const all = "2024-12-30T0600 2024-12-31T0600 2025-12-28T0600 2026-01-04T0600 2026-01-05T0600 2026-10-31T0600 2026-11-21T0600 2026-11-22T0600 2026-11-22T1800 2026-11-22T1805"
	for _, c := range []struct {
		name string
		p    ForgetPolicy
		want string
	}{
		{"nothing said", ForgetPolicy{}, all},
		{"last", ForgetPolicy{KeepLast: 2}, "2026-11-22T1800 2026-11-22T1805"},
		{"hours", ForgetPolicy{KeepHourly: 2}, "2026-11-22T0600 2026-11-22T1805"},
		{"days", ForgetPolicy{KeepDaily: 3}, "2026-10-31T0600 2026-11-21T0600 2026-11-22T1805"},
		{"ISO weeks", ForgetPolicy{KeepWeekly: 4}, "2026-01-04T0600 2026-01-05T0600 2026-10-31T0600 2026-11-22T1805"},
		{"months", ForgetPolicy{KeepMonthly: 3}, "2026-01-05T0600 2026-10-31T0600 2026-11-22T1805"},
		{"years and the oldest", ForgetPolicy{KeepYearly: 5}, "2024-12-30T0600 2024-12-31T0600 2025-12-28T0600 2026-11-22T1805"},
		{"years", ForgetPolicy{KeepYearly: 3}, "2024-12-31T0600 2025-12-28T0600 2026-11-22T1805"},
		{"all days", ForgetPolicy{KeepDaily: -1}, "2024-12-30T0600 2024-12-31T0600 2025-12-28T0600 2026-01-04T0600 2026-01-05T0600 2026-10-31T0600 2026-11-21T0600 2026-11-22T1805"},
		{"within", ForgetPolicy{KeepWithin: 24 * time.Hour}, "2026-11-22T0600 2026-11-22T1800 2026-11-22T1805"},
		{"together", ForgetPolicy{KeepLast: 1, KeepMonthly: 2}, "2026-10-31T0600 2026-11-22T1805"},
		{"more than there are", ForgetPolicy{KeepLast: 100}, all},
	} {
		var list []Snapshot
		for _, s := range strings.Fields(all) {
			when, err := time.Parse("2006-01-02T1504", s)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, Snapshot{ID: s, Time: when})
		}
		keep, remove := c.p.apply(list)
		var got []string
		for _, s := range keep {
			got = append(got, s.ID)
		}
		if strings.Join(got, " ") != c.want || len(keep)+len(remove) != len(list) {
			t.Errorf("%s: keeps %s and removes %d, want %s", c.name, got, len(remove), c.want)
		}
	}
}

func TestForget(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	c.box("INBOX")
	var ids []string
	for i := range 5 {
		ids = append(ids, c.snap(time.Unix(1e9+int64(i)*86400, 0)))
	}
	if _, _, err := c.Forget(ForgetPolicy{IDs: []string{ids[0], "nothing"}}, false); !errors.Is(err, fs.ErrNotExist) || len(c.Snapshots()) != 5 {
		t.Errorf("%v, %d snapshots left", err, len(c.Snapshots()))
	}
	for _, dryRun := range []bool{true, false} {
		kept, removed, err := c.Forget(ForgetPolicy{KeepLast: 2, IDs: []string{ids[4]}}, dryRun)
		if err != nil || len(kept) != 2 || len(removed) != 3 || kept[1].ID != ids[3] || removed[2].ID != ids[4] {
			t.Errorf("kept %v, removed %v, %v", kept, removed, err)
		}
		left := 2
		if dryRun {
			left = 5
		}
		if n := len(c.reopened().Snapshots()); n != left || len(c.Snapshots()) != left {
			t.Errorf("%d snapshots left (in memory %d), want %d", n, len(c.Snapshots()), left)
		}
	}
}

// reopened opens the repository beside itself, for reading.
func (c *testRepo) reopened() *Repo {
	c.t.Helper()
	r, err := Open(c.dir, OpenOptions{})
	c.must(err)
	c.t.Cleanup(func() { r.Close() })
	return r
}

// randomHistory makes some runs that do everything a run can do.
func randomHistory(c *testRepo, seed uint64, runs int) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	type mailbox struct {
		n, v, next uint32
		uids       []uint32
		pop        bool
		bodies     []string
	}
	var boxes []*mailbox
	for i := range 4 {
		boxes = append(boxes, &mailbox{n: c.box(fmt.Sprintf("Box/%d", i)), v: 1, next: 1, pop: i == 3})
	}
	for run := range runs {
		for range 12 {
			b := boxes[rnd.IntN(len(boxes))]
			body := fmt.Sprint("body ", rnd.IntN(25))
			switch op := rnd.IntN(10); {
			case b.pop && op < 7:
				c.put(b.n, 0, 0, body)
				b.bodies = append(b.bodies, "id-"+body)
			case b.pop && len(b.bodies) > 0:
				c.must(c.rec.goneUIDL(b.n, b.bodies[rnd.IntN(len(b.bodies))]))
			case b.pop:
			case op < 5:
				c.put(b.n, b.v, b.next, body, `\Seen`)
				b.uids = append(b.uids, b.next)
				b.next += 1 + uint32(rnd.IntN(2))
			case op == 5 && len(b.uids) > 0: // the same UID with something else
				c.put(b.n, b.v, b.uids[rnd.IntN(len(b.uids))], body)
			case op == 6 && len(b.uids) > 0:
				c.must(c.rec.flags(b.n, &Message{UIDValidity: b.v, UID: b.uids[rnd.IntN(len(b.uids))], Flags: []string{fmt.Sprint("k", rnd.IntN(3))}}))
			case op == 7 && len(b.uids) > 2:
				c.must(c.rec.gone(b.n, b.v, uidSet(imap.UID(b.uids[0]), imap.UID(b.uids[2]))))
			case op == 8 && rnd.IntN(3) == 0:
				b.v, b.next, b.uids = b.v+1, 1, nil
				c.must(c.rec.reset(b.n, b.v))
			case op == 9:
				c.must(c.rec.state(b.n, boxState{UIDValidity: b.v, ModSeq: uint64(run*100 + rnd.IntN(100))}))
			}
		}
		if b := boxes[run%len(boxes)]; run%5 == 2 {
			c.must(c.rec.noBox(b.n))
		}
		c.snap(time.Unix(1e9+int64(run)*3600, 0))
		if run%7 == 6 {
			for i := range boxes {
				c.box(fmt.Sprintf("Box/%d", i))
			}
		}
	}
	c.must(c.rec.commit())
}

// needed lists the files that some snapshot or the present state names.
func needed(t testing.TB, r *Repo) []string {
	t.Helper()
	var list []string
	ats := []string{""}
	for _, s := range r.Snapshots() {
		ats = append(ats, s.ID)
	}
	for _, at := range ats {
		for m, err := range r.Messages(at) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, path.Join(m.Mailbox.Dir, m.File))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// bases lists the files of messages, and others, that are there, without info and
// directory of a Maildir; for an mbox what is in it.
func bases(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	for _, name := range files(t, dir) {
		if path.Base(name) == mboxFile {
			list = append(list, pieces(t, filepath.Join(dir, name), path.Dir(name))...)
		} else {
			list = append(list, name)
		}
	}
	for i, name := range list {
		base, _ := cutInfo(path.Base(name))
		dir := path.Dir(name)
		if sub := path.Base(dir); sub == "cur" || sub == "new" {
			dir = path.Dir(dir)
		}
		list[i] = path.Join(dir, base)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// pieces lists what is in an mbox.
func pieces(t testing.TB, mbox, dir string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(mbox)
	if err == nil {
		err = scanMbox(bytes.NewReader(text), 0, int64(len(text)), func(p mboxPiece) error {
			if p.name == "" {
				p.name = fmt.Sprint("stranger at ", p.off)
			}
			if !p.gone {
				list = append(list, path.Join(dir, p.name))
			}
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// tellAll tells the state at each snapshot and now.
func tellAll(t testing.TB, r *Repo) map[string]string {
	t.Helper()
	all := map[string]string{}
	var err error
	for _, s := range append(r.Snapshots(), Snapshot{}) {
		if all[s.ID], err = tellState(r, s.ID); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func sameStates(t testing.TB, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d states, want %d", len(got), len(want))
	}
	for at, text := range want {
		if got[at] != text {
			t.Errorf("snapshot %q:\n%s\nwant\n%s", at, got[at], text)
		}
	}
}

func TestPrune(t *testing.T) {
	for _, format := range formats {
		for seed := range uint64(6) {
			t.Run(fmt.Sprint(format, seed), func(t *testing.T) {
				c := newRepo(t, format)
				randomHistory(c, seed, 12)
				c.must(c.root.WriteFile(path.Join("Box", "stranger.txt"), []byte("x"), 0o600))
				if _, _, err := c.Forget(ForgetPolicy{KeepLast: int(seed % 4), IDs: []string{c.Snapshots()[seed%12].ID}}, false); err != nil {
					t.Fatal(err)
				}
				want, wantFiles, before := tellAll(t, c.Repo), append(needed(t, c.Repo), "Box/stranger.txt"), len(bases(t, c.dir))
				slices.Sort(wantFiles)
				dry, err := c.Prune(t.Context(), true)
				c.must(err)
				if n := len(bases(t, c.dir)); n != before {
					t.Fatalf("a dry run leaves %d files of %d", n, before)
				}
				done, err := c.Prune(t.Context(), false)
				c.must(err)
				if done != dry || done.Files != before-len(wantFiles) {
					t.Errorf("removed %+v of %d files, the dry run had %+v; %d are to stay", done, before, dry, len(wantFiles))
				}
				for _, r := range []*Repo{c.Repo, c.reopened()} {
					sameStates(t, tellAll(t, r), want)
				}
				if got := bases(t, c.dir); !slices.Equal(got, wantFiles) {
					t.Errorf("files %q, want %q", got, wantFiles)
				}
				if again, err := c.Prune(t.Context(), false); err != nil || again != (PruneResult{}) {
					t.Errorf("once more: %+v, %v", again, err)
				}
				rec, err := c.record()
				c.must(err)
				c.rec = rec
				c.put(c.box("Box/0"), 99, 1, "afterwards")
				c.snap(time.Unix(2e9, 0))
				if c = c.reopen(true); c.Damage() != nil || len(c.Snapshots()) != len(want) {
					t.Errorf("%v, %d snapshots", c.Damage(), len(c.Snapshots()))
				}
			})
		}
	}
}

// TestPruneReplaced has a message that took the place of another, and that no
// snapshot has.
func TestPruneReplaced(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("A")
	c.put(box, 1, 1, "first")
	c.snap(time.Unix(1e9, 0))
	c.put(box, 1, 1, "second")
	c.must(c.rec.noBox(box))
	c.snap(time.Unix(2e9, 0))
	if done, err := c.Prune(t.Context(), false); err != nil || done.Files != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	var err error
	c.rec, err = c.record()
	c.must(err)
	c.box("A")
	if info, _ := c.tip.info(box); !info.Known.Empty() {
		t.Errorf("the mailbox is back with the UIDs %v, want none: the one that was last there is pruned", info.Known)
	}
}

// TestPruneSparesWhatIsNamed has a plan that was carried out, of which the end is
// lost, and a file that was stored again since.
func TestPruneSparesWhatIsNamed(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("A")
	c.put(box, 1, 1, "first")
	c.put(box, 1, 2, "second")
	c.must(c.rec.gone(box, 1, uidSet(1)))
	c.snap(time.Unix(1e9, 0))
	_, err := c.Prune(t.Context(), false)
	c.must(err)
	pruned := c.log.size - 5
	c.rec, err = c.record()
	c.must(err)
	c.put(box, 1, 1, "first")
	c.snap(time.Unix(2e9, 0))
	c.must(c.Close())
	flip(t, c.manifestPath(), pruned)
	c = openRepo(t, c.dir, OpenOptions{Write: true})
	if done, err := c.Repair(t.Context()); err != nil || done != (RepairResult{BadLines: 1}) {
		t.Errorf("%+v, %v", done, err)
	}
	if got := problems(t, c.Repo, VerifyOptions{}); len(got) > 0 || len(bases(t, c.dir)) != 2 {
		t.Errorf("%+v, files %q", got, bases(t, c.dir))
	}
}

// TestL1_PruneFails fails every step of forget and prune in turn: as one error, as the
// death of the process, and as that of the machine. What is left is whole, and the next writer finishes.
func TestL1_PruneFails(t *testing.T) {
	for _, format := range []string{FormatMaildir, FormatMbox} {
		t.Run(format, func(t *testing.T) { pruneFails(t, format) })
	}
}

func pruneFails(t *testing.T, format string) {
	origin := newRepo(t, format)
	randomHistory(origin, 3, 5)
	origin.must(origin.Close())
	prune := func(r *Repo) error {
		if _, _, err := r.Forget(ForgetPolicy{KeepLast: 2}, false); err != nil {
			return err
		}
		_, err := r.Prune(context.Background(), false)
		return err
	}
	steps := 0
	for _, mode := range []faultMode{failOnce, die, lose, tear} {
		for failAt := 1; ; failAt++ {
			dir := copyTree(t, origin.dir)
			d := newFaultDisk(t, mode, failAt)
			r, err := open(dir, OpenOptions{Write: true}, d)
			if err != nil {
				t.Fatal(err)
			}
			want := tellAll(t, r)
			err = prune(r)
			if r.Close() != nil || d.step < failAt {
				if err != nil {
					t.Fatal(err)
				}
				steps = d.step
			}
			d.crash() // also after the last step
			checkPruned(t, dir, want, d.String())
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if d.step < failAt {
				break
			}
		}
	}
	if steps < 20 {
		t.Errorf("only %d steps were seen", steps)
	}
}

// checkPruned checks that a repository in which a prune was cut short is whole, and
// can be pruned.
func checkPruned(t *testing.T, dir string, before map[string]string, what string) {
	t.Helper()
	for _, write := range []bool{false, true} {
		r, err := open(dir, OpenOptions{Write: write}, quickDisk{})
		if err != nil || r.Damage() != nil {
			t.Fatalf("%s: %v, %v", what, err, r.Damage())
		}
		for at, text := range tellAll(t, r) {
			if text != before[at] {
				t.Fatalf("%s: snapshot %q:\n%s\nwas\n%s", what, at, text, before[at])
			}
		}
		have := bases(t, dir)
		for _, name := range needed(t, r) {
			if _, ok := slices.BinarySearch(have, name); !ok {
				t.Fatalf("%s: %s is missing", what, name)
			}
		}
		if write {
			if got := problems(t, r, VerifyOptions{}); len(got) > 0 {
				t.Fatalf("%s: the next writer leaves %+v", what, got)
			}
			if _, _, err := r.Forget(ForgetPolicy{KeepLast: 2}, false); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if _, err := r.Prune(t.Context(), false); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got, want := bases(t, dir), needed(t, r); !slices.Equal(got, want) {
				t.Fatalf("%s: files %q, want %q", what, got, want)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestL1_CommitFails fails every step of making a repository and of recording: what
// was committed before is there, and the next writer goes on.
func TestL1_CommitFails(t *testing.T) {
	for _, mode := range []faultMode{failOnce, die, lose, tear} {
		for failAt := 1; ; failAt++ {
			dir := t.TempDir()
			d := newFaultDisk(t, mode, failAt)
			committed := 0
			err := func() error {
				r, err := open(dir, OpenOptions{Write: true, Create: &Settings{}}, d)
				if err != nil {
					return err
				}
				defer r.Close()
				c := &testRepo{Repo: r, t: t}
				if c.rec, err = r.record(); err != nil {
					return err
				}
				if err := r.setDirty(true); err != nil {
					return err
				}
				box, err := c.rec.box(&Mailbox{Name: "INBOX"})
				for i := uint32(1); i <= 3 && err == nil; i++ {
					m := c.message(box, 1, i, fmt.Sprint("body ", i))
					c.write(m, fmt.Sprint("body ", i))
					if err = c.rec.msgs(box, m); err == nil {
						err = c.rec.commit()
					}
					if err == nil {
						committed++
					}
				}
				if err != nil {
					if c.rec.commit() == nil {
						t.Error("a recorder that has failed goes on")
					}
					return err
				}
				return r.setDirty(false)
			}()
			if d.step < failAt {
				if err != nil || committed != 3 {
					t.Fatal(err, committed)
				}
				break
			}
			d.crash()
			what := d.String()
			if err == nil {
				t.Fatalf("%s: no error", what)
			}
			r, err := open(dir, OpenOptions{Write: true, Create: &Settings{}}, quickDisk{})
			if err != nil || r.Damage() != nil {
				t.Fatalf("%s: %v, %v", what, err, r.Damage())
			}
			got := 0
			for _, err := range r.Messages("") {
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				got++
			}
			if got < committed {
				t.Errorf("%s: %d messages, %d were committed", what, got, committed)
			}
			r.Close()
		}
	}
}

// recognised makes a repository of which a mailbox got other UIDs: its messages have
// kept their files, which have the names of the old UIDs.
func recognised(t *testing.T) *testRepo {
	c := newRepo(t, FormatMaildir)
	box := c.box("A")
	for uid, body := range []string{1: "one", 2: "two", 3: "three"} {
		if body != "" {
			c.put(box, 5, uint32(uid), body)
		}
	}
	c.snap(time.Unix(1e9, 0))
	old := slices.Collect(c.tip.all(box))
	c.must(c.rec.reset(box, 6))
	for _, i := range old {
		m, err := c.tip.message(i)
		c.must(err)
		m.UIDValidity, m.UID = 6, m.UID+10
		c.must(c.rec.msgs(box, m))
	}
	c.snap(time.Unix(2e9, 0))
	return c
}

// TestR3_PruneKeepsRecognised prunes what was before a change of UIDVALIDITY: the files
// stay, because the messages that were recognised have them.
func TestR3_PruneKeepsRecognised(t *testing.T) {
	c := recognised(t)
	want := files(t, c.dir)
	if _, _, err := c.Forget(ForgetPolicy{KeepLast: 1}, false); err != nil {
		t.Fatal(err)
	}
	got, err := c.Prune(t.Context(), false)
	if want := (PruneResult{Messages: 3}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got := files(t, c.dir); !slices.Equal(got, want) {
		t.Errorf("got files %q, want %q", got, want)
	}
	if got := problems(t, c.Repo, VerifyOptions{}); len(got) > 0 {
		t.Errorf("afterwards: %+v", got)
	}
}

// TestR3_RepairKeepsRecognised repairs what needs no repair.
func TestR3_RepairKeepsRecognised(t *testing.T) {
	c := recognised(t)
	want := c.state("")
	if got, err := c.Repair(t.Context()); err != nil || got != (RepairResult{}) {
		t.Errorf("got %+v, %v, want nothing done", got, err)
	}
	if got := c.state(""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
