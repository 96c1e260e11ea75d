// Package store keeps mail on disk: Maildir, mbox and folders of .eml files, and
// the same formats in pipes. It reads them back octet for octet.
//
// Line ends. On the wire lines end in CRLF; in pipes, Maildir and mbox they end
// in LF; .eml files hold the octets of the wire. The conversion is undone exactly
// when a message is read back. A message that holds a bare CR or a bare LF would
// not survive it, so it is kept in wire form and marked:
//
//   - in an mbox by the word "wire" at the end of its "From " line,
//   - in a Maildir by the field ",X=wire" in its file name, and likewise in a folder
//     of .eml files if it holds a bare LF (files of other programs may be in LF form).
//
// An mbox cannot say that a message has no line end at its end; then the "From "
// line ends in the word "noeol" (before "wire" if both are there), and the line
// end before the separating blank line is not part of the message.
//
// An mbox has the flags of a message in its "From " line too, as a word like
// "flags=\Seen,work". When an mbox of another program is read, they are those of
// the fields Status, X-Status and X-Keywords.
//
// An mbox is of the mboxrd kind: every line of a message that matches "^>*From "
// gets one more ">" in front, and loses it again when read.
//
// Writing is durable: when Put returns, the message is on disk under its final
// name, and a message that could not be written whole is nowhere. A Batch does
// that for many messages at once. Files are made with mode 0600, directories with
// 0700, whatever the umask is.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Meta is what is known about a message beside its octets.
type Meta struct {
	Date  time.Time // when the server received it; zero: not known
	Flags []string  // IMAP names: \Seen, \Answered, \Flagged, \Deleted, \Draft, $Forwarded
	From  string    // envelope sender, "" for none
}

// Sink takes messages. A Sink belongs to one goroutine.
type Sink interface {
	// Put stores the message that wire gives in wire form, read to its end. When
	// it returns without error the message is durable under the name returned (a
	// path, "FILE@OFFSET" in an mbox, or "-"). After an error, be it of wire, of the
	// disk or of ctx, nothing of the message is left behind; on stdout a part of it
	// may have been written if writing itself failed.
	Put(ctx context.Context, wire io.Reader, m Meta) (name string, err error)
	// Batch begins a batch.
	Batch() Batch
	// Close releases the sink. It does not close the writer of SinkOptions.
	Close() error
}

// SinkOptions says how messages are written.
type SinkOptions struct {
	Stdout io.Writer // where "-" writes to
	CRLF   bool      // "-": wire form
	Many   bool      // "-": an mboxrd stream rather than one plain message
	Flags  bool      // "-": with flags in the "From " lines of a stream, as an mbox has them
}

// Error says that a destination or a source is not what it is said to be.
type Error struct {
	Path string
	Msg  string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Msg) }

// OpenSink opens a destination: "-" (standard output), "maildir:DIR", "mbox:FILE"
// or "eml:DIR". A directory or file that is missing is made, its parent must be
// there. A bad destination is an *Error.
func OpenSink(dest string, o SinkOptions) (Sink, error) {
	if dest == "-" {
		if o.Stdout == nil {
			return nil, errors.New("no standard output to write to")
		}
		return &stdoutSink{w: o.Stdout, o: o}, nil
	}
	kind, path, ok := strings.Cut(dest, ":")
	if ok && path != "" && !strings.ContainsRune(path, 0) {
		switch kind {
		case "maildir":
			return openMaildir(path)
		case "mbox":
			return openMbox(path)
		case "eml":
			return openEML(path)
		}
	}
	return nil, &Error{Path: dest, Msg: "not a destination (want -, maildir:DIR, mbox:FILE or eml:DIR)"}
}

// contextReader ends with the error of ctx once that is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
