package wire

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/mail-toolkit/mail/pkg/wire/inflate"
)

// StartDeflate compresses both directions from here on (RFC 4978), after the server agreed to it: what the server sent
// behind its agreement is compressed already. What was written and not yet sent goes out as it is. The trace shows what
// the compression holds, and caps count it: lines, literals and texts have the limits that they have without
// compression, and nothing is decompressed before it is read, so a small stream that stands for a huge one (1032:1 at
// most, by the format) takes no more memory than another. Input that stands for nothing ends with the idle time.
//
// Data that cannot be decompressed is a *ProtocolError. When compression is active already, that is an *ArgumentError
// and nothing changes.
func (c *Conn) StartDeflate() error {
	if c.err != nil {
		return c.err
	}
	if _, active := c.nc.(*deflated); active {
		return &ArgumentError{Msg: "compression is active already"}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	d := &deflated{Conn: c.nc, packed: bufio.NewWriterSize(c.nc, 16<<10)}
	early := io.MultiReader(bytes.NewReader(bytes.Clone(c.rbuf[c.rpos:c.rend])), c.nc)
	d.in = inflate.NewReader(early)
	var err error
	if d.out, err = flate.NewWriter(d.packed, flate.BestSpeed); err != nil {
		return err
	}
	c.mu.Lock()
	c.nc = d
	c.mu.Unlock()
	c.rpos, c.rend = 0, 0
	c.Note("compression by DEFLATE")
	return nil
}

// AcceptDeflate is the server's side of StartDeflate; the agreement is written before. Octets that the client sent
// before it had the agreement are a *ProtocolError: whether they are compressed cannot be told (RFC 4978 §3).
func (c *Conn) AcceptDeflate() error {
	if n := c.Buffered(); c.err == nil && n > 0 {
		return c.Fail(&ProtocolError{Msg: fmt.Sprintf("%d octets came before the agreement to compress", n)})
	}
	return c.StartDeflate()
}

// deflated is a connection with compression over it. Deadlines are those of the connection.
type deflated struct {
	net.Conn
	in     *inflate.Reader
	out    *flate.Writer
	packed *bufio.Writer // gathers the small pieces that out makes
}

// Read gives what the peer compressed. Peers end the connection, not the compressed stream; both are io.EOF.
func (d *deflated) Read(p []byte) (int, error) {
	n, err := d.in.Read(p)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = io.EOF
	case errors.Is(err, inflate.ErrCorrupt):
		err = &ProtocolError{Msg: err.Error()}
	}
	return n, err
}

// Write sends p so that the peer can decompress all of it. After an error it cannot be told how much of p got through:
// all of it may have.
func (d *deflated) Write(p []byte) (int, error) {
	_, err := d.out.Write(p)
	if err == nil {
		err = d.out.Flush()
	}
	if err == nil {
		err = d.packed.Flush()
	}
	return len(p), err
}
