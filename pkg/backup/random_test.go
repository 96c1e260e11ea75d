package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// history makes an account, and the backup of it, live through things at random.
type history struct {
	*rig
	rnd *rand.Rand
	log []string // what happened since the last check
	n   int      // messages made
}

func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *history) chance(percent int) bool { return h.rnd.IntN(100) < percent }

func pick[T any](h *history, list []T) T { return list[h.rnd.IntN(len(list))] }

var historyBoxes = []string{"INBOX", "Work", "Work/2026", "lists", "Entwürfe", "x/" + strings.Repeat("long", 60)}

// mail changes what is on the server.
func (h *history) mail() {
	for range h.rnd.IntN(5) {
		name := pick(h, historyBoxes)
		box := h.box(name)
		messages := box.Messages()
		switch n := h.rnd.IntN(10); {
		case n < 5 || len(messages) == 0:
			i := h.n
			if h.chance(50) {
				i = h.rnd.IntN(h.n + 1) // one that was in another mailbox
			} else {
				h.n++
			}
			h.put(name, text(i, i%7*40), pick(h, [][]string{nil, {`\Seen`}, {`\Flagged`, "work"}})...)
			h.note("%s: message %d", name, i)
		case n < 7:
			uid := pick(h, messages).UID
			setFlags(h.t, box, uid, pick(h, [][]string{nil, {`\Seen`}, {`\Answered`, "x"}})...)
			h.note("%s: flags of %d", name, uid)
		case n < 9:
			uid := pick(h, messages).UID
			_, err := box.Expunge([]uint32{uid})
			h.must(err)
			h.note("%s: %d expunged", name, uid)
		case name == "INBOX" || name == "Work": // has a mailbox below it
		case h.chance(30):
			h.rig.reset(name)
			h.note("%s: other UIDs", name)
		case h.chance(30):
			h.must(h.account.Delete(name))
			h.note("%s: deleted", name)
		}
	}
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("%v, after %q", err, h.log)
	}
}

// noLine is damage that nothing shows: only a comparison with the server finds flags
// that are too old.
const noLine = "manifest without a line"

// harm damages the backup in one way.
func (h *history) harm() {
	list := files(h.t, h.dir)
	list = slices.DeleteFunc(list, func(name string) bool {
		return filepath.Base(name) != mboxFile && (!strings.Contains(name, "U") || !strings.Contains(name, ",S="))
	})
	if len(list) == 0 {
		return
	}
	name := pick(h, list)
	file := filepath.Join(h.dir, name)
	other := pick(h, list)
	manifest := filepath.Join(h.dir, manifestFile)
	ways := []way{
		{"removed", func() error { return os.Remove(file) }},
		{"moved to the folder of " + other, func() error { return os.Rename(file, filepath.Join(h.dir, filepath.Dir(other), filepath.Base(name))) }},
		{"in the place of " + other, func() error { return os.Rename(file, filepath.Join(h.dir, other)) }},
		{"damaged", func() error { return h.edit(file, flipped) }},
		{"cut", func() error {
			return h.edit(file, func(h *history, b []byte) []byte { return b[:h.rnd.IntN(len(b)+1)] })
		}},
		{"with other letters", func() error { base, _ := cutInfo(file); return os.Rename(file, base+infoMark+"FS") }},
		{"a second time with other letters", func() error { base, _ := cutInfo(file); return os.Link(file, base+infoMark+"DT") }},
		{"a symbolic link", func() error { return errors.Join(os.Remove(file), os.Symlink("/etc/passwd", file)) }},
		{"with its folder removed", func() error { return os.RemoveAll(strings.TrimSuffix(filepath.Dir(file), "/cur")) }},
		{"manifest damaged", func() error { return h.edit(manifest, flipped) }},
		{"manifest cut", func() error {
			return h.edit(manifest, func(h *history, b []byte) []byte { return b[:h.rnd.IntN(len(b)+1)] })
		}},
		{noLine, func() error { return h.edit(manifest, func(h *history, b []byte) []byte { return h.lines(b, 0) }) }},
		{"manifest with a line twice", func() error { return h.edit(manifest, func(h *history, b []byte) []byte { return h.lines(b, 2) }) }},
		{"manifest removed", func() error { return os.Remove(manifest) }},
		{"manifest emptied", func() error { return os.Truncate(manifest, 0) }},
	}
	if h.format == FormatMbox {
		ways = append(ways, mboxWays(h, file)...)
	}
	way := pick(h, ways)
	if h.format != FormatMaildir && strings.Contains(way.what, "letters") {
		return
	}
	h.note("harm: %s: %s", name, way.what)
	if err := way.do(); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		h.must(err)
	}
}

