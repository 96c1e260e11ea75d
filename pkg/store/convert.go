package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Digest is the SHA-256 of a message in wire form.
type Digest [sha256.Size]byte

// Digest reads the message and returns its digest.
func (s *Spool) Digest() (d Digest, err error) {
	h := sha256.New()
	_, err = copyTo(h, s.Wire())
	h.Sum(d[:0])
	return d, err
}

// A batch of Convert is committed when it holds so much.
const (
	convertMessages = 500
	convertOctets   = 32 << 20
)

// ConvertOptions says how Convert works.
type ConvertOptions struct {
	DryRun bool // store nothing
	// Stored is called for each message once it is durable, with where it came from
	// and its name; in a dry run the name is "". An error ends Convert.
	Stored func(from, name string) error
}

// Converted counts what Convert did.
type Converted struct {
	Stored  int // messages stored, or that would be
	Already int // messages that the destination held already
}

// Convert stores all messages of src in the destination dest (see OpenSink), in
// their order, with flags and dates as far as dest can keep them. src is only read.
// Messages that dest holds already, by their digest, are not stored again; of
// messages that are in src several times dest gets as many. So a run that was
// interrupted is completed by the next one.
func Convert(ctx context.Context, src *Source, dest string, o ConvertOptions) (done Converted, err error) {
	have, err := digests(ctx, src, dest)
	if err != nil {
		return done, err
	}
	c := converter{o: o, have: have}
	if !o.DryRun {
		sink, err := OpenSink(dest, SinkOptions{})
		if err != nil {
			return done, err
		}
		defer func() { err = errors.Join(err, sink.Close()) }()
		c.batch = sink.Batch()
		defer func() { err = errors.Join(err, c.batch.Close()) }()
	}
	for m, err := range src.Messages(ctx) {
		if err == nil {
			err = c.message(ctx, m)
		}
		if err != nil {
			return c.done, err
		}
	}
	return c.done, c.commit(ctx)
}

type converter struct {
	o     ConvertOptions
	have  map[Digest]int
	batch Batch // nil in a dry run
	from  []string
	done  Converted
}

// message stages a message, unless it is there already.
func (c *converter) message(ctx context.Context, m *Message) error {
	d, err := m.Digest()
	if err != nil {
		return err
	}
	if c.have[d] > 0 {
		c.have[d]--
		c.done.Already++
		return nil
	}
	c.from = append(c.from, m.Path)
	if c.batch == nil {
		return c.commit(ctx)
	}
	if err := c.batch.Add(ctx, m.Wire(), m.Meta); err != nil {
		return err
	}
	if n, octets := c.batch.Staged(); n < convertMessages && octets < convertOctets {
		return nil
	}
	return c.commit(ctx)
}

// commit makes durable what is staged, and tells of it.
func (c *converter) commit(ctx context.Context) error {
	names := make([]string, len(c.from))
	if c.batch != nil {
		var err error
		if names, err = c.batch.Commit(ctx); err != nil {
			return err
		}
	}
	from := c.from
	c.from = nil
	c.done.Stored += len(names)
	for i, name := range names {
		if c.o.Stored == nil {
			break
		}
		if err := c.o.Stored(from[i], name); err != nil {
			return err
		}
	}
	return nil
}

// digests counts the messages that dest holds. It refuses a dest that is src.
func digests(ctx context.Context, src *Source, dest string) (map[Digest]int, error) {
	have := map[Digest]int{}
	kind, path, _ := strings.Cut(dest, ":")
	st, err := os.Stat(path)
	if dest == "-" || errors.Is(err, fs.ErrNotExist) {
		return have, nil
	}
	if err != nil {
		return nil, err
	}
	if from, err := os.Stat(src.Path); err == nil && os.SameFile(st, from) {
		return nil, &Error{Path: path, Msg: "is the source"}
	}
	if kind == string(KindMaildir) && !isMaildir(path) {
		return have, nil // empty, or refused by OpenSink
	}
	if kind == string(KindMbox) && st.Mode().IsRegular() { // cuts off what an interrupted run left
		sink, err := openMbox(path)
		if err != nil {
			return nil, err
		}
		if err := sink.Close(); err != nil {
			return nil, err
		}
	}
	there, err := OpenSource(dest)
	if err != nil {
		return nil, err
	}
	for m, err := range there.Messages(ctx) {
		if err != nil {
			return nil, err
		}
		d, err := m.Digest()
		if err != nil {
			return nil, err
		}
		have[d]++
	}
	return have, nil
}
