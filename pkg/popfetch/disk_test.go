package popfetch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
)

// badDisk is a file system in which one step fails; with end, all that follow do, as for a process that is killed there.
type badDisk struct {
	osDisk
	at, step int // counted from 1
	err      error
	end      bool
}

func (d *badDisk) next() error {
	if d.step++; d.step == d.at || d.end && d.step > d.at {
		return d.err
	}
	return nil
}

// write writes half, with io.ErrShortWrite.
func (d *badDisk) write(f *os.File, p []byte) error {
	err := d.next()
	switch {
	case err == nil:
		return d.osDisk.write(f, p)
	case errors.Is(err, io.ErrShortWrite) && d.step == d.at:
		return errors.Join(err, d.osDisk.write(f, p[:len(p)/2]))
	}
	return err
}

func (d *badDisk) sync(f *os.File) error {
	if err := d.next(); err != nil {
		return err
	}
	return d.osDisk.sync(f)
}

func (d *badDisk) syncDir(dir string) error {
	if err := d.next(); err != nil {
		return err
	}
	return d.osDisk.syncDir(dir)
}

func (d *badDisk) rename(from, to string) error {
	if err := d.next(); err != nil {
		return err
	}
	return d.osDisk.rename(from, to)
}

func (d *badDisk) empty(f *os.File) error {
	if err := d.next(); err != nil {
		return err
	}
	return d.osDisk.empty(f)
}

// TestR1_StateFaults has each step of writing the state fail, in a run that fetches and deletes, over a state that is new, good, or
// damaged and so written anew. No message is deleted that is not stored, the run says that it failed, and the next one ends with
// every message stored once.
func TestR1_StateFaults(t *testing.T) {
	steps := 0
	for _, before := range []string{"new", "good", "damaged"} {
		for _, fault := range []error{syscall.ENOSPC, syscall.EIO, io.ErrShortWrite} {
			for _, end := range []bool{false, true} {
				for batch := 1; batch <= 2; batch++ {
					steps = max(steps, faultyRuns(t, before, badDisk{err: fault, end: end}, batch))
				}
			}
		}
	}
	if steps < 10 {
		t.Errorf("only %d steps: too few for a fault in each", steps)
	}
}

// faultyRuns has each step in turn fail, and returns how many there are.
func faultyRuns(t *testing.T, before string, disk badDisk, batch int) int {
	for disk.at = 1; ; disk.at++ {
		d := disk
		faultyRun(t, fmt.Sprintf("%s, %v in step %d, the last: %v, batch %d", before, d.err, d.at, d.end, batch), before, &d, batch)
		if d.step < d.at {
			return d.step
		}
	}
}

// faultyRun is one of them. Batches of one are committed beside the fetch of the next message.
func faultyRun(t *testing.T, what, before string, d *badDisk, batch int) {
	r := newRig(t)
	if before != "new" {
		r.drop.messages = []mess{{id: "A", text: textA}}
		r.want(Options{}, "stored 1")
	}
	if before == "damaged" {
		f, err := os.OpenFile(r.state, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString("torn")
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	r.drop.messages = []mess{{id: "A", text: textA}, {id: "B", text: textB}, {id: "C", text: textC}}
	r.disk, r.plain = d, batch > 1
	_, err := r.run(Options{Delete: true, Batch: batch})
	if (err != nil) != (d.step >= d.at) {
		t.Errorf("%s: got %v", what, err)
	}
	have := map[string]bool{}
	for _, m := range r.drop.messages {
		have[m.text] = true
	}
	for _, m := range r.texts() {
		have[m] = true
	}
	if len(have) != 3 {
		t.Errorf("%s: %d messages are on the server or stored, want 3", what, len(have))
	}
	r.disk = nil
	if events, err := r.run(Options{Delete: true}); err != nil {
		t.Errorf("%s: the next run: %q, %v", what, events, err)
	}
	if want := []string{textA, textB, textC}; !slices.Equal(r.texts(), want) || len(r.drop.messages) > 0 {
		t.Errorf("%s: in the end %q are stored and %d on the server", what, r.texts(), len(r.drop.messages))
	}
}
