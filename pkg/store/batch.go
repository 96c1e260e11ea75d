package store

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
)

// Batch stores many messages that become durable together, at the price of a few
// syncs for all of them. A Batch belongs to the goroutine of its Sink, must be
// closed before it, and one is in use at a time.
//
// Until Commit has returned without error no message of the batch may be
// acknowledged, recorded as stored or deleted elsewhere. Of a process that dies
// before that, a Maildir or a folder of .eml files keeps temporary files (which a
// later run removes when they are 36 hours old), and, if it dies during Commit, some
// of the messages, whole; an mbox keeps nothing, its next user cuts it back.
type Batch interface {
	// Add stages the message that wire gives in wire form, read to its end. After an
	// error of wire or ctx the message is not in the batch, and the others still
	// are. An error of the disk may spoil the batch, and then Commit fails.
	Add(ctx context.Context, wire io.Reader, m Meta) error
	// Staged is the number of messages in the batch, and of their octets in wire
	// form: what a caller looks at to decide when to commit.
	Staged() (messages int, octets int64)
	// Commit makes all staged messages durable and visible, and returns their
	// names (see Sink.Put) in the order in which they were added. After an error
	// none of them is stored, but on a standard output. In both cases the batch is
	// empty afterwards and can be used again.
	Commit(ctx context.Context) (names []string, err error)
	// Close drops what was not committed.
	Close() error
}

// Detacher is a Batch that can take more messages while those before are committed.
type Detacher interface {
	Batch
	// Detach empties the batch and returns what was in it, to be committed or closed
	// by any goroutine, before the Sink is closed. Nothing can be added to it.
	Detach() Batch
}

// Staged files are held open until they are synced, several at a time: the disk
// writes one record for those that wait together. Where one sync of the whole file
// system does it for all, that is better for more than a few.
const (
	maxOpenFiles  = 64
	fewFiles      = 8
	parallelSyncs = 16
	writeSoon     = 32 << 10 // octets from which on a file is not left to the sync of all
)

// fileNaming is what one kind of fileSink does in its own way.
type fileNaming interface {
	newName() string             // for a message, as its other names begin or end
	tempName(name string) string // of its temporary file
	message(ctx context.Context, wire io.Reader, m Meta, file freshFile) (stagedFile, error)
}

// freshFile is what a message is written to. f is nil when it has not been made.
type freshFile struct {
	name string // of newName
	f    *os.File
}

// fileBatch is a Batch of a fileSink.
type fileBatch struct {
	t       *fileSink
	names   fileNaming
	whole   bool // one sync of the whole file system does it
	maxOpen int
	files   []stagedFile
	pending int // files[pending:] are open and not synced
	octets  int64
	next    <-chan madeFile // for the next message; nil: not being made
	over    bool            // detached
	err     error           // what spoils the batch
}

// madeFile is what came of making a file.
type madeFile struct {
	freshFile
	err error
}

func newFileBatch(t *fileSink, names fileNaming) *fileBatch {
	if t.whole {
		return &fileBatch{t: t, names: names, whole: true, maxOpen: fewFiles}
	}
	return &fileBatch{t: t, names: names, maxOpen: maxOpenFiles}
}

// Add implements Batch.
func (b *fileBatch) Add(ctx context.Context, wire io.Reader, m Meta) error {
	if b.err != nil {
		return b.err
	}
	if len(b.files)-b.pending >= b.maxOpen {
		if b.err = b.settle(); b.err != nil {
			return b.err
		}
	}
	if b.over {
		return errDetached
	}
	file, err := b.take()
	if err != nil {
		return err
	}
	if len(b.files) > 0 { // one message is often all
		b.makeNext()
	}
	s, err := b.names.message(ctx, wire, m, file)
	if err != nil {
		return err
	}
	b.files = append(b.files, s)
	b.octets += s.size
	return nil
}

// makeNext begins to make the file of the next message: that takes some file systems
// longer than to fill it.
func (b *fileBatch) makeNext() {
	made := make(chan madeFile, 1)
	b.next = made
	file := freshFile{name: b.names.newName()}
	go func() {
		var err error
		file.f, err = b.t.disk.create(b.t.temp, b.names.tempName(file.name))
		made <- madeFile{file, err}
	}()
}

// take returns the file for a message.
func (b *fileBatch) take() (freshFile, error) {
	if b.next == nil {
		return freshFile{name: b.names.newName()}, nil
	}
	made := <-b.next
	b.next = nil
	return made.freshFile, made.err
}

// dropNext removes a file that no message came for. What cannot be removed is left
// like the file of a dead process.
func (b *fileBatch) dropNext() {
	if b.next == nil {
		return
	}
	if file, err := b.take(); err == nil {
		_ = b.t.discard(file.f, b.names.tempName(file.name))
	}
}

