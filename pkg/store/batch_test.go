//go:build linux

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
)

// badDisk is a file system in which one step fails, and after which, if it is the
// end of the process, nothing is done any more. It also knows what is not durable.
type badDisk struct {
	osDisk
	at    int   // the step that fails, counted from 1; 0: none
	err   error // how; io.ErrShortWrite is half a write
	end   bool  // the process ends with that step
	whole bool  // syncWhole was called

	mu      sync.Mutex
	step    int
	dirty   map[string]bool // files written to and not synced
	renamed map[string]bool // directories with names that are not synced
	wrong   []string        // what was done in the wrong order
}

var errEnded = errors.New("the process has ended")

// next counts a step and fails it if it is the one.
func (d *badDisk) next() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step++
	switch {
	case d.at == 0 || d.step < d.at:
		return nil
	case d.step == d.at:
		return d.err
	case d.end:
		return errEnded
	}
	return nil
}

func (d *badDisk) note(m *map[string]bool, name string, on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if *m == nil {
		*m = map[string]bool{}
	}
	if on {
		(*m)[filepath.Clean(name)] = true
	} else {
		delete(*m, filepath.Clean(name))
	}
}

func (d *badDisk) create(root *os.Root, name string) (*os.File, error) {
	if err := d.next(); err != nil {
		return nil, err
	}
	return d.osDisk.create(root, name)
}

func (d *badDisk) writer(f *os.File) io.WriterAt { return badWriter{d, f} }

type badWriter struct {
	d *badDisk
	f *os.File
}

func (w badWriter) WriteAt(p []byte, off int64) (int, error) {
	w.d.note(&w.d.dirty, w.f.Name(), true)
	err := w.d.next()
	if errors.Is(err, io.ErrShortWrite) {
		n, _ := w.f.WriteAt(p[:len(p)/2], off)
		return n, syscall.ENOSPC
	}
	if err != nil {
		return 0, err
	}
	return w.f.WriteAt(p, off)
}

func (d *badDisk) sync(f *os.File) error {
	if err := d.next(); err != nil {
		return err
	}
	d.note(&d.dirty, f.Name(), false)
	d.note(&d.renamed, f.Name(), false)
	return nil // nothing in a test needs to survive a power cut
}

func (d *badDisk) syncWhole(*os.File) error {
	d.whole = true
	if err := d.next(); err != nil {
		return err
	}
	clear(d.dirty)
	return nil
}

func (d *badDisk) renameAt(from *os.File, old string, to *os.File, name string) error {
	if err := d.next(); err != nil {
		return err
	}
	if d.dirty[filepath.Join(from.Name(), old)] {
		d.wrong = append(d.wrong, old+" renamed before it is durable")
	}
	d.note(&d.renamed, to.Name(), true)
	return d.osDisk.renameAt(from, old, to, name)
}

func (d *badDisk) remove(root *os.Root, name string) error {
	if err := d.next(); err != nil {
		return err
	}
	return d.osDisk.remove(root, name)
}

func (d *badDisk) truncate(f *os.File, size int64) error {
	if err := d.next(); err != nil {
		return err
	}
	return d.osDisk.truncate(f, size)
}

// setDisk puts d under a sink.
func setDisk(t *testing.T, s Sink, d disk) {
	t.Helper()
	switch s := s.(type) {
	case *maildir:
		s.disk = d
	case *emlFolder:
		s.disk = d
	case *mbox:
		s.disk = d
	default:
		t.Fatalf("%T has no disk", s)
	}
}

