package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/store"
)

// mboxText is an mbox of messages, and where each of them ends.
func mboxText(bodies ...string) (text string, names []string, ends []int) {
	for i, body := range bodies {
		m := &Message{UIDValidity: 1, UID: uint32(i + 1), Size: int64(len(body)), Digest: sha256.Sum256([]byte(body)), Date: time.Unix(1e9, 0)}
		facts := factsOf(m, int64(len(body)), false)
		var b strings.Builder
		_ = store.QuoteMbox(&b, strings.NewReader(body))
		pad := "\n\n"
		if strings.HasSuffix(body, "\n") {
			pad = "\n"
		}
		text += mboxLine(facts.name(), facts) + b.String() + pad
		names, ends = append(names, facts.name()), append(ends, len(text))
	}
	return text, names, ends
}

// TestR9_MboxTail has a run die at every octet of what it appends: all that is whole stays, and the rest goes.
func TestR9_MboxTail(t *testing.T) {
	text, names, ends := mboxText("Subject: a\n\nFrom there\n", "b", "", "Subject: d\n\n>From\n\n\n", "e\n")
	const recorded = 2
	garbage := []string{"", "\x00", strings.Repeat("\x00", 5000), "x", "\n", "From", "From 17 Mon\n", "From bob@example.org Mon Nov  2 10:00:00 2026\n\nfrom elsewhere\n"}
	for cut := ends[recorded-1]; cut <= len(text); cut++ {
		for _, more := range garbage {
			r := newRepo(t, FormatMbox)
			r.must(r.root.Mkdir("INBOX", 0o700))
			mbox := filepath.Join(r.dir, "INBOX", mboxFile)
			r.must(os.WriteFile(mbox, []byte(text[:cut]+more), 0o600))
			whole := 0
			for _, end := range ends {
				if end <= cut {
					whole = end
				}
			}
			r.must(r.settleMbox("INBOX/"+mboxFile, func(name string) bool { return slices.Contains(names[:recorded], name) }))
			got, err := os.ReadFile(mbox)
			r.must(err)
			// What follows a cut may complete the message that was cut.
			if completed := strings.HasPrefix(text[:cut]+more, string(got)) && len(got) > whole && slices.Contains(ends, len(got)); string(got) != text[:whole] && !completed {
				t.Fatalf("cut at %d, with %.20q behind it: got %d octets, want %d", cut, more, len(got), whole)
			}
			aside, _ := os.ReadDir(filepath.Join(r.dir, damagedDir))
			if foreign := strings.Contains(more, "bob") && text[cut-1] == '\n'; foreign && len(aside) != 1 || more == "" && len(aside) > 0 {
				t.Fatalf("cut at %d, with %.20q behind it: got %d pieces put aside", cut, more, len(aside))
			}
			r.must(r.Close())
		}
	}
}

