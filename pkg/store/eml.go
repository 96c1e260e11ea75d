package store

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
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
	if err := e.open(".", e.tempName(e.newName()), "."); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	cleanTemp(e.root, ".", emlTempPrefix, emlTempSuffix)
	return e, nil
}

// Put implements Sink.
func (e *emlFolder) Put(ctx context.Context, wire io.Reader, m Meta) (string, error) {
	return e.put(e.message(ctx, wire, m, freshFile{name: e.newName()}))
}

// Batch implements Sink.
func (e *emlFolder) Batch() Batch { return newFileBatch(e.fileSink, e) }

func (e *emlFolder) newName() string { return e.name.next() }

func (e *emlFolder) tempName(name string) string { return emlTempPrefix + name + emlTempSuffix }

// message writes a message to a temporary file.
func (e *emlFolder) message(ctx context.Context, wire io.Reader, m Meta, file freshFile) (stagedFile, error) {
	date, name := m.Date, file.name
	if date.IsZero() { // the names stay in order
		second, _, _ := strings.Cut(name, ".")
		n, _ := strconv.ParseInt(second, 10, 64) // as namer wrote it
		date = time.Unix(n, 0)
	}
	f, s, err := e.write(ctx, wire, freshFile{e.tempName(name), file.f}, m.Date)
	f.dir, f.final = ".", date.UTC().Format("20060102T150405Z")+"-"+name[len(name)-orderLen:]
	if s.Marked {
		f.final += fieldWire
	}
	f.final += emlSuffix
	return f, err
}
