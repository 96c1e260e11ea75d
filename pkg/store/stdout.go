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
	if s.err != nil {
		return "", s.err
	}
	if s.done && !s.o.Many {
		return "", errors.New("more than one message for a plain output")
	}
	sp, err := NewWireSpool(contextReader{ctx, wire})
	if err != nil {
		return "", err
	}
	defer sp.Close()
	s.done = true
	if err := s.write(sp, m); err != nil {
		s.err = err
		return "", err
	}
	return "-", nil
}

func (s *stdoutSink) write(sp *Spool, m Meta) error {
	err := buffered(s.w, func(w *bufio.Writer) (err error) {
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
	if err != nil {
		return err
	}
	if f, ok := s.w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			return f.Sync()
		}
	}
	return nil
}

// Close implements Sink.
func (s *stdoutSink) Close() error { return nil }
