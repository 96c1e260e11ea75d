//go:build linux

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mboxPieces are messages as they stand in an mbox, and their separators.
func mboxPieces() []string {
	const from = "From alice@example.org Mon Jan  1 00:00:00 2024\n"
	return []string{
		from + "Message-ID: <1>\n\na\n\n",
		"From bob@example.org Tue Jan  2 00:00:00 2024\nMessage-ID: <1>\n\na\n\n", // another sender, the same octets
		from + "Message-ID: <1>\n\nb\n\n",
		from + "\n>From here\n>>From there\n\n\n\n",
		from + "Status: RO\n\nno blank line behind\n",
		from + "Subject: wire\r\n\r\nbare\r\nCR \r and LF\n",
		from + strings.Repeat("long: header\n", 10_000) + "\n" + strings.Repeat("x", 2*spoolMemory) + "\n\n",
		from + "Message-ID: <2>\n\n\x00\xff binary\n\n",
	}
}

// TestDedupeMbox: what is there once more goes, and no octet of the rest changes.
func TestDedupeMbox(t *testing.T) {
	p := mboxPieces()
	const odd = "From somewhere\nSubject: the first line need not have a date\n\n\n"
	const sized = "From carol@example.org Mon Jan  1 00:00:00 2024\nContent-Length: 17\n\nFrom me\nto you: \n\n"
	for _, tt := range []struct {
		name     string
		kind     Kind
		in, want []string
		byID     bool
	}{
		{"none", KindMbox, []string{p[0], p[2], p[3]}, []string{p[0], p[2], p[3]}, false},
		{"twice", KindMbox, []string{p[0], p[2], p[0]}, []string{p[0], p[2]}, false},
		{"other From lines", KindMbox, []string{p[1], p[0], p[2], p[1]}, []string{p[1], p[2]}, false},
		{"in a row", KindMbox, []string{p[0], p[0], p[0], p[4], p[4], p[0]}, []string{p[0], p[4]}, false},
		{"by Message-ID", KindMbox, []string{p[0], p[7], p[2], p[3], p[3], p[7]}, []string{p[0], p[7], p[3], p[3]}, true},
		{"large", KindMbox, []string{p[6], p[5], p[6], p[5], p[3]}, []string{p[6], p[5], p[3]}, false},
		{"no line end at the end", KindMbox, []string{p[0], p[0], strings.TrimRight(p[2], "\n")}, []string{p[0], strings.TrimRight(p[2], "\n")}, false},
		{"first line without a date", KindMbox, []string{odd, p[0], p[0]}, []string{odd, p[0]}, false},
		{"CRLF", KindMbox, []string{strings.ReplaceAll(p[0], "\n", "\r\n"), strings.ReplaceAll(p[0], "\n", "\r\n")}, []string{strings.ReplaceAll(p[0], "\n", "\r\n")}, false},
		{"mboxo", KindMboxO, []string{p[3], p[0], p[3]}, []string{p[3], p[0]}, false},
		{"mboxcl2", KindMboxCL2, []string{sized, p[0], sized, p[0]}, []string{sized, p[0]}, false},
		{"empty", KindMbox, nil, nil, false},
	} {
		path := writeFile(t, filepath.Join(t.TempDir(), "box"), strings.Join(tt.in, ""))
		src := &Source{tt.kind, path}
		for _, dry := range []bool{true, false, false} {
			want, removed := strings.Join(tt.want, ""), len(tt.in)-len(tt.want)
			if dry {
				want = strings.Join(tt.in, "")
			}
			n, err := Dedupe(context.Background(), src, DedupeOptions{ByMessageID: tt.byID, DryRun: dry})
			if err != nil || n != removed {
				t.Errorf("%s, dry run %v: got %d, %v, want %d", tt.name, dry, n, err, removed)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("%s, dry run %v: got %d octets %.300q, %v\nwant %d octets %.300q", tt.name, dry, len(got), got, err, len(want), want)
			}
			if !dry {
				tt.in = tt.want
			}
		}
		if names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(names) != 1 {
			t.Errorf("%s: left %q, %v", tt.name, names, err)
		}
	}
}