// way is a way to damage a backup.
type way struct {
	what string
	do   func() error
}

// mboxWays are those that an mbox has besides.
func mboxWays(h *history, file string) []way {
	of := func(change func(list [][]byte, i int) [][]byte) func() error {
		return func() error {
			return h.edit(file, func(h *history, b []byte) []byte {
				var list [][]byte
				_ = scanMbox(bytes.NewReader(b), 0, int64(len(b)), func(p mboxPiece) error { list = append(list, b[p.off:p.end]); return nil })
				if len(list) == 0 {
					return b
				}
				return bytes.Join(change(list, h.rnd.IntN(len(list))), nil)
			})
		}
	}
	add := func(text string) func() error {
		return func() error { return h.edit(file, func(_ *history, b []byte) []byte { return append(b, text...) }) }
	}
	return []way{
		{"without a message", of(func(l [][]byte, i int) [][]byte { return slices.Delete(l, i, i+1) })},
		{"with a message twice", of(func(l [][]byte, i int) [][]byte { return append(l, l[i]) })},
		{"with a damaged copy in front", of(func(l [][]byte, i int) [][]byte {
			return slices.Insert(l, 0, bytes.ReplaceAll(l[i], []byte("Subject"), []byte("subject")))
		})},
		{"with a message of another program", add("From bob@example.org Mon Nov  2 10:00:00 2026\nSubject: x\n\nbody\n\n")},
		{"with something behind it", add("x")},
		{"with a torn line behind it", add("From 17")},
		{"with zeros behind it", add(string(make([]byte, 5000)))},
	}
}

// edit changes the octets of a file, all names of it.
func (h *history) edit(file string, change func(*history, []byte) []byte) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, change(h, b), 0o600)
}

func flipped(h *history, b []byte) []byte {
	if len(b) > 0 {
		b[h.rnd.IntN(len(b))] ^= 1 << h.rnd.IntN(8)
	}
	return b
}

// lines writes one of the lines n times.
func (h *history) lines(b []byte, n int) []byte {
	list := bytes.SplitAfter(b, []byte("\n"))
	i := h.rnd.IntN(len(list))
	return bytes.Join(slices.Concat(list[:i], slices.Repeat(list[i:i+1], n), list[i+1:]), nil)
}

// keep does one thing to the backup that leaves it whole.
func (h *history) keep() {
	repo, err := Open(h.dir, OpenOptions{Write: true})
	h.must(err)
	defer func() { h.must(repo.Close()) }()
	switch h.rnd.IntN(4) {
	case 0:
		h.note("repair")
		_, err = repo.Repair(context.Background())
	case 1:
		h.note("forget")
		if repo.Damage() == nil {
			_, _, err = repo.Forget(ForgetPolicy{KeepLast: 1 + h.rnd.IntN(4)}, false)
		}
	case 2:
		h.note("prune")
		if repo.Damage() == nil {
			_, err = repo.Prune(context.Background(), false)
		}
	default:
		h.note("verify")
		for _, err := range repo.Verify(context.Background(), VerifyOptions{}) {
			h.must(err)
		}
	}
	h.must(err)
}

// die makes a run that does not come to its end.
func (h *history) die() {
	if h.chance(50) {
		s := &steps{err: syscall.EIO}
		s.at.Store(1 + h.rnd.Int64N(60))
		h.note("run, of which step %d fails", s.at.Load())
		_ = h.faultyRun(s)
		return
	}
	relay := startRelay(h.t, h.srv.Addr("imap"), h.chance(50), h.rnd.Int64N(6000))
	h.note("run, cut at %d", relay.at)
	h.addr = relay.l.Addr().String()
	_, _ = h.run(RunOptions{})
	relay.close()
	h.addr = ""
}

