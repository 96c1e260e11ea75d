package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// emlFolder is a folder of .eml files, each a message in wire form. A name is the
// time the message was received, a count and a random part. Files of other
// programs may be in LF form, so one of ours that holds a bare LF has fieldWire in
// its name.
type emlFolder struct{ *fileSink }

const (
	emlSuffix     = ".eml"
	emlTempPrefix = ".mail-"
	emlTempSuffix = ".tmp"
	orderLen      = 8 + 1 + 26 // of the count and the random part of a name
)

// openEML opens path as a folder and makes it when it is missing.
func openEML(path string) (Sink, error) {
	t, err := newFileSink(path, KindEML)
	if err != nil {
		return nil, err
	}
	e := &emlFolder{t}
	if err := e.open(".", emlTempPrefix+e.name.next()+emlTempSuffix, "."); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	cleanTemp(e.root, ".", emlTempPrefix, emlTempSuffix)
	return e, nil
}

// Put implements Sink.
func (e *emlFolder) Put(ctx context.Context, wire io.Reader, m Meta) (string, error) {
	return e.put(e.message(ctx, wire, m))
}

// Batch implements Sink.
func (e *emlFolder) Batch() Batch { return newFileBatch(e.fileSink, e.message) }

// message writes a message to a temporary file.
func (e *emlFolder) message(ctx context.Context, wire io.Reader, m Meta) (stagedFile, error) {
	base := e.name.next()
	date := m.Date
	if date.IsZero() {
		date = time.Unix(e.name.second, 0) // as in base: the names stay in order
	}
	f, s, err := e.write(ctx, wire, emlTempPrefix+base+emlTempSuffix, m.Date)
	f.dir, f.final = ".", date.UTC().Format("20060102T150405Z")+"-"+base[len(base)-orderLen:]
	if s.Marked {
		f.final += fieldWire
	}
	f.final += emlSuffix
	return f, err
}