// batchOf commits n messages with the ids from first on, and returns the error and
// the names.
func batchOf(b Batch, first, n int) ([]string, error) {
	for i := range n {
		if err := b.Add(context.Background(), strings.NewReader(numbered(first+i)), Meta{Date: when, Flags: []string{`\Seen`}[:i%2]}); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b.Commit(context.Background())
}

func numbered(i int) string {
	return fmt.Sprintf("X-N: %d\r\n\r\nFrom %s\r\n", i, strings.Repeat("x", 100*i))
}

func numberedList(first, n int) (out []string) {
	for i := range n {
		out = append(out, numbered(first+i))
	}
	return out
}

// batchSizes have files synced one by one, and with the whole file system.
var batchSizes = []int{1, 3, fewFiles + 3}

// eachFault runs try with a fault in each step of a batch of each kind and size,
// until a run is over before its fault.
func eachFault(t *testing.T, faults []error, try func(t *testing.T, k kind, n int, d *badDisk)) {
	for name := range kinds(t) {
		for _, n := range batchSizes {
			for _, fault := range faults {
				t.Run(fmt.Sprintf("%s %d %v", name, n, fault), func(t *testing.T) {
					for at := 1; ; at++ {
						d := &badDisk{at: at, err: fault}
						try(t, kinds(t)[name], n, d)
						if d.step < at {
							return
						}
						if t.Failed() {
							t.Fatalf("step %d", at)
						}
					}
				})
			}
		}
	}
}

var faults = []error{syscall.ENOSPC, syscall.EIO, io.ErrShortWrite}

// TestL1_BatchFaults: after an error in any step nothing of a batch is there, and
// the sink goes on.
func TestL1_BatchFaults(t *testing.T) {
	eachFault(t, faults, func(t *testing.T, k kind, n int, d *badDisk) {
		s := open(t, k.dest, SinkOptions{})
		put(t, s, numbered(0), Meta{})
		before := listing(t, k.dest)
		setDisk(t, s, d)
		b := s.Batch()
		names, err := batchOf(b, 1, n)
		want := []string{numbered(0)}
		switch {
		case err == nil:
			want = append(want, numberedList(1, n)...)
			if len(names) != n {
				t.Errorf("got %d names, want %d", len(names), n)
			}
		case d.err != io.ErrShortWrite && !errors.Is(err, d.err):
			t.Errorf("got %v, want %v", err, d.err)
		default:
			if after := listing(t, k.dest); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
		}
		if m, octets := b.Staged(); m != 0 || octets != 0 {
			t.Errorf("still staged: %d messages, %d octets", m, octets)
		}
		d.at = 0
		if _, err := batchOf(b, 100, 2); err != nil {
			t.Errorf("the next batch: %v", err)
		}
		compare(t, wires(t, k.read()), append(want, numberedList(100, 2)...), true)
	})
}

// TestL2_BatchCrash: the process ends in any step. What is there is whole, and the
// next process goes on.
func TestL2_BatchCrash(t *testing.T) {
	eachFault(t, append(faults[2:], errEnded), func(t *testing.T, k kind, n int, d *badDisk) {
		s := open(t, k.dest, SinkOptions{})
		put(t, s, numbered(0), Meta{})
		d.end = true
		setDisk(t, s, d)
		_, err := batchOf(s.Batch(), 1, n)
		setDisk(t, s, osDisk{})
		next := open(t, k.dest, SinkOptions{})
		put(t, next, numbered(200), Meta{})
		got := wires(t, k.read())
		all := append(numberedList(0, n+1), numbered(200))
		for i, m := range got {
			if !slices.Contains(all, m) || slices.Contains(got[:i], m) {
				t.Errorf("%.40q is half a message or there twice", m)
			}
		}
		if !slices.Contains(got, numbered(0)) || !slices.Contains(got, numbered(200)) {
			t.Error("a message of before or after is lost")
		}
		if err == nil && len(got) != len(all) {
			t.Errorf("committed: %d messages, want %d", len(got), len(all))
		}
		if _, ok := s.(*mbox); ok && len(got) != 2 && len(got) != len(all) {
			t.Errorf("mbox: %d messages, want none of the batch or all", len(got))
		}
	})
}

// TestL2_Order: nothing has its final name before its octets are durable, and the
// names are durable in the end, for single messages and batches.
func TestL2_Order(t *testing.T) {
	for name, k := range kinds(t) {
		for _, n := range append(batchSizes, 0, maxOpenFiles+3) {
			for _, whole := range []bool{true, false} {
				d := &badDisk{}
				s := open(t, k.dest, SinkOptions{})
				setDisk(t, s, d)
				if n == 0 {
					put(t, s, numbered(1), Meta{})
				} else {
					b := s.Batch()
					if f, ok := b.(*fileBatch); ok && !whole {
						f.whole, f.maxOpen = false, maxOpenFiles
					}
					if _, err := batchOf(b, 1, n); err != nil {
						t.Errorf("%s %d: %v", name, n, err)
					}
				}
				if len(d.wrong)+len(d.dirty)+len(d.renamed) > 0 {
					t.Errorf("%s %d: %q, not durable in the end: %v, names in %v", name, n, d.wrong, d.dirty, d.renamed)
				}
				if want := whole && n > fewFiles && name != "mbox"; d.whole != want && canSyncWhole(tempFile(t, "")) {
					t.Errorf("%s %d: whole file system synced: %v, want %v", name, n, d.whole, want)
				}
			}
		}
	}
}

// TestBatch: order, names, and what a broken message does.
func TestBatch(t *testing.T) {
	for name, k := range kinds(t) {
		s := open(t, k.dest, SinkOptions{})
		b := s.Batch()
		if names, err := b.Commit(context.Background()); err != nil || len(names) > 0 {
			t.Errorf("%s: empty: got %v, %v", name, names, err)
		}
		for i, r := range []io.Reader{strings.NewReader(numbered(1)), io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errors.New("broken"))), strings.NewReader(numbered(2))} {
			if err := b.Add(context.Background(), r, Meta{}); (err != nil) != (i == 1) {
				t.Errorf("%s: add %d: %v", name, i, err)
			}
		}
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		if err := b.Add(canceled, strings.NewReader("x"), Meta{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: canceled: got %v", name, err)
		}
		if m, octets := b.Staged(); m != 2 || octets != int64(len(numbered(1)+numbered(2))) {
			t.Errorf("%s: staged %d, %d", name, m, octets)
		}
		if got := wires(t, k.read()); len(got) > 0 {
			t.Errorf("%s: there before Commit: %q", name, got)
		}
		names, err := b.Commit(context.Background())
		if err != nil || len(names) != 2 {
			t.Fatalf("%s: got %v, %v", name, names, err)
		}
		for i, n := range names {
			if got := readNamed(t, n); got != numbered(i+1) {
				t.Errorf("%s: %s is %q, want message %d", name, n, got, i+1)
			}
		}
		before := listing(t, k.dest)
		if err := errors.Join(b.Add(context.Background(), strings.NewReader("x"), Meta{}), b.Close()); err != nil {
			t.Error(err)
		}
		if _, err := b.Commit(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: canceled commit: got %v", name, err)
		}
		if after := listing(t, k.dest); after != before {
			t.Errorf("%s: closed batch left:\n%s\nbefore:\n%s", name, after, before)
		}
	}
}

