package backup

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"testing"
)

// quickDisk does not wait for the disk.
type quickDisk struct{ osDisk }

func (quickDisk) sync(*os.File) error { return nil }

// faultMode says what is wrong with a faultDisk.
type faultMode int

const (
	failOnce faultMode = iota // one step fails
	die                       // all steps from one on fail: the process is dead
	lose                      // so they do, and what was not durable is gone, all of it
	tear                      // or some of it
)

// faultDisk fails at some step. A write that fails has written a half. It checks that
// nothing relies on what is not durable.
type faultDisk struct {
	quickDisk
	t        testing.TB
	mode     faultMode
	failAt   int
	step     int
	log      []string
	unsynced map[string]int64    // files and how long they were when they were durable
	undo     map[string][]func() // of the steps in a directory that may be lost
	saved    string              // directory for what may come back
}

var errInjected = fmt.Errorf("injected: %w", syscall.EIO)

func newFaultDisk(t testing.TB, mode faultMode, failAt int) *faultDisk {
	return &faultDisk{t: t, mode: mode, failAt: failAt, unsynced: map[string]int64{}, undo: map[string][]func(){}, saved: t.TempDir()}
}

// String tells what happened from the failing step on.
func (d *faultDisk) String() string {
	return fmt.Sprintf("mode %d, step %d: %v", d.mode, d.failAt, d.log[min(d.failAt-1, len(d.log)):])
}

func (d *faultDisk) fails(what, name string) bool {
	d.step++
	d.log = append(d.log, what+" "+path.Base(name))
	return d.step == d.failAt || d.mode != failOnce && d.step > d.failAt
}

// crash takes away what was not durable when the machine died.
func (d *faultDisk) crash() {
	if d.mode < lose {
		return
	}
	rnd := rand.New(rand.NewPCG(uint64(d.failAt), 1))
	for name, size := range d.unsynced {
		if st, err := os.Stat(name); err == nil && st.Size() > size {
			if d.mode == tear {
				size += rnd.Int64N(st.Size() - size)
			}
			d.check(os.Truncate(name, size))
		}
	}
	for _, steps := range d.undo {
		for i := len(steps) - 1; i >= 0; i-- {
			if d.mode == lose || rnd.IntN(2) == 0 {
				steps[i]()
			}
		}
	}
}

func (d *faultDisk) check(err error) {
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Error(err)
	}
}

// save keeps a file that is to go, and returns what brings it back.
func (d *faultDisk) save(name string) func() {
	kept := filepath.Join(d.saved, fmt.Sprint(d.step))
	if err := os.Link(name, kept); err != nil {
		return func() {}
	}
	return func() {
		_ = os.Remove(name)
		d.check(os.Link(kept, name))
	}
}

func (d *faultDisk) later(name string, undo func()) {
	dir := filepath.Dir(name)
	d.undo[dir] = append(d.undo[dir], undo)
}

func (d *faultDisk) mkdir(root *os.Root, name string) error {
	if d.fails("mkdir", name) {
		return errInjected
	}
	return d.osDisk.mkdir(root, name)
}

func (d *faultDisk) create(root *os.Root, name string) (*os.File, error) {
	if d.fails("create", name) {
		return nil, errInjected
	}
	full := filepath.Join(root.Name(), name)
	d.later(full, func() { d.check(os.Remove(full)) })
	return d.osDisk.create(root, name)
}

func (d *faultDisk) writeAt(f *os.File, p []byte, off int64) (int, error) {
	if _, ok := d.unsynced[f.Name()]; !ok {
		d.unsynced[f.Name()] = off
	}
	if d.fails("write", f.Name()) {
		n, _ := d.osDisk.writeAt(f, p[:len(p)/2], off)
		return n, errInjected
	}
	return d.osDisk.writeAt(f, p, off)
}

func (d *faultDisk) truncate(f *os.File, size int64) error {
	if d.fails("truncate", f.Name()) {
		return errInjected
	}
	return d.osDisk.truncate(f, size)
}

func (d *faultDisk) sync(f *os.File) error {
	if d.fails("sync", f.Name()) {
		return errInjected
	}
	delete(d.unsynced, f.Name())
	delete(d.undo, f.Name())
	return nil
}

func (d *faultDisk) rename(root *os.Root, from, to string) error {
	fullFrom, fullTo := filepath.Join(root.Name(), from), filepath.Join(root.Name(), to)
	if _, ok := d.unsynced[fullFrom]; ok {
		d.t.Errorf("%s is renamed before it is durable", from)
	}
	if d.fails("rename", from) {
		return errInjected
	}
	back := d.save(fullTo)
	moved := d.save(fullFrom)
	d.later(fullTo, func() {
		_ = os.Remove(fullTo)
		back()
	})
	d.later(fullFrom, moved)
	return d.osDisk.rename(root, from, to)
}

func (d *faultDisk) remove(root *os.Root, name string) error {
	if d.fails("remove", name) {
		return errInjected
	}
	full := filepath.Join(root.Name(), name)
	d.later(full, d.save(full))
	return d.osDisk.remove(root, name)
}