// TestR10_RandomHistories has backups damaged, repaired, pruned and interrupted in any
// order. After a repair and a run each is complete and verified.
func TestR10_RandomHistories(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(4 << 20)) // a recursion without end shows at once
	histories, rounds := 12, 12
	switch {
	case os.Getenv("MAIL_SOAK") != "":
		histories, rounds = 60, 40
	case testing.Short():
		histories = 1
	}
	for seed := range uint64(histories) {
		for _, format := range formats {
			t.Run(fmt.Sprint(format, " ", seed), func(t *testing.T) { randomBackup(t, format, seed, rounds) })
		}
	}
}

// lacking tells which mailboxes are not complete.
func lacking(rec *Receipt) string {
	var list []string
	for i := range rec.Mailboxes {
		one := Receipt{Mailboxes: rec.Mailboxes[i : i+1]}
		if !one.Complete() {
			list = append(list, fmt.Sprintf("%+v", rec.Mailboxes[i]))
		}
	}
	return strings.Join(list, "\n")
}

func randomBackup(t *testing.T, format string, seed uint64, rounds int) {
	lacks := [][]string{nil, {"OBJECTID"}, {"OBJECTID", "CONDSTORE", "QRESYNC"}}[seed%3]
	h := &history{rig: newRig(t, "", "", append(lacks, slowAuth...)...), rnd: rand.New(rand.NewPCG(seed, 7))}
	h.format = format
	for range 10 {
		h.mail()
	}
	h.rig.must(RunOptions{})
	for round := range rounds {
		h.log = append(h.log[len(h.log)-min(len(h.log), 40):], "--")
		harmed, full := false, false
		for range 1 + h.rnd.IntN(4) {
			switch h.rnd.IntN(5) {
			case 0, 1:
				h.mail()
			case 2:
				h.harm()
				harmed = true
				full = full || strings.HasSuffix(h.log[len(h.log)-1], noLine)
			case 3:
				h.keep()
			default:
				h.die()
			}
		}
		if harmed {
			repo, err := Open(h.dir, OpenOptions{Write: true})
			h.must(err)
			_, err = repo.Repair(context.Background())
			h.must(errors.Join(err, repo.Close()))
			h.note("repair")
		}
		if rec, err := h.run(RunOptions{Full: full}); err != nil || !rec.Complete() {
			t.Fatalf("round %d, %q: got %s, %v, want a complete run", round, h.log, lacking(rec), err)
		}
		if h.check(fmt.Sprintf("round %d", round)); t.Failed() {
			t.Fatalf("round %d: %q", round, h.log)
		}
	}
}

// TestR3_EmptyMailbox has a mailbox without messages get another UIDVALIDITY, and then
// messages.
func TestR3_EmptyMailbox(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	r.put("Work", text(1, 10))
	r.must(RunOptions{})
	if _, err := r.box("Work").Expunge([]uint32{1}); err != nil {
		t.Fatal(err)
	}
	r.must(RunOptions{})
	r.reset("Work")
	r.put("Work", text(2, 10))
	r.must(RunOptions{})
	r.check("with other UIDs")
}

// TestR3_FileIsThere fetches messages of which the files have their names already: what
// the manifest says of them was lost, or the UIDVALIDITY is the old one again.
func TestR3_FileIsThere(t *testing.T) {
	for name, body := range map[string]string{"whole": "", "damaged": "other octets"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "", "", append(slowAuth, "OBJECTID")...)
			for _, box := range []string{"INBOX", "Work"} {
				r.put(box, text(1, 10))
			}
			r.must(RunOptions{})
			manifest := filepath.Join(r.dir, manifestFile)
			b, err := os.ReadFile(manifest)
			if err != nil {
				t.Fatal(err)
			}
			lines := slices.DeleteFunc(strings.SplitAfter(string(b), "\n"), func(l string) bool {
				return strings.Contains(l, `"k":"msg"`) && strings.Contains(l, fmt.Sprintf(`"v":%d`, r.box("Work").State().UIDValidity)) || strings.Contains(l, `"k":"state"`)
			})
			if err := os.WriteFile(manifest, []byte(strings.Join(lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			if body != "" {
				for _, name := range files(t, filepath.Join(r.dir, "Work")) {
					if err := os.Remove(filepath.Join(r.dir, "Work", name)); err != nil { // the other name of the file is good
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(r.dir, "Work", name), []byte(body), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			r.must(RunOptions{})
			r.check("the file is there")
		})
	}
}
