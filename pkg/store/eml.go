package store

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"github.com/mail-toolkit/mail/pkg/message"
)

// emlFolder is a folder of .eml files, each a message in wire form. A name is the
// time the message was received, a count and a random part. Files of other
// programs may be in LF form, so one of ours that holds a bare LF has fieldWire in
// its name.
type emlFolder struct{ tree }

const (
	emlSuffix     = ".eml"
	emlTempPrefix = ".mail-"
	emlTempSuffix = ".tmp"
	orderLen      = 8 + 1 + 26 // of the count and the random part of a name
)

// openEML opens path as a folder and makes it when it is missing.
func openEML(path string) (Sink, error) {
	t, err := newTree(path)
	if err != nil {
		return nil, err
	}
	e := &emlFolder{tree: t}
	if err := e.openDir("."); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	cleanTemp(e.root, ".", emlTempPrefix, emlTempSuffix)
	return e, nil
}

// Put implements Sink.
func (e *emlFolder) Put(ctx context.Context, wire io.Reader, m Meta) (string, error) {
	return e.put(e.stage(ctx, wire, m))
}

// Batch implements Sink.
func (e *emlFolder) Batch() Batch { return newFileBatch(&e.tree, e.stage) }

// stage writes a message to a temporary file.
func (e *emlFolder) stage(ctx context.Context, wire io.Reader, m Meta) (stagedFile, error) {
	base := e.name.next()
	date := m.Date
	if date.IsZero() {
		date = time.Now()
	}
	return e.tree.stage(emlTempPrefix+base+emlTempSuffix, m.Date, func(f io.Writer) (string, int64, error) {
		var scan message.Scanner
		err := buffered(f, func(w *bufio.Writer) error {
			_, err := copyTo(io.MultiWriter(&scan, w), contextReader{ctx, wire})
			return err
		})
		name := date.UTC().Format("20060102T150405Z") + "-" + base[len(base)-orderLen:]
		if scan.Facts().BareLF {
			name += fieldWire
		}
		return name + emlSuffix, scan.Facts().Size, err
	})
}
