package store

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/mail-toolkit/mail/pkg/message"
)

// emlFolder is a folder of .eml files, each a message in wire form. A name is the
// time the message was received and a random part. Files of other programs may be
// in LF form, so one of ours that holds a bare LF has fieldWire in its name.
type emlFolder struct {
	path string
	root *os.Root
	dir  *os.File // to be synced
}

const (
	emlSuffix     = ".eml"
	emlTempPrefix = ".mail-"
	emlTempSuffix = ".tmp"
	randomLen     = 26 // of rand.Text
)

// openEML opens path as a folder and makes it when it is missing.
func openEML(path string) (Sink, error) {
	root, err := openRoot(path)
	if err != nil {
		return nil, err
	}
	dir, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	cleanTemp(root, ".", emlTempPrefix, emlTempSuffix)
	return &emlFolder{path: path, root: root, dir: dir}, nil
}

// Put implements Sink.
func (e *emlFolder) Put(ctx context.Context, wire io.Reader, m Meta) (string, error) {
	base := uniqueName()
	date := m.Date
	if date.IsZero() {
		date = time.Now()
	}
	p := placement{root: e.root, temp: emlTempPrefix + base + emlTempSuffix, date: m.Date}
	write := func(f *os.File) (string, error) {
		var scan message.Scanner
		err := buffered(f, func(w *bufio.Writer) error {
			_, err := copyTo(io.MultiWriter(&scan, w), contextReader{ctx, wire})
			return err
		})
		name := date.UTC().Format("20060102T150405Z") + "-" + base[len(base)-randomLen:]
		if scan.Facts().BareLF {
			name += fieldWire
		}
		return name + emlSuffix, err
	}
	final, err := p.put(write, func(string) *os.File { return e.dir })
	if err != nil {
		return "", err
	}
	return filepath.Join(e.path, final), nil
}

// Close implements Sink.
func (e *emlFolder) Close() error { return errors.Join(e.dir.Close(), e.root.Close()) }
