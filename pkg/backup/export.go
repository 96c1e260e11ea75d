package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/mail-toolkit/mail/pkg/store"
)

// Formats of an export.
const (
	ExportMbox   = "mbox"    // one mboxrd stream, with the flags in the "From " lines
	ExportTar    = "tar"     // Maildirs in the folders of the repository, whatever its format
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
	mailbox(m *Mailbox, keywords []string) error
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
		if err := out.mailbox(info.Mailbox, x.keywords(n)); err != nil {
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

// keywords returns the keywords that messages present in a mailbox have, sorted; the
// first of them that a Maildir has letters for.
func (x *index) keywords(box uint32) []string {
	set := map[string]bool{}
	for i := range x.present(box) {
		flags, _ := x.marksOf(i)
		for _, f := range flags {
			if isKeyword(f) {
				set[f] = true
			}
		}
	}
	list := slices.Sorted(maps.Keys(set))
	return list[:min(len(list), maxKeywords)]
}

// isKeyword reports whether a flag needs a line in keywordsFile, and can have one.
func isKeyword(flag string) bool {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f }
	return flag != "" && flag[0] != '\\' && infoLetters([]string{flag}) == "" && len(flag) <= maxKeyword && strings.IndexFunc(flag, bad) < 0
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

func (a *mboxArchive) mailbox(*Mailbox, []string) error { return nil }

func (a *mboxArchive) message(ctx context.Context, m *Message, sm *store.Message) error {
	_, err := a.sink.Put(ctx, sm.Wire(), store.Meta{Date: stableDate(m), Flags: m.Flags})
	return err
}

func (a *mboxArchive) close() error { return a.sink.Close() }

// tarArchive is a tar archive of Maildirs, with the keywords as Dovecot has them.
type tarArchive struct {
	tar      *tar.Writer
	under    io.Closer // what it is written through, nil for nothing
	dir      string
	keywords []string
}

func (a *tarArchive) mailbox(m *Mailbox, keywords []string) error {
	a.dir, a.keywords = m.Dir+"/", keywords
	for _, sub := range [...]string{"", "cur/", "new/", "tmp/"} {
		if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: a.dir + sub, Mode: 0o700, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	if len(keywords) == 0 {
		return nil
	}
	var b strings.Builder
	for n, word := range keywords {
		fmt.Fprintf(&b, "%d %s\n", n, word)
	}
	return a.file(keywordsFile, time.Unix(0, 0), int64(b.Len()), strings.NewReader(b.String()))
}

func (a *tarArchive) file(name string, date time.Time, size int64, from io.Reader) error {
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: a.dir + name, Mode: 0o600, Size: size, ModTime: date}); err != nil {
		return err
	}
	_, err := copyAll(a.tar, from)
	return err
}

func (a *tarArchive) message(_ context.Context, m *Message, sm *store.Message) error {
	base, size, from := m.File, sm.Size(), io.Reader(sm.Open())
	if strings.HasSuffix(m.File, emlSuffix) {
		form := sm.Wire
		if sm.Facts().Reversible() {
			form = sm.LF
		}
		h := sha256.New()
		n, err := copyAll(h, form())
		if err != nil {
			return err
		}
		stored := *m
		stored.Digest, size, from = store.Digest(h.Sum(nil)), n, form()
		base = factsOf(&stored, size, !sm.Facts().Reversible()).name()
	}
	return a.file("cur/"+base+":2,"+infoLetters(m.Flags)+a.letters(m.Flags), stableDate(m), size, from)
}

// letters returns the letters of keywords.
func (a *tarArchive) letters(flags []string) string {
	var b []byte
	for n, word := range a.keywords {
		if slices.Contains(flags, word) {
			b = append(b, 'a'+byte(n))
		}
	}
	return string(b)
}

func (a *tarArchive) close() error {
	err := a.tar.Close()
	if err == nil && a.under != nil {
		err = a.under.Close()
	}
	return err
}
