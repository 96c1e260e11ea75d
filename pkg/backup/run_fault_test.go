package backup

import (
	"context"
	"errors"
	"net"
	"os"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/store"
)

// relay passes connections on to a server until one of them is cut.
type relay struct {
	upload bool // cut after so many octets of the client's; else of the server's
	at     int64
	l      net.Listener
	addr   string
	left   atomic.Int64
	dead   atomic.Bool // nothing passes any more
	done   sync.WaitGroup
}

func startRelay(t testing.TB, addr string, upload bool, at int64) *relay {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{upload: upload, at: at, l: l, addr: addr}
	r.left.Store(at)
	r.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.done.Go(func() { r.serve(c) })
		}
	})
	return r
}

func (r *relay) serve(c net.Conn) {
	defer c.Close()
	if r.dead.Load() {
		return
	}
	s, err := net.Dial("tcp4", r.addr)
	if err != nil {
		return
	}
	defer s.Close()
	r.done.Go(func() { r.pass(s, c, r.upload); _, _ = s.Close(), c.Close() })
	r.pass(c, s, !r.upload)
}

// pass copies, and counts in one direction.
func (r *relay) pass(out, in net.Conn, counts bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := in.Read(buf)
		if counts {
			if left := r.left.Add(-int64(n)); left < 0 {
				_, _ = out.Write(buf[:max(int64(n)+left, 0)])
				r.dead.Store(true)
				return
			}
		}
		if r.dead.Load() {
			return
		}
		if _, werr := out.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (r *relay) close() {
	_ = r.l.Close()
	r.done.Wait()
}

// cutAt makes a run over connections that end after so many octets, then one over
// good ones, and reports whether there was anything to cut.
func cutAt(t *testing.T, r *rig, upload bool, at int64) bool {
	t.Helper()
	r.dir = memoryDir(t)
	relay := startRelay(t, r.srv.Addr("imap"), upload, at)
	r.addr = relay.l.Addr().String()
	rec, err := r.run(RunOptions{Connections: 2})
	cut := relay.dead.Load()
	relay.close()
	if cut && err == nil && rec.Complete() {
		cut = false // what was cut off came too late to matter
	} else if !cut && (err != nil || !rec.Complete()) {
		t.Errorf("upload %v, cut at %d: got %+v, %v without a cut", upload, at, rec, err)
	}
	r.addr = ""
	r.must(RunOptions{})
	r.check("after the cut")
	_ = os.RemoveAll(r.dir)
	return relay.dead.Load()
}

// slowAuth are the mechanisms that take long on purpose.
var slowAuth = []string{"AUTH=SCRAM-SHA-1", "AUTH=SCRAM-SHA-256", "AUTH=SCRAM-SHA-1-PLUS", "AUTH=SCRAM-SHA-256-PLUS"}

// cuts runs cutAt at every step-th octet in both directions.
func cuts(t *testing.T, step int64, fill func(*rig)) {
	r := newRig(t, "", "", slowAuth...)
	fill(r)
	for _, upload := range []bool{false, true} {
		n := 0
		for at := int64(0); cutAt(t, r, upload, at); at += step {
			n++
			if t.Failed() {
				t.Fatalf("upload %v: failed at octet %d", upload, at)
			}
		}
		t.Logf("upload %v: %d cuts", upload, n)
	}
}

func TestS11_CutAtEveryOctet(t *testing.T) {
	step := int64(1)
	if testing.Short() || underRace {
		step = 23
	}
	cuts(t, step, func(r *rig) {
		for i := range 10 {
			r.put("INBOX", text(i, 30), `\Seen`)
		}
	})
}

func TestS11_CutInManyMessages(t *testing.T) {
	step := int64(97)
	if testing.Short() || underRace {
		step = 9707
	}
	cuts(t, step, func(r *rig) {
		for i := range 200 {
			r.put([]string{"INBOX", "Work", "Work/2026"}[i%3], text(i, 40))
		}
	})
}

// steps counts the steps of the disk and fails one of them.
type steps struct {
	n, at atomic.Int64
	err   error
	kinds sync.Map
}

func (s *steps) next(kind string) error {
	s.kinds.Store(kind, true)
	if n := s.n.Add(1); n == s.at.Load() {
		return &os.PathError{Op: kind, Path: "disk", Err: s.err}
	}
	return nil
}

// stepDisk is the disk of a repository of which one step fails.
type stepDisk struct {
	osDisk
	s *steps
}

func (d stepDisk) mkdir(root *os.Root, name string) error {
	if err := d.s.next("mkdir"); err != nil {
		return err
	}
	return d.osDisk.mkdir(root, name)
}

func (d stepDisk) truncate(f *os.File, size int64) error {
	if err := d.s.next("truncate"); err != nil {
		return err
	}
	return d.osDisk.truncate(f, size)
}

func (d stepDisk) create(root *os.Root, name string) (*os.File, error) {
	if err := d.s.next("create"); err != nil {
		return nil, err
	}
	return d.osDisk.create(root, name)
}

func (d stepDisk) writeAt(f *os.File, p []byte, off int64) (int, error) {
	if err := d.s.next("write"); err != nil {
		n, _ := f.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return d.osDisk.writeAt(f, p, off)
}

func (d stepDisk) sync(f *os.File) error {
	if err := d.s.next("sync"); err != nil {
		return err
	}
	return d.osDisk.sync(f)
}

func (d stepDisk) rename(root *os.Root, from, to string) error {
	if err := d.s.next("rename"); err != nil {
		return err
	}
	return d.osDisk.rename(root, from, to)
}

func (d stepDisk) remove(root *os.Root, name string) error {
	if err := d.s.next("remove"); err != nil {
		return err
	}
	return d.osDisk.remove(root, name)
}

// faultyRun is one run on a disk of which a step fails.
func (r *rig) faultyRun(s *steps) error {
	return r.faulty(s, func(ctx context.Context, repo *Repo, open func(string, store.Kind) (*store.Tree, error)) error {
		_, err := repo.Run(ctx, RunOptions{Dial: r.dial, openTree: open})
		return err
	})
}

func (r *rig) faulty(s *steps, run func(context.Context, *Repo, func(string, store.Kind) (*store.Tree, error)) error) error {
	repo, err := open(r.dir, OpenOptions{Create: &Settings{Format: r.format}, Write: true}, stepDisk{s: s})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = run(ctx, repo, func(path string, kind store.Kind) (*store.Tree, error) {
		return store.OpenFaultyTree(path, kind, s.next)
	})
	return errors.Join(err, repo.Close())
}

// leftover puts a file there as a run that died has it, with the name of a message and
// other octets.
func (r *rig) leftover(m *Message) {
	r.t.Helper()
	repo, err := open(r.dir, OpenOptions{Write: true}, osDisk{})
	if err != nil {
		r.t.Fatal(err)
	}
	defer repo.Close()
	m.Size = 100
	m.File = repo.fileName(m, 100, false)
	name := path.Join(repo.fileDir(m.Mailbox), repo.diskName(m))
	if r.format == FormatMbox {
		appendMbox(r.t, filepath.Join(r.dir, path.Dir(name)), m.File, "damaged\n")
		f, err := os.OpenFile(filepath.Join(r.dir, path.Dir(name)), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("From 17")
			err = errors.Join(err, f.Close(), repo.setDirty(true))
		}
		if err != nil {
			r.t.Fatal(err)
		}
		return
	}
	if err := errors.Join(repo.setDirty(true), repo.root.WriteFile(name, []byte("damaged"), 0o600)); err != nil {
		r.t.Fatal(err)
	}
}

// TestL1_EveryStepOfTheDisk fails every step that a run does with its disk: the error
// is told, and the next run completes what is missing.
func TestL1_EveryStepOfTheDisk(t *testing.T) {
	for _, format := range formats {
		for _, errno := range []error{syscall.ENOSPC, syscall.EIO} {
			everyStep(t, format, errno)
		}
	}
}

func everyStep(t *testing.T, format string, errno error) {
	failed := 0
	for at := int64(1); ; at++ {
		r := newRig(t, "", "", slowAuth...)
		r.format = format
		for i := range 6 {
			r.put("INBOX", text(i/2, 100), `\Seen`) // each twice: a link
		}
		r.put("Work", "bare\nLF\r\n")
		s := &steps{err: errno}
		if err := r.faultyRun(s); err != nil { // a part is stored, and what follows is an increment
			t.Fatalf("without a fault: %v", err)
		}
		r.put("Work", text(9, 100))
		r.put("INBOX", text(10, 100))
		setFlags(t, r.box("INBOX"), 1, `\Flagged`)
		r.leftover(&Message{Mailbox: &Mailbox{Dir: "Work"}, UIDValidity: r.box("Work").State().UIDValidity, UID: 2})
		s.n.Store(0)
		s.at.Store(at)
		err := r.faultyRun(s)
		if s.n.Load() < at {
			if err != nil {
				t.Errorf("%s: without a fault: %v", format, err)
			}
			break
		}
		if err != nil {
			failed++
			if !errors.Is(err, errno) {
				t.Errorf("%s: step %d: got %v, want %v", format, at, err, errno)
			}
		}
		r.must(RunOptions{})
		r.check("after the fault")
		r.srv.Close()
		if t.Failed() {
			t.Fatalf("%s: failed at step %d, after the error %v", format, at, err)
		}
	}
	t.Logf("%s, %v: %d steps failed the run", format, errno, failed)
	if failed < 10 {
		t.Errorf("%s: only %d steps failed the run", format, failed)
	}
}

// TestL1_EveryStepOfAFirstRun is the same for the run that makes the repository.
func TestL1_EveryStepOfAFirstRun(t *testing.T) {
	failed := 0
	for at := int64(1); ; at++ {
		r := newRig(t, "", "", slowAuth...)
		for i := range 6 {
			r.put("INBOX", text(i/2, 100), `\Seen`)
		}
		r.put("Work", "bare\nLF\r\n")
		s := &steps{err: syscall.EIO}
		s.at.Store(at)
		err := r.faultyRun(s)
		if s.n.Load() < at {
			break
		}
		if err != nil {
			failed++
		}
		r.must(RunOptions{})
		r.check("after the fault")
		r.srv.Close()
		if t.Failed() {
			t.Fatalf("failed at step %d, after the error %v", at, err)
		}
	}
	t.Logf("%d steps failed the run", failed)
	if failed < 20 {
		t.Errorf("only %d steps failed the run", failed)
	}
}
