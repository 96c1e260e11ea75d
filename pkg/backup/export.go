package backup

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/mail-toolkit/mail/pkg/store"
)

// Formats of an export.
const (
	ExportMbox   = "mbox"    // one mboxrd stream, with the flags in the "From " lines
	ExportTar    = "tar"     // files PLACE/NAME.eml in wire form, in the folders of the repository
	ExportTarZst = "tar.zst" // the same, compressed
)

// ExportOptions say what to export, and how.
type ExportOptions struct {
	Selection
	Format string // ExportMbox, ExportTar, ExportTarZst; "" means the first
}

// ExportResult is what an export wrote.
type ExportResult struct {
	Messages int
	Size     int64     // octets of the messages on the wire
	Missing  []Refused // what could not be read, at most 10,000
	Failed   int       // how many that are
}

// Export writes messages to w: by mailbox, and by UID in it. The same snapshot gives
// the same octets. A message whose file is missing or damaged is left out and
// reported. The error is that of w, of the context or of the repository; the result
// tells how far it came.
func (r *Repo) Export(ctx context.Context, w io.Writer, o ExportOptions) (ExportResult, error) {
	e := &exporter{r: r, o: o}
	out, err := newArchive(w, o.Format)
	if err != nil {
		return e.result, err
	}
	if err = e.run(ctx, out); err == nil {
		err = out.close()
	}
	return e.result, err
}

// archive takes the messages of an export.
type archive interface {
	mailbox(m *Mailbox) error
	message(ctx context.Context, m *Message, sm *store.Message) error
	close() error
}

func newArchive(w io.Writer, format string) (archive, error) {
	switch format {
	case "", ExportMbox:
		sink, err := store.OpenSink("-", store.SinkOptions{Stdout: w, Many: true, Flags: true})
		return &mboxArchive{sink: sink}, err
	case ExportTar:
		return &tarArchive{tar: tar.NewWriter(w)}, nil
	case ExportTarZst:
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return nil, err
		}
		return &tarArchive{tar: tar.NewWriter(z), under: z}, nil
	}
	return nil, fmt.Errorf("no format %q to export to: %s, %s or %s", shorten(format), ExportMbox, ExportTar, ExportTarZst)
}

// exporter is one Export.
type exporter struct {
	r      *Repo
	o      ExportOptions
	result ExportResult
}

func (e *exporter) run(ctx context.Context, out archive) error {
	x, damage, err := e.r.index(e.o.At)
	if err != nil {
		return err
	}
	for _, n := range x.boxNumbers(false) {
		info, _ := x.info(n)
		if !patterns(e.o.Patterns).match(info.Mailbox.Name, info.Mailbox.Delim) {
			continue
		}
		if err := out.mailbox(info.Mailbox); err != nil {
			return err
		}
		for i := range x.present(n) {
			m, err := x.message(i)
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && e.o.within(m) {
				err = e.one(ctx, out, m)
			}
			if err != nil {
				return err
			}
		}
	}
	return damage
}

// one writes a message.
func (e *exporter) one(ctx context.Context, out archive, m *Message) error {
	sm, err := e.r.sound(m)
	if err != nil {
		if e.result.Failed++; len(e.result.Missing) < maxMissing {
			e.result.Missing = append(e.result.Missing, Refused{UID: m.UID, UIDL: m.UIDL, File: m.File, Err: err})
		}
		return nil
	}
	defer sm.Close()
	if e.o.Match != nil && !e.o.Match(m, sm) {
		return nil
	}
	if err := out.message(ctx, m, sm); err != nil {
		return err
	}
	e.result.Messages++
	e.result.Size += m.Size
	return nil
}

// stableDate is the date of a message for an archive, that of 1970 where none is
// known.
func stableDate(m *Message) time.Time {
	if m.Date.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return time.Unix(m.Date.Unix(), 0).UTC()
}

// mboxArchive is an mboxrd stream.
type mboxArchive struct{ sink store.Sink }

func (a *mboxArchive) mailbox(*Mailbox) error { return nil }

func (a *mboxArchive) message(ctx context.Context, m *Message, sm *store.Message) error {
	_, err := a.sink.Put(ctx, sm.Wire(), store.Meta{Date: stableDate(m), Flags: m.Flags})
	return err
}

func (a *mboxArchive) close() error { return a.sink.Close() }

// tarArchive is a tar archive of .eml files.
type tarArchive struct {
	tar   *tar.Writer
	under io.Closer // what it is written through, nil for nothing
	dir   string
}

func (a *tarArchive) mailbox(m *Mailbox) error {
	a.dir = m.Dir + "/"
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: a.dir, Mode: 0o700, ModTime: time.Unix(0, 0)})
}

func (a *tarArchive) message(_ context.Context, m *Message, sm *store.Message) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: a.dir + strings.TrimSuffix(m.File, emlSuffix) + emlSuffix, Mode: 0o600, Size: m.Size, ModTime: stableDate(m)}
	if err := a.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(a.tar, sm.Wire())
	return err
}

func (a *tarArchive) close() error {
	err := a.tar.Close()
	if err == nil && a.under != nil {
		err = a.under.Close()
	}
	return err
}
