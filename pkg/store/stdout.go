package store

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
)

// stdoutSink writes to a pipe or a file that the caller opened.
type stdoutSink struct {
	w    io.Writer
	o    SinkOptions
	done bool
	err  error // the stream is broken
}

// Put implements Sink. All of the message is there before its first octet goes
// out, and a file is synced.
func (s *stdoutSink) Put(ctx context.Context, wire io.Reader, m Meta) (string, error) {
	if _, err := s.put(ctx, wire, m); err != nil {
		return "", err
	}
	return "-", s.sync()
}

// Batch implements Sink.
func (s *stdoutSink) Batch() Batch { return &stdoutBatch{s: s} }

// put writes a message and returns its octets in wire form.
func (s *stdoutSink) put(ctx context.Context, wire io.Reader, m Meta) (int64, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.done && !s.o.Many {
		return 0, errors.New("more than one message for a plain output")
	}
	sp, err := NewWireSpool(contextReader{ctx, wire})
	if err != nil {
		return 0, err
	}
	defer sp.Close()
	s.done = true
	s.err = s.write(sp, m)
	return sp.WireSize(), s.err
}

func (s *stdoutSink) write(sp *Spool, m Meta) error {
	if !s.o.Flags {
		m.Flags = nil
	}
	return buffered(s.w, func(w *bufio.Writer) (err error) {
		switch {
		case s.o.Many:
			err = writeMbox(w, sp, m, s.o.CRLF)
		case s.o.CRLF || !sp.Facts().Reversible():
			_, err = copyTo(w, sp.Wire())
		default:
			_, err = copyTo(w, sp.LF())
		}
		return err
	})
}

// sync makes a file durable.
func (s *stdoutSink) sync() error {
	f, ok := s.w.(*os.File)
	if !ok || s.err != nil {
		return s.err
	}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		s.err = f.Sync()
	}
	return s.err
}

// Close implements Sink.
func (s *stdoutSink) Close() error { return nil }