// TestDedupeMboxRandom compares with a plain count over random mailboxes.
func TestDedupeMboxRandom(t *testing.T) {
	p := mboxPieces()
	p = append(p[:6:6], p[7]) // small ones
	for range 200 {
		var in, want strings.Builder
		seen := map[string]bool{}
		for range rand.IntN(20) {
			piece := p[rand.IntN(len(p))]
			in.WriteString(piece)
			if _, body, _ := strings.Cut(piece, "\n"); !seen[body] {
				seen[body] = true
				want.WriteString(piece)
			}
		}
		path := writeFile(t, filepath.Join(t.TempDir(), "box"), in.String())
		if _, err := Dedupe(context.Background(), &Source{KindMbox, path}, DedupeOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want.String() {
			t.Fatalf("of %q\n got %q, %v\nwant %q", in.String(), got, err, want.String())
		}
	}
}

// TestDedupeMboxTold: names are those in the old file; duplicates are safe elsewhere; mode, owner and link stay.
func TestDedupeMboxTold(t *testing.T) {
	p := mboxPieces()
	dir := t.TempDir()
	real := writeFile(t, filepath.Join(dir, "real"), p[0]+p[0]+p[2]+p[2])
	path := filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink("real", path), os.Chmod(real, 0o640)); err != nil {
		t.Skip(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(real, 12345, 54321); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := os.Stat(real)
	name := func(pieces ...string) string { return mboxName(path, int64(len(strings.Join(pieces, "")))) }
	var got []Duplicate
	to := "maildir:" + filepath.Join(dir, "to")
	n, err := Dedupe(context.Background(), &Source{KindMbox, path}, DedupeOptions{To: open(t, to, SinkOptions{}), Found: func(d Duplicate) error {
		if _, err := os.Stat(d.To); err != nil {
			t.Error(err)
		}
		d.To = ""
		got = append(got, d)
		return nil
	}})
	want := []Duplicate{{Path: name(p[0]), Of: name()}, {Path: name(p[0], p[0], p[2]), Of: name(p[0], p[0])}}
	if err != nil || n != 2 || !slices.Equal(got, want) {
		t.Errorf("got %d %v, %v, want %v", n, got, err, want)
	}
	if moved, _, _ := readAll(t, to); len(moved) != 2 {
		t.Errorf("moved: got %q, want 2", moved)
	}
	after, err := os.Stat(real)
	if err != nil || after.Mode() != before.Mode() || os.SameFile(before, after) {
		t.Errorf("mode %v, was %v, %v", after.Mode(), before.Mode(), err)
	}
	was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if was.Uid != is.Uid || was.Gid != is.Gid {
		t.Errorf("owner %d:%d, was %d:%d", is.Uid, is.Gid, was.Uid, was.Gid)
	}
	if st, err := os.Lstat(path); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", st, err)
	}
	if got, _ := os.ReadFile(path); string(got) != p[0]+p[2] {
		t.Errorf("left %q", got)
	}
}

// sinkFunc is a Sink that calls a function.
type sinkFunc func() error

func (f sinkFunc) Put(context.Context, io.Reader, Meta) (string, error) { return "there", f() }
func (f sinkFunc) Batch() Batch                                         { return nil }
func (f sinkFunc) Close() error                                         { return nil }

// TestDedupeMboxRefused: nothing is done where it would not be safe.
func TestDedupeMboxRefused(t *testing.T) {
	p := mboxPieces()
	const sized = "From carol@example.org Mon Jan  1 00:00:00 2024\nContent-Length: 2\n\na\n\n"
	const undated = "From nobody\nSubject: x\n\nonly a length before shows that this begins\n"
	broken := errors.New("broken")
	for _, tt := range []struct {
		name, in, added string
		kind            Kind
		err             func(err error) bool
	}{
		{"To fails", p[0] + p[0], "", KindMbox, func(err error) bool { return errors.Is(err, broken) }},
		{"another program appends", p[0] + p[0], p[2], KindMbox, func(err error) bool {
			var changed *ChangedError
			return errors.As(err, &changed) && changed.Temporary()
		}},
		{"what follows would be part of what is before", sized + p[0] + sized + undated, "", KindMboxCL2, func(err error) bool {
			var bad *Error
			return errors.As(err, &bad)
		}},
	} {
		path := writeFile(t, filepath.Join(t.TempDir(), "box"), tt.in)
		to := sinkFunc(func() error {
			if tt.added == "" && tt.kind == KindMbox {
				return broken
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.WriteString(tt.added)
			}
			return errors.Join(err, f.Close())
		})
		if n, err := Dedupe(context.Background(), &Source{tt.kind, path}, DedupeOptions{To: to}); n != 0 || !tt.err(err) {
			t.Errorf("%s: got %d, %v", tt.name, n, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != tt.in+tt.added {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
		if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
			t.Errorf("%s: left %v", tt.name, names)
		}
	}
	path := writeFile(t, filepath.Join(t.TempDir(), "box"), p[0]+p[0])
	var bad *Error
	if _, err := Dedupe(context.Background(), &Source{KindMbox, path}, DedupeOptions{To: open(t, "mbox:"+path, SinkOptions{})}); !errors.As(err, &bad) {
		t.Errorf("to itself: got %v, want an *Error", err)
	}
}

// TestL1_DedupeMboxFaults: a disk that fails at any step leaves the mbox as it was.
func TestL1_DedupeMboxFaults(t *testing.T) {
	p := mboxPieces()
	in := p[0] + p[6] + p[0]
	failed := 0
	for step := 1; ; step++ {
		path := writeFile(t, filepath.Join(t.TempDir(), "box"), in)
		m := open(t, "mbox:"+path, SinkOptions{}).(*mbox)
		n := 0
		m.disk = faultyDisk{fault: func(string) error {
			if n++; n == step {
				return errors.New("broken disk")
			}
			return nil
		}}
		err := newMboxDeduper(&Source{KindMbox, path}, DedupeOptions{}).run(context.Background(), m)
		got, rerr := os.ReadFile(path)
		renamed := string(got) == p[0]+p[6]
		if rerr != nil || !renamed && string(got) != in || err == nil && !renamed {
			t.Errorf("step %d: %d octets are left, %v, %v", step, len(got), err, rerr)
		}
		if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
			t.Errorf("step %d: left %v", step, names)
		}
		if err == nil {
			break
		}
		failed++
	}
	if failed < 5 {
		t.Errorf("only %d steps failed", failed)
	}
}

// helperDedupe takes the duplicates out of an mbox, and prints a line when it begins.
func helperDedupe(dest string) {
	fmt.Println("begun")
	_, path, _ := strings.Cut(dest, ":")
	if _, err := Dedupe(context.Background(), &Source{KindMbox, path}, DedupeOptions{}); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
	}
}

// TestP5_DedupeMboxKilled kills it at random moments: the old file is there or the new one, and the next run goes on.
func TestP5_DedupeMboxKilled(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 4
	}
	piece := func(i int) string {
		return fmt.Sprintf("From alice@example.org Mon Jan  1 00:00:00 2024\nX: %d\n\n%s\n\n", i, strings.Repeat("line\n", 1000))
	}
	var old, new strings.Builder
	for i := range 200 {
		old.WriteString(piece(i / 2))
		if i%2 == 0 {
			new.WriteString(piece(i / 2))
		}
	}
	dir := memoryDir(t)
	path := filepath.Join(dir, "box")
	var olds, news int
	for range rounds {
		writeFile(t, path, old.String())
		runKilled(t, "dedupe", "mbox:"+path, 150*time.Millisecond)
		switch got, err := os.ReadFile(path); {
		case err == nil && string(got) == old.String():
			olds++
		case err == nil && string(got) == new.String():
			news++
		default:
			t.Fatalf("neither the old nor the new file: %d octets, %v", len(got), err)
		}
	}
	t.Logf("%d times the old file, %d times the new one", olds, news)
	writeFile(t, path, old.String())
	if n, err := Dedupe(context.Background(), &Source{KindMbox, path}, DedupeOptions{}); err != nil || n != 100 {
		t.Errorf("afterwards: got %d, %v", n, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left %v", names)
	}
}
