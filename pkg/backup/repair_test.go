package backup

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// telling tells which messages a snapshot has, as far as names of files can tell.
func telling(t testing.TB, r *Repo, at string, flags bool) string {
	t.Helper()
	var lines []string
	for m, err := range r.Messages(at) {
		if err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprintf("%s %d %d %s %d %x %d", m.Mailbox.Dir, m.UIDValidity, m.UID, m.File, m.Size, m.Digest, m.Date.Unix())
		if flags {
			s += fmt.Sprint(m.Flags)
		}
		lines = append(lines, s)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// repairable makes a repository with one of everything.
func repairable(t testing.TB, format string) *testRepo {
	t.Helper()
	c := newRepo(t, format)
	inbox, work := c.box("INBOX"), c.box("Work/Entwürfe")
	c.put(inbox, 5, 1, "one", `\Seen`)
	c.put(inbox, 5, 2, "two", `\Answered`, `\Seen`)
	c.put(work, 6, 9, "three")
	c.must(c.rec.state(work, boxState{UIDValidity: 6, ModSeq: 9}))
	c.snap(time.Unix(1e9, 0))
	pop := c.box("POP")
	c.put(pop, 0, 0, "four", `\Seen`)
	c.put(pop, 0, 0, "five")
	c.must(c.rec.reset(work, 7))
	c.put(work, 7, 1, "three", `\Flagged`)
	c.put(work, 7, 2, "six")
	c.put(inbox, 5, 7, "seven")
	c.snap(time.Unix(2e9, 0))
	return c
}

// TestR10_ManifestDeleted rebuilds everything from the files.
func TestR10_ManifestDeleted(t *testing.T) {
	for _, format := range formats {
		c := repairable(t, format)
		want := telling(t, c.Repo, "", format == FormatMaildir)
		c.must(c.Close())
		c.must(os.Remove(c.manifestPath()))
		c = openRepo(t, c.dir, OpenOptions{Write: true})
		if _, err := c.record(); err == nil {
			t.Error("a missing manifest is begun anew")
		}
		got, err := c.Repair(t.Context())
		if want := (RepairResult{Mailboxes: 3, Rebuilt: 8}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		for _, r := range []*Repo{c.Repo, c.reopened()} {
			if got := telling(t, r, "", format == FormatMaildir); got != want {
				t.Errorf("messages\n%s\nwant\n%s", got, want)
			}
			if got := problems(t, r, VerifyOptions{}); len(got) > 0 {
				t.Errorf("afterwards: %+v", got)
			}
		}
		pop, _ := c.tip.box("POP~7")
		if _, ok := c.tip.uidl(pop, "id-four"); !ok {
			t.Error("a message of POP3 is not known by its UIDL any more")
		}
		if boxes, _ := c.Mailboxes(""); len(boxes) != 3 || boxes[2].Name != "Work/Entwürfe" || boxes[2].Delim != "/" {
			t.Errorf("mailboxes %+v", boxes)
		}
		again, err := c.Repair(t.Context())
		if err != nil || again != (RepairResult{}) {
			t.Errorf("once more: %+v, %v", again, err)
		}
	}
}

// TestR10_EachLineDamaged damages each line in turn.
func TestR10_EachLineDamaged(t *testing.T) {
	origin := repairable(t, FormatMaildir)
	origin.must(origin.Close())
	text, err := os.ReadFile(origin.manifestPath())
	origin.must(err)
	off := int64(0)
	for l := range bytes.Lines(text) {
		line := string(l)
		c := openRepo(t, copyTree(t, origin.dir), OpenOptions{Write: true})
		want := map[string]string{}
		for _, s := range append(c.Snapshots(), Snapshot{}) {
			want[s.ID] = telling(t, c.Repo, s.ID, true)
		}
		c.must(c.Close())
		flip(t, c.manifestPath(), off+int64(len(line))/2)
		off += int64(len(line))
		c = openRepo(t, c.dir, OpenOptions{Write: true})
		done, err := c.Repair(t.Context())
		if err != nil || done.Lost+done.Damaged > 0 {
			t.Fatalf("%s%+v, %v", line, done, err)
		}
		c = c.reopen(true)
		if got := problems(t, c.Repo, VerifyOptions{}); c.Damage() != nil || len(got) > 0 {
			t.Errorf("%safterwards: %v, %+v", line, c.Damage(), got)
		}
		n := 2
		if strings.Contains(line, `"snap"`) {
			n--
		}
		if len(c.Snapshots()) != n {
			t.Errorf("%sleaves %d snapshots, want %d", line, len(c.Snapshots()), n)
		}
		for _, s := range append(c.Snapshots(), Snapshot{}) {
			if got := telling(t, c.Repo, s.ID, true); got != want[s.ID] && !strings.Contains(line, `"box","box"`) {
				t.Errorf("%ssnapshot %q:\n%s\nwant\n%s", line, s.ID, got, want[s.ID])
			}
		}
		if got := telling(t, c.Repo, "", true); got != want[""] {
			t.Errorf("%snow:\n%s\nwant\n%s", line, got, want[""])
		}
	}
}

// TestRepairRandom damages several lines and files of larger histories.
func TestRepairRandom(t *testing.T) {
	for seed := range uint64(6) {
		c := newRepo(t, FormatMaildir)
		randomHistory(c, seed, 8)
		if _, _, err := c.Forget(ForgetPolicy{KeepLast: 5}, false); err != nil {
			t.Fatal(err)
		}
		size := c.log.size
		c.must(c.Close())
		for i := range int64(4) {
			flip(t, c.manifestPath(), size*(i+1)/5)
		}
		list := files(t, c.dir)
		flip(t, filepath.Join(c.dir, list[3]), 2)
		c.must(os.Remove(filepath.Join(c.dir, list[9])))
		c.must(os.WriteFile(filepath.Join(c.dir, list[12]), nil, 0o600))
		c = openRepo(t, c.dir, OpenOptions{Write: true})
		done, err := c.Repair(t.Context())
		if err != nil || done.BadLines < 3 || done.Damaged != 2 {
			t.Fatalf("seed %d: %+v, %v", seed, done, err)
		}
		if got := problems(t, c.Repo, VerifyOptions{}); len(got) > 0 {
			t.Errorf("seed %d afterwards: %+v", seed, got)
		}
		if _, err := c.Prune(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if got, want := bases(t, c.dir), needed(t, c.Repo); !slices.Equal(got, want) {
			t.Errorf("seed %d: files %q, want %q", seed, got, want)
		}
	}
}

// TestRepairFiles has a damaged and a missing file, and a good manifest.
func TestRepairFiles(t *testing.T) {
	c := repairable(t, FormatMaildir)
	box, _ := c.tip.box("INBOX")
	var paths []string
	for m, err := range c.Messages("", "INBOX") {
		c.must(err)
		p, err := c.Path(m)
		c.must(err)
		paths = append(paths, p)
	}
	flip(t, paths[0], 1)
	c.must(os.Remove(paths[1]))
	done, err := c.Repair(t.Context())
	if want := (RepairResult{Lost: 2, Damaged: 1}); err != nil || done != want {
		t.Errorf("%+v, %v, want %+v", done, err, want)
	}
	if info, _ := c.tip.info(box); info.Known.String() != "7" || info.State.Stored {
		t.Errorf("INBOX: %+v, want UID 7 only", info)
	}
	if moved, _ := os.ReadDir(filepath.Join(c.dir, damagedDir)); len(moved) != 1 {
		t.Errorf("%d files were moved away, want 1", len(moved))
	}
	if got := problems(t, c.Repo, VerifyOptions{}); len(got) > 0 {
		t.Errorf("afterwards: %+v", got)
	}
	c.rec, err = c.record()
	c.must(err)
	c.put(box, 5, 1, "one", `\Seen`) // as the next run does
	c.must(c.rec.commit())
	if got := problems(t, c.Repo, VerifyOptions{}); len(got) > 0 {
		t.Errorf("after the next run: %+v", got)
	}
}

// TestRepairReplaced loses the file of a message that took the place of another.
func TestRepairReplaced(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("A")
	c.put(box, 1, 1, "first")
	second, err := c.Path(c.put(box, 1, 1, "second"))
	c.must(err)
	c.snap(time.Unix(1e9, 0))
	c.must(os.Remove(second))
	if done, err := c.Repair(t.Context()); err != nil || done != (RepairResult{Lost: 1}) {
		t.Errorf("%+v, %v", done, err)
	}
	if info, _ := c.tip.info(box); !info.Known.Empty() {
		t.Errorf("known are %v, want none: the first message is not what the server has", info.Known)
	}
}

func TestRepairKeywords(t *testing.T) {
	c := repairable(t, FormatMaildir)
	c.must(c.root.WriteFile("INBOX/dovecot-keywords", []byte("0 work\n1 $Junk\n99 x\nx\n"), 0o600))
	for m, err := range c.Messages("", "INBOX") {
		c.must(err)
		if p, err := c.Path(m); m.UID == 2 {
			c.must(err)
			c.must(os.Rename(p, p+"ab"))
		}
	}
	c.must(c.Close())
	c.must(os.Truncate(c.manifestPath(), 0))
	c = openRepo(t, c.dir, OpenOptions{Write: true})
	_, err := c.Repair(t.Context())
	c.must(err)
	for m, err := range c.Messages("", "INBOX") {
		c.must(err)
		if want := []string{"$Junk", `\Answered`, `\Seen`, "work"}; m.UID == 2 && !slices.Equal(m.Flags, want) {
			t.Errorf("flags %q, want %q", m.Flags, want)
		}
	}
}

// TestL1_RepairFails fails every step of a repair: the next one finishes it.
func TestL1_RepairFails(t *testing.T) {
	origin := repairable(t, FormatMaildir)
	origin.must(origin.Close())
	flip(t, origin.manifestPath(), 300)
	damaged := files(t, origin.dir)[0]
	flip(t, filepath.Join(origin.dir, damaged), 1)
	want := ""
	for _, mode := range []faultMode{failOnce, die, lose, tear} {
		for failAt := 1; ; failAt++ {
			dir := copyTree(t, origin.dir)
			d := newFaultDisk(t, mode, failAt)
			r, err := open(dir, OpenOptions{Write: true}, d)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Repair(t.Context())
			if d.step < failAt {
				if err != nil || failAt < 8 {
					t.Fatal(err, failAt)
				}
				want = telling(t, r, "", true)
				r.Close()
				break
			}
			r.Close()
			d.crash()
			if err == nil {
				t.Errorf("%s: no error", d)
			}
			c := openRepo(t, dir, OpenOptions{Write: true})
			if _, err := c.Repair(t.Context()); err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			if got := problems(t, c.Repo, VerifyOptions{}); len(got) > 0 || c.Damage() != nil {
				t.Errorf("%s, after the next: %+v", d, got)
			}
			if got := telling(t, c.Repo, "", true); want != "" && got != want {
				t.Errorf("%s, after the next:\n%s\nwant\n%s", d, got, want)
			}
			c.must(c.Close())
		}
	}
}
