package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// problems collects what Verify finds.
func problems(t testing.TB, r *Repo, o VerifyOptions) []Problem {
	t.Helper()
	var list []Problem
	for p, err := range r.Verify(t.Context(), o) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// verifiable makes a repository with messages in several mailboxes, some of them
// links of one file, some in old snapshots only.
func verifiable(t testing.TB, format string) *testRepo {
	t.Helper()
	c := newRepo(t, format)
	inbox, work := c.box("INBOX"), c.box("Work/2026")
	for i := range uint32(20) {
		c.put(inbox, 1, i+1, strings.Repeat(fmt.Sprintf("line %d\n", i), 100), `\Seen`)
	}
	c.snap(time.Unix(1e9, 0))
	c.must(c.rec.gone(inbox, 1, uidSet(3, 4)))
	for i := range uint32(5) {
		if format == FormatMbox {
			c.put(work, 7, i+1, strings.Repeat(fmt.Sprintf("line %d\n", i), 100))
			continue
		}
		m := c.message(work, 7, i+1, strings.Repeat(fmt.Sprintf("line %d\n", i), 100))
		from, err := c.Path(&Message{Mailbox: c.boxOf(inbox), UIDValidity: 1, UID: i + 1, File: c.message(inbox, 1, i+1, strings.Repeat(fmt.Sprintf("line %d\n", i), 100)).File})
		c.must(err)
		c.must(c.root.MkdirAll(filepath.Join(m.Mailbox.Dir, c.subs()[0]), 0o700))
		name := filepath.Join(c.dir, m.Mailbox.Dir, c.subs()[0], m.File)
		if format == FormatMaildir {
			name += infoMark
		}
		c.must(os.Link(from, name))
		c.must(c.rec.msgs(work, m))
	}
	c.snap(time.Unix(2e9, 0))
	return c
}

func (c *testRepo) boxOf(box uint32) *Mailbox {
	info, _ := c.tip.info(box)
	return info.Mailbox
}

// TestR10_EveryFlippedBitIsFound flips bits in files and in the manifest.
func TestR10_EveryFlippedBitIsFound(t *testing.T) {
	for _, format := range formats {
		c := verifiable(t, format)
		if got := problems(t, c.Repo, VerifyOptions{}); len(got) > 0 {
			t.Fatalf("nothing is wrong, but: %+v", got)
		}
		type place struct {
			name string
			off  int64
		}
		var places []place
		for _, name := range append(files(t, c.dir), manifestFile) {
			st, err := os.Stat(filepath.Join(c.dir, name))
			c.must(err)
			for off := range st.Size() {
				places = append(places, place{name, off})
			}
		}
		rnd := rand.New(rand.NewPCG(1, 1))
		rnd.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		inManifest := 0
		for _, p := range places[:500] {
			name := filepath.Join(c.dir, p.name)
			flip(t, name, p.off)
			r := c.reopened()
			if got := problems(t, r, VerifyOptions{}); len(got) == 0 || p.name != manifestFile && format != FormatMbox && got[0].Kind != ChangedFile {
				t.Errorf("a bit of octet %d of %s: %+v", p.off, p.name, got)
			}
			if p.name == manifestFile {
				inManifest++
			}
			c.must(r.Close())
			flip(t, name, p.off)
		}
		if inManifest < 20 {
			t.Errorf("only %d places in the manifest", inManifest)
		}
	}
}

func TestR10_Problems(t *testing.T) {
	for _, v := range []struct {
		name string
		do   func(c *testRepo, file string) error // file is one of INBOX without links
		want []ProblemKind
	}{
		{"nothing", func(*testRepo, string) error { return nil }, nil},
		{"missing", func(_ *testRepo, f string) error { return os.Remove(f) }, []ProblemKind{MissingFile}},
		{"other flags", func(_ *testRepo, f string) error { return os.Rename(f, f+"T") }, nil},
		{"other name", func(_ *testRepo, f string) error { return os.Rename(f, strings.Replace(f, ".V1U", ".V1U9", 1)) }, []ProblemKind{MissingFile, UnknownFile}},
		{"longer", func(_ *testRepo, f string) error { return os.WriteFile(f, make([]byte, 5000), 0o600) }, []ProblemKind{ChangedFile}},
		{"link", func(c *testRepo, f string) error {
			return errors.Join(os.Rename(f, filepath.Join(c.dir, "x")), os.Symlink("../../x", f))
		}, []ProblemKind{BadLink, UnknownFile}},
		{"directory", func(_ *testRepo, f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o700)) }, []ProblemKind{BadLink}},
		{"stranger", func(c *testRepo, f string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(f), "1.x.y"), nil, 0o600)
		}, []ProblemKind{UnknownFile}},
		{"stranger elsewhere", func(c *testRepo, f string) error {
			return errors.Join(os.MkdirAll(filepath.Join(c.dir, "a", "b"), 0o700), os.WriteFile(filepath.Join(c.dir, "a", "b", "c"), nil, 0o600))
		}, []ProblemKind{UnknownFile}},
		{"twice", func(_ *testRepo, f string) error { return os.Link(f, f+"x") }, []ProblemKind{UnknownFile}},
		{"of Dovecot", func(c *testRepo, _ string) error {
			return os.WriteFile(filepath.Join(c.dir, "INBOX", "dovecot-keywords"), nil, 0o600)
		}, nil},
		{"in the middle of being delivered", func(c *testRepo, _ string) error {
			return errors.Join(os.MkdirAll(filepath.Join(c.dir, "INBOX", "tmp"), 0o700), os.WriteFile(filepath.Join(c.dir, "INBOX", "tmp", "x"), nil, 0o600))
		}, nil},
		{"folder", func(c *testRepo, _ string) error { return os.RemoveAll(filepath.Join(c.dir, "Work")) }, slices.Repeat([]ProblemKind{MissingFile}, 5)},
		{"manifest", func(c *testRepo, _ string) error { return os.Remove(c.manifestPath()) }, append([]ProblemKind{MissingFile}, slices.Repeat([]ProblemKind{UnknownFile}, 25)...)},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := verifiable(t, FormatMaildir)
			file := ""
			for m, err := range c.Messages("", "INBOX") {
				c.must(err)
				if m.UID == 12 {
					file, err = c.Path(m)
					c.must(err)
				}
			}
			c.must(v.do(c, file))
			var got []ProblemKind
			var last int64
			for _, p := range problems(t, c.reopened(), VerifyOptions{Progress: func(done, total int64) {
				if done < last || done > total {
					t.Errorf("progress from %d to %d of %d", last, done, total)
				}
				last = done
			}}) {
				got = append(got, p.Kind)
			}
			if !slices.Equal(got, v.want) {
				t.Errorf("found %q, want %q", got, v.want)
			}
		})
	}
}