// Detach implements Detacher.
func (b *fileBatch) Detach() Batch {
	d := *b
	d.next, d.over = nil, true
	b.reset()
	return &d
}

var errDetached = errors.New("nothing can be added to a batch that was detached")

// settle closes the open files, synced unless Commit will do that for all.
func (b *fileBatch) settle() error {
	open := b.files[b.pending:]
	b.pending = len(b.files)
	if !b.whole {
		return b.t.syncAll(open)
	}
	var errs []error
	for i := range open {
		if open[i].size >= writeSoon {
			startWriting(open[i].f)
		}
		errs = append(errs, open[i].close())
	}
	return errors.Join(errs...)
}

// Staged implements Batch.
func (b *fileBatch) Staged() (int, int64) { return len(b.files), b.octets }

// Commit implements Batch.
func (b *fileBatch) Commit(ctx context.Context) ([]string, error) {
	b.dropNext()
	if err := errors.Join(b.err, ctx.Err()); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := b.sync(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	files := b.files
	b.reset()
	return b.t.publish(files)
}

// sync makes all files durable.
func (b *fileBatch) sync() error {
	if b.pending == 0 || !b.whole { // few, or most of them done
		return b.t.syncAll(b.files[b.pending:])
	}
	if err := b.settle(); err != nil {
		return err
	}
	return b.t.disk.syncWhole(b.t.self)
}

// Close implements Batch.
func (b *fileBatch) Close() error {
	b.dropNext()
	files := b.files
	b.reset()
	return b.t.withdraw(files, 0)
}

func (b *fileBatch) reset() { b.files, b.pending, b.octets, b.err = nil, 0, 0, nil }

// syncAll syncs and closes files, several at a time.
func (t *fileSink) syncAll(files []stagedFile) error {
	errs := make([]error, len(files))
	var group sync.WaitGroup
	for first := range min(parallelSyncs, len(files)) {
		group.Go(func() {
			for i := first; i < len(files); i += parallelSyncs {
				errs[i] = t.sync(&files[i])
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// mboxBatch is a Batch of an mbox: what will be appended, in memory or a temporary
// file. The mbox itself is locked and written by Commit only.
type mboxBatch struct {
	m      *mbox
	w      *spoolWriter
	plan   planWriter
	starts []int64 // of the messages
	octets int64
	err    error
}

// Add implements Batch.
func (b *mboxBatch) Add(ctx context.Context, wire io.Reader, meta Meta) error {
	if b.err != nil {
		return b.err
	}
	sp, err := NewWireSpool(contextReader{ctx, wire})
	if err != nil {
		return err
	}
	defer sp.Close()
	if b.w == nil {
		b.w = newSpoolWriter()
	}
	start := b.plan.n
	if b.err = writeMbox(io.MultiWriter(b.w, &b.plan), sp, meta, false); b.err != nil {
		return b.err
	}
	b.starts = append(b.starts, start)
	b.octets += sp.WireSize()
	return nil
}

// Staged implements Batch.
func (b *mboxBatch) Staged() (int, int64) { return len(b.starts), b.octets }

// Commit implements Batch.
func (b *mboxBatch) Commit(ctx context.Context) ([]string, error) {
	defer b.reset()
	if err := errors.Join(b.err, ctx.Err()); err != nil || len(b.starts) == 0 {
		return nil, err
	}
	staged, err := b.w.source()
	if err != nil {
		return nil, err
	}
	at, err := b.m.append(ctx, b.plan, func(w io.Writer) error {
		_, err := copyTo(w, io.NewSectionReader(staged, 0, b.plan.n))
		return err
	})
	if err != nil {
		return nil, err
	}
	names := make([]string, len(b.starts))
	for i, start := range b.starts {
		names[i] = b.m.name(at + start)
	}
	return names, nil
}

// Close implements Batch.
func (b *mboxBatch) Close() error {
	b.reset()
	return nil
}

func (b *mboxBatch) reset() {
	if b.w != nil {
		b.w.discard()
	}
	*b = mboxBatch{m: b.m}
}

// stdoutBatch writes at once and syncs in the end.
type stdoutBatch struct {
	s      *stdoutSink
	names  []string
	octets int64
}

// Add implements Batch.
func (b *stdoutBatch) Add(ctx context.Context, wire io.Reader, m Meta) error {
	n, err := b.s.put(ctx, wire, m)
	if err != nil {
		return err
	}
	b.names = append(b.names, "-")
	b.octets += n
	return nil
}

// Staged implements Batch.
func (b *stdoutBatch) Staged() (int, int64) { return len(b.names), b.octets }

// Commit implements Batch.
func (b *stdoutBatch) Commit(context.Context) ([]string, error) {
	names := b.names
	b.names, b.octets = nil, 0
	if err := b.s.sync(); err != nil {
		return nil, err
	}
	return names, nil
}

// Close implements Batch.
func (b *stdoutBatch) Close() error { return nil }
