//go:build unix

package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

// treeFiles lists the files below a directory.
func treeFiles(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, _ = filepath.Rel(dir, path)
			list = append(list, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func newTree(t testing.TB, kind Kind) (*Tree, string) {
	t.Helper()
	dir := memoryDir(t)
	tree, err := OpenTree(dir, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	return tree, dir
}

var treeDate = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)

// TestTree_Octets stores messages of all kinds, in pieces of several sizes, and reads
// them back.
func TestTree_Octets(t *testing.T) {
	long := strings.Repeat("a line as lines are\r\n", 20_000)
	messages := map[string]string{
		"empty": "", "CRLF": "\r\n", "no end": "a: b\r\n\r\nx", "ends in CR": "a\r\nb\r", "CR": "\r", "LF": "\n", "bare LF": "a\nb\r\n", "bare CR": "a\rb\r\n",
		"CR CR LF": "a\r\r\nb\r\n", "NUL": "\x00\r\n\xff\r\n", "long": long, "long, then LF": long + "x\ny\r\n", "long, then CR": long + "\r", "LF, then long": "\n" + long,
		"CR at a chunk": strings.Repeat("x", stageChunk/2-1) + "\r\nrest\r\n", "bare CR at a chunk": strings.Repeat("x", stageChunk/2-1) + "\rrest\r\n",
		"no line end": strings.Repeat("x", 300_000),
	}
	for _, kind := range []Kind{KindMaildir, KindEML} {
		for name, wire := range messages {
			for how, r := range map[string]io.Reader{"whole": strings.NewReader(wire), "octets": iotest.OneByteReader(strings.NewReader(wire)),
				"halves": iotest.HalfReader(strings.NewReader(wire)), "copied": struct{ io.Reader }{strings.NewReader(wire)}} {
				tree, dir := newTree(t, kind)
				s, err := tree.Stage(context.Background(), r, treeDate)
				if err != nil {
					t.Fatalf("%s %s %s: %v", kind, name, how, err)
				}
				file := "1.x"
				if s.Marked {
					file += fieldWire
				}
				if kind == KindEML {
					file += emlSuffix
				}
				if err := tree.Publish(context.Background(), []Placement{{Staged: s, Dir: "A/B", Name: file}}); err != nil {
					t.Fatal(err)
				}
				checkStaged(t, fmt.Sprint(kind, " ", name, " ", how), filepath.Join(dir, filepath.FromSlash(tree.fileDir("A/B")), file), s)
				read := ReadMaildir
				if kind == KindEML {
					read = ReadEML
				}
				if got := wires(t, read(filepath.Join(dir, "A", "B"))); len(got) != 1 || got[0] != wire {
					t.Errorf("%s %s %s: got %d messages %.60q, want %.60q", kind, name, how, len(got), got, wire)
				}
				if s.WireSize != int64(len(wire)) {
					t.Errorf("%s %s %s: got size %d, want %d", kind, name, how, s.WireSize, len(wire))
				}
			}
		}
	}
}

// checkStaged compares what Stage says of a file with the file.
func checkStaged(t *testing.T, name, path string, s *Staged) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(data) != s.Digest || int64(len(data)) != s.Size || st.Mode() != 0o600 || !st.ModTime().Equal(treeDate) {
		t.Errorf("%s: got %d octets, mode %v, date %v; want what Stage said (%d octets), 0600, %v", name, len(data), st.Mode(), st.ModTime(), s.Size, treeDate)
	}
}

// treeRun makes a folder, stores four messages in two folders, one as a link, and
// changes a name.
func treeRun(dir string, fault func(string) error) error {
	t, err := OpenFaultyTree(dir, KindMaildir, fault)
	if err != nil {
		return err
	}
	defer t.Close()
	ctx := context.Background()
	var places []Placement
	for i, m := range []string{"one\r\n", "two\nx\r\n", strings.Repeat("three\r\n", 30_000)} {
		s, err := t.Stage(ctx, strings.NewReader(m), treeDate)
		if err != nil {
			for _, p := range places {
				_ = t.Discard(p.Staged)
			}
			return err
		}
		places = append(places, Placement{Staged: s, Dir: []string{"A", "A/B"}[i%2], Name: fmt.Sprint(i)})
	}
	places = append(places, Placement{LinkOf: "A/cur/0", Dir: "A/B", Name: "link"})
	if err := t.Publish(ctx, places); err != nil {
		return err
	}
	if err := t.Rename("A", "0", "0:2,S"); err != nil {
		return nil // all is stored
	}
	_ = t.Publish(ctx, nil)
	return nil
}

// TestL1_TreeSteps fails each step: nothing is visible then, and nothing is left.
func TestL1_TreeSteps(t *testing.T) {
	failed := 0
	for at := 1; ; at++ {
		dir := memoryDir(t)
		n := 0
		err := treeRun(dir, func(string) error {
			if n++; n == at {
				return syscall.EIO
			}
			return nil
		})
		left := treeFiles(t, dir)
		if n < at {
			if len(left) != 4 || err != nil {
				t.Errorf("without a fault: got %q, %v", left, err)
			}
			break
		}
		if err != nil && (len(left) != 0 || !errors.Is(err, syscall.EIO)) {
			t.Errorf("step %d: got %q, %v; want nothing and EIO", at, left, err)
		}
		if err == nil && len(left) != 4 {
			t.Errorf("step %d: got %q", at, left)
		}
		if err != nil {
			failed++
		}
	}
	if failed < 20 {
		t.Errorf("only %d steps failed", failed)
	}
}

// TestTree_Parallel stages from several goroutines, some of which fail.
func TestTree_Parallel(t *testing.T) {
	tree, dir := newTree(t, KindMaildir)
	var mu sync.Mutex
	var places []Placement
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 50 {
				m := strings.Repeat(fmt.Sprintf("message %d of %d\r\n", i, g), 1+i*i)
				var r io.Reader = strings.NewReader(m)
				if i%10 == 9 {
					r = io.MultiReader(r, iotest.ErrReader(errors.New("broken")))
				}
				s, err := tree.Stage(context.Background(), r, treeDate)
				if (err != nil) != (i%10 == 9) {
					t.Errorf("message %d of %d: %v", i, g, err)
				}
				if err == nil {
					mu.Lock()
					places = append(places, Placement{Staged: s, Dir: fmt.Sprint(i % 7), Name: fmt.Sprintf("%d.%d", g, i)})
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	if err := tree.Publish(context.Background(), places); err != nil {
		t.Fatal(err)
	}
	if got := treeFiles(t, dir); len(got) != 180 {
		t.Errorf("got %d files, want 180", len(got))
	}
}

// TestTree_Cancelled publishes nothing.
func TestTree_Cancelled(t *testing.T) {
	tree, dir := newTree(t, KindMaildir)
	s, err := tree.Stage(context.Background(), strings.NewReader("x\r\n"), treeDate)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tree.Stage(ctx, strings.NewReader("y\r\n"), treeDate); !errors.Is(err, context.Canceled) {
		t.Errorf("stage: got %v", err)
	}
	if err := tree.Publish(ctx, []Placement{{Staged: s, Dir: "A", Name: "1"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("publish: got %v", err)
	}
	if left := treeFiles(t, dir); len(left) != 0 {
		t.Errorf("got %q, want nothing", left)
	}
}

// TestTree_CannotLink makes a copy where there can be no link.
func TestTree_CannotLink(t *testing.T) {
	dir := memoryDir(t)
	tree, err := OpenFaultyTree(dir, KindMaildir, func(step string) error {
		if step == "link" {
			return syscall.EMLINK
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	s, err := tree.Stage(context.Background(), strings.NewReader("x\r\n"), treeDate)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Publish(context.Background(), []Placement{{Staged: s, Dir: "A", Name: "1"}, {LinkOf: "A/cur/1", Dir: "B", Name: "2"}}); err != nil {
		t.Fatal(err)
	}
	one, err1 := os.Stat(filepath.Join(dir, "A/cur/1"))
	two, err2 := os.Stat(filepath.Join(dir, "B/cur/2"))
	if err1 != nil || err2 != nil || os.SameFile(one, two) || !two.ModTime().Equal(treeDate) || two.Size() != one.Size() {
		t.Errorf("got %v, %v, %v, %v; want a copy", one, err1, two, err2)
	}
}

// TestF3_TreeStaysInside follows no symbolic link out of the directory.
func TestF3_TreeStaysInside(t *testing.T) {
	tree, dir := newTree(t, KindMaildir)
	outside := memoryDir(t)
	if err := os.Symlink(outside, filepath.Join(dir, "A")); err != nil {
		t.Fatal(err)
	}
	s, err := tree.Stage(context.Background(), strings.NewReader("x\r\n"), treeDate)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"A", "A/B", "../B"} {
		if err := tree.Publish(context.Background(), []Placement{{Staged: s, Dir: folder, Name: "1"}}); err == nil {
			t.Errorf("%s: got no error", folder)
		}
	}
	if left := treeFiles(t, outside); len(left) != 0 {
		t.Errorf("got %q outside", left)
	}
}

// TestTree_Clean removes what a dead process staged, and nothing else.
func TestTree_Clean(t *testing.T) {
	dead, dir := newTree(t, KindMaildir)
	if _, err := dead.Stage(context.Background(), strings.NewReader("x\r\n"), treeDate); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, TreeTemp, "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := OpenTree(dir, KindMaildir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if err := tree.Clean(); err != nil {
		t.Fatal(err)
	}
	if left := treeFiles(t, dir); len(left) != 1 || !strings.HasSuffix(left[0], "other") {
		t.Errorf("got %q, want what is not ours", left)
	}
	if dirs, _ := os.ReadDir(filepath.Join(dir, TreeTemp)); len(dirs) != 2 {
		t.Errorf("got %v, want our own directory and what is not ours", dirs)
	}
}

// BenchmarkTree stores messages of 2 KB in batches, by two goroutines.
func BenchmarkTree(b *testing.B) {
	t, _ := newTree(b, KindMaildir)
	m := bytes.Repeat([]byte("a line of a message, as they are\r\n"), 60)
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for first := 0; first < b.N; first += 2000 {
		n := min(2000, b.N-first)
		places := make([]Placement, n)
		var group sync.WaitGroup
		for g := range 2 {
			group.Go(func() {
				for i := g; i < n; i += 2 {
					s, err := t.Stage(context.Background(), bytes.NewReader(m), treeDate)
					if err != nil {
						b.Error(err)
						return
					}
					places[i] = Placement{Staged: s, Dir: "INBOX", Name: fmt.Sprintf("%d.%x,S=%d:2,S", first+i+1, s.Digest[:8], s.Size)}
				}
			})
		}
		group.Wait()
		if err := t.Publish(context.Background(), places); err != nil {
			b.Fatal(err)
		}
	}
}