// TestStdoutBatch: written at once.
func TestStdoutBatch(t *testing.T) {
	f := tempFile(t, "")
	b := open(t, "-", SinkOptions{Stdout: f, Many: true}).Batch()
	if names, err := batchOf(b, 1, 3); err != nil || !slices.Equal(names, []string{"-", "-", "-"}) {
		t.Errorf("got %v, %v", names, err)
	}
	if _, err := f.Seek(int64(len("before ")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	compare(t, wires(t, ReadStream(f)), numberedList(1, 3), false)
}

// BenchmarkMaildir stores 5,000 messages of 2 KB, alone and in batches.
func BenchmarkMaildir(b *testing.B) {
	message := "Subject: x\r\n\r\n" + strings.Repeat("0123456789 0123456789 0123456789 0123456789 \r\n", 43)
	for _, size := range []int{0, 50, 500, 5000} {
		b.Run("batch-"+strconv.Itoa(size), func(b *testing.B) {
			for b.Loop() {
				s := open(b, "maildir:"+b.TempDir()+"/md", SinkOptions{})
				batch := s.Batch()
				for range 5000 {
					if size == 0 {
						put(b, s, message, Meta{Date: when})
						continue
					}
					if err := batch.Add(context.Background(), strings.NewReader(message), Meta{Date: when}); err != nil {
						b.Fatal(err)
					}
					if n, _ := batch.Staged(); n == size {
						if _, err := batch.Commit(context.Background()); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/5000")
		})
	}
}