// TestR10_MboxOfOthers has another program write to an mbox: that is found, and what is stored later is whole.
func TestR10_MboxOfOthers(t *testing.T) {
	letter := "From bob@example.org Mon Nov  2 10:00:00 2026\nSubject: x\n\nbody"
	for name, c := range map[string]struct {
		change func(text string) string
		want   []ProblemKind
		repair RepairResult
	}{
		"nothing":                      {func(s string) string { return s }, nil, RepairResult{}},
		"a message without its end":    {func(s string) string { return s + letter }, []ProblemKind{UnknownFile}, RepairResult{Damaged: 1}},
		"a message in front":           {func(s string) string { return letter + "\n\n" + s }, []ProblemKind{UnknownFile}, RepairResult{Damaged: 1}},
		"something behind":             {func(s string) string { return s + "x" }, []ProblemKind{ChangedFile}, RepairResult{Lost: 1, Damaged: 1}},
		"the last line end":            {func(s string) string { return s[:len(s)-1] }, []ProblemKind{ChangedFile}, RepairResult{Lost: 1, Damaged: 1}},
		"another octet at the end":     {func(s string) string { return s[:len(s)-1] + "x" }, []ProblemKind{ChangedFile}, RepairResult{Lost: 1, Damaged: 1}},
		"another date":                 {func(s string) string { return strings.Replace(s, " 2026\n", " 2025\n", 1) }, []ProblemKind{MissingFile, UnknownFile}, RepairResult{Lost: 1, Damaged: 1}},
		"another name":                 {func(s string) string { return strings.Replace(s, "U1.", "U9.", 1) }, []ProblemKind{MissingFile, UnknownFile}, RepairResult{Rebuilt: 1, Lost: 1}},
		"a message twice":              {func(s string) string { return s + s }, slices.Repeat([]ProblemKind{UnknownFile}, 3), RepairResult{Damaged: 3}},
		"a message that was taken out": {func(s string) string { return strings.Replace(s, "From 1", "From x", 1) }, []ProblemKind{MissingFile}, RepairResult{Lost: 1}},
		"nothing left":                 {func(string) string { return "" }, slices.Repeat([]ProblemKind{MissingFile}, 3), RepairResult{Lost: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "", "", slowAuth...)
			r.format = FormatMbox
			for i := range 3 {
				r.put("INBOX", text(i, 10))
			}
			r.must(RunOptions{})
			mbox := filepath.Join(r.dir, "INBOX", mboxFile)
			b, err := os.ReadFile(mbox)
			if err == nil {
				err = os.WriteFile(mbox, []byte(c.change(string(b))), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			r.put("INBOX", text(9, 10))
			r.must(RunOptions{})
			repo, err := Open(r.dir, OpenOptions{Write: true})
			if err != nil {
				t.Fatal(err)
			}
			var got []ProblemKind
			for _, p := range problems(t, repo, VerifyOptions{}) {
				got = append(got, p.Kind)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
			done, err := repo.Repair(context.Background())
			if err = errors.Join(err, repo.Close()); err != nil || done != c.repair {
				t.Errorf("repair: got %+v, %v, want %+v", done, err, c.repair)
			}
			r.must(RunOptions{})
			r.check("after the repair")
		})
	}
}

// orderDisk checks that no line of the manifest is written before the mboxes are durable.
type orderDisk struct {
	osDisk
	t       *testing.T
	pending map[string]bool
	checks  int
}

func (d *orderDisk) writeAt(f *os.File, p []byte, off int64) (int, error) {
	if filepath.Base(f.Name()) == mboxFile {
		d.pending[f.Name()] = true
	} else if bytes.Contains(p, []byte(`"k":"msg"`)) {
		if d.checks++; len(d.pending) > 0 {
			d.t.Errorf("recorded before %v are durable", d.pending)
		}
	}
	return d.osDisk.writeAt(f, p, off)
}

func (d *orderDisk) sync(f *os.File) error {
	delete(d.pending, f.Name())
	return d.osDisk.sync(f)
}

// TestP4_MboxIsDurableFirst watches what a run does to its disk.
func TestP4_MboxIsDurableFirst(t *testing.T) {
	r := newRig(t, "", "", slowAuth...)
	for i := range 30 {
		r.put([]string{"INBOX", "Work"}[i%2], text(i, 100))
	}
	d := &orderDisk{t: t, pending: map[string]bool{}}
	repo, err := open(r.dir, OpenOptions{Create: &Settings{Format: FormatMbox}, Write: true}, d)
	if err != nil {
		t.Fatal(err)
	}
	_, err = repo.Run(context.Background(), RunOptions{Dial: r.dial})
	if err = errors.Join(err, repo.Close()); err != nil || d.checks == 0 {
		t.Errorf("got %v, %d checks", err, d.checks)
	}
}

// TestSums_Mbox has sums of mboxes, but for one in which a message is damaged.
func TestSums_Mbox(t *testing.T) {
	c := verifiable(t, FormatMbox)
	var b bytes.Buffer
	c.must(c.Sums(t.Context(), &b))
	if n := strings.Count(b.String(), mboxFile+"\n"); n != 2 {
		t.Errorf("got %q, want two lines", b.String())
	}
	flip(t, filepath.Join(c.dir, "INBOX", mboxFile), 300)
	b.Reset()
	var bad *MboxError
	if err := c.reopened().Sums(t.Context(), &b); !errors.As(err, &bad) || bad.Messages != 1 || strings.Contains(b.String(), "INBOX") || !strings.Contains(b.String(), "Work") {
		t.Errorf("got %q, %v, want a line for Work alone", b.String(), err)
	}
}

// TestMboxPath finds a message at the place that Path tells.
func TestMboxPath(t *testing.T) {
	c := verifiable(t, FormatMbox)
	for m, err := range c.Messages("", "INBOX") {
		c.must(err)
		path, err := c.Path(m)
		c.must(err)
		name, place, _ := strings.Cut(path, "@")
		text, err := os.ReadFile(name)
		c.must(err)
		var at int
		if _, err := fmt.Sscan(place, &at); err != nil || !strings.HasPrefix(string(text[at:]), "From "+m.File+" ") {
			t.Errorf("%s: no %s there", path, m.File)
		}
	}
}

// TestR3_GoneAndBack has a message again that the server had not for a while: its file is there.
func TestR3_GoneAndBack(t *testing.T) {
	for _, format := range formats {
		r := newRig(t, "", "", append(slowAuth, "OBJECTID")...) // it is fetched again
		r.format = format
		for i := range 3 {
			r.put("INBOX", text(i, 10))
		}
		r.must(RunOptions{})
		c := openRepo(t, r.dir, OpenOptions{Write: true})
		box, _ := c.tip.box("INBOX")
		c.must(c.rec.gone(box, r.box("INBOX").State().UIDValidity, uidSet(2)))
		c.must(errors.Join(c.rec.commit(), c.Close()))
		r.must(RunOptions{Full: true})
		r.check(format)
	}
}

// TestR10_MboxNobodyKnows has the manifest lost, and mboxes without a message of ours.
func TestR10_MboxNobodyKnows(t *testing.T) {
	for name, harm := range map[string]func(mbox string) error{
		"zeros":   func(mbox string) error { return os.WriteFile(mbox, make([]byte, 5000), 0o600) },
		"a link":  func(mbox string) error { return errors.Join(os.Remove(mbox), os.Symlink("/etc/passwd", mbox)) },
		"nothing": func(mbox string) error { return os.Remove(mbox) },
	} {
		r := newRig(t, "", "", slowAuth...)
		r.format = FormatMbox
		r.put("Work", text(1, 10))
		r.must(RunOptions{})
		if err := errors.Join(harm(filepath.Join(r.dir, "Work", mboxFile)), os.Truncate(filepath.Join(r.dir, manifestFile), 0)); err != nil {
			t.Fatal(err)
		}
		repo, err := Open(r.dir, OpenOptions{Write: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = repo.Repair(context.Background())
		if err = errors.Join(err, repo.Close()); err != nil {
			t.Fatal(err)
		}
		r.must(RunOptions{})
		r.check(name)
	}
}

// TestMboxIsReadOnce looks for messages that are there and for some that are not: the mbox is looked through once.
func TestMboxIsReadOnce(t *testing.T) {
	c := verifiable(t, FormatMbox)
	first, _, err := c.openMboxOnce("INBOX/" + mboxFile)
	c.must(err)
	c.must(first.Close())
	index := c.mboxes.recent[0]
	for m, err := range c.Messages("", "INBOX") {
		c.must(err)
		if _, err := c.locate(m); err != nil {
			t.Error(err)
		}
		gone := *m
		gone.File = strings.Replace(m.File, ".V1U", ".V9U", 1)
		if _, err := c.locate(&gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want that it is not there", gone.File, err)
		}
	}
	if c.mboxes.recent[0] != index {
		t.Error("the mbox was looked through again")
	}
}

// TestR9_MboxTailIsKept has messages that are whole behind one that is not, as an old copy of the manifest leaves them:
// what is cut off is kept aside.
func TestR9_MboxTailIsKept(t *testing.T) {
	text, names, ends := mboxText("a\n", "b\n", "c\n", "d\n")
	damaged := text[:ends[1]-2] + "x" + text[ends[1]-1:]
	r := newRepo(t, FormatMbox)
	r.must(r.root.Mkdir("INBOX", 0o700))
	mbox := filepath.Join(r.dir, "INBOX", mboxFile)
	r.must(os.WriteFile(mbox, []byte(damaged), 0o600))
	r.must(r.settleMbox("INBOX/"+mboxFile, func(name string) bool { return name == names[0] }))
	got, err := os.ReadFile(mbox)
	r.must(err)
	aside, err := os.ReadDir(filepath.Join(r.dir, damagedDir))
	if err != nil || len(aside) != 1 || string(got) != text[:ends[0]] {
		t.Fatalf("got %q and %d files put aside, %v; want one", got, len(aside), err)
	}
	if kept, err := os.ReadFile(filepath.Join(r.dir, damagedDir, aside[0].Name())); err != nil || string(kept) != damaged[ends[0]:] {
		t.Errorf("got %q, %v, want what was cut off", kept, err)
	}
}