func TestVerifySample(t *testing.T) {
	c := verifiable(t, FormatMaildir)
	for _, name := range files(t, c.dir) {
		flip(t, filepath.Join(c.dir, name), 5)
	}
	if n := len(problems(t, c.Repo, VerifyOptions{Sample: 0.5})); n == 0 || n >= 25 {
		t.Errorf("%d of 25 damaged files found, want about a half", n)
	}
	for range c.Verify(t.Context(), VerifyOptions{}) {
		break // and nothing goes on
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for p, err := range c.Verify(ctx, VerifyOptions{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %+v, %v", p, err)
		}
	}
}

func TestSums(t *testing.T) {
	c := verifiable(t, FormatMaildir)
	var b bytes.Buffer
	c.must(c.Sums(context.Background(), &b))
	if n := bytes.Count(b.Bytes(), []byte("\n")); n != 25 {
		t.Errorf("%d lines, want 25", n)
	}
	program, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("sha256sum is not installed")
	}
	check := func() string {
		cmd := exec.Command(program, "-c", "--quiet", "-")
		cmd.Dir, cmd.Stdin = c.dir, bytes.NewReader(b.Bytes())
		out, err := cmd.CombinedOutput()
		return fmt.Sprint(string(out), err)
	}
	if got := check(); got != "<nil>" {
		t.Errorf("sha256sum: %s", got)
	}
	flip(t, filepath.Join(c.dir, files(t, c.dir)[7]), 5)
	if got := check(); got == "<nil>" {
		t.Error("sha256sum finds nothing wrong in a damaged file")
	}
}
