package smtp

import (
	"io"
	"strconv"
)

const (
	// chunkSize is the largest chunk that is sent before its length or the server's mind is known. A message that fits
	// travels with its envelope in one group.
	chunkSize = 256 << 10
	// chunksAhead is how many chunks of a text of unknown size may be under way.
	chunksAhead = 4
)

// sendChunks sends the text by BDAT (RFC 3030 §2): no dot-stuffing, and no waiting for leave to begin. in holds the
// first piece. A text that fits one chunk goes out at once, with the envelope. For a longer one the replies to the
// envelope and the first chunk are read before the rest is sent.
func (c *Client) sendChunks(t *transaction, in *chunker) error {
	for first := true; !in.last; first = false {
		if err := c.sendChunk(t, in); err != nil {
			return err
		}
		ahead := chunksAhead
		if first {
			ahead = 0
		}
		for len(c.owed) > ahead {
			if err := c.receive(); err != nil {
				return err
			}
		}
		if t.hopeless() {
			return nil
		}
		if t.env.Size > 0 {
			return c.rest(t, in)
		}
		if err := in.next(); err != nil {
			return c.abandon(err)
		}
	}
	return c.sendChunk(t, in)
}

// sendChunk sends the piece in hand as a chunk. Its end is the end of the text when it is the last.
func (c *Client) sendChunk(t *transaction, in *chunker) error {
	if err := c.makeRoom(); err != nil || t.hopeless() {
		return err
	}
	t.texting = true
	c.conn.SetTimeout(c.wait.Block)
	if err := c.conn.WriteLine(bdat(int64(len(in.piece)), in.last)); err != nil {
		return err
	}
	if _, err := c.conn.WriteData(in.piece); err != nil {
		return err
	}
	c.oweChunk(t, in.last)
	return nil
}

func (c *Client) oweChunk(t *transaction, last bool) {
	if last {
		c.oweFinal(t)
		return
	}
	c.owe(owed{t: t, step: stepChunk})
}

func bdat(n int64, last bool) string {
	if last {
		return "BDAT " + strconv.FormatInt(n, 10) + " LAST"
	}
	return "BDAT " + strconv.FormatInt(n, 10)
}

// rest sends all that is left of a text of known size as one chunk. The last piece is held back until the text has
// proved to have that size.
func (c *Client) rest(t *transaction, in *chunker) error {
	c.conn.SetTimeout(c.wait.Block)
	if err := c.conn.WriteLine(bdat(t.env.Size-in.given, true)); err != nil {
		return err
	}
	for {
		if err := in.next(); err != nil {
			return c.abandon(err)
		}
		if _, err := c.conn.WriteData(in.piece); err != nil {
			return err
		}
		if in.last {
			c.oweChunk(t, true)
			return nil
		}
	}
}

// abandon ends the connection in the middle of a transaction, so that nothing of it is committed.
func (c *Client) abandon(err error) error {
	_ = c.conn.Fail(err)
	_ = c.conn.Close()
	return err
}

// chunker cuts the body into pieces and knows of each whether it is the last.
type chunker struct {
	body   *checkedBody
	ends   lineEnds
	binary bool
	buf    []byte // one octet longer than a chunk
	held   int    // octets at the end of buf that belong to the next piece: 0 or 1
	given  int64  // octets of all pieces

	piece []byte // valid until next is called again
	last  bool
}

func (c *Client) chunks(t *transaction, body *checkedBody) *chunker {
	if c.chunk == nil {
		c.chunk = make([]byte, chunkSize+1)
	}
	return &chunker{body: body, binary: t.plan.binary, buf: c.chunk}
}

// next takes the next piece into hand.
func (in *chunker) next() error {
	if in.held > 0 {
		in.buf[0] = in.buf[chunkSize]
	}
	n, err := in.fill(in.held)
	if err != nil {
		return err
	}
	in.held = 0
	if !in.last {
		n, in.held = chunkSize, 1
	}
	in.piece = in.buf[:n]
	in.given += int64(n)
	if in.binary {
		return nil
	}
	if err := in.ends.check(in.piece); err != nil || !in.last {
		return err
	}
	return in.ends.end()
}

// fill reads until buf is full or the body has ended, which only io.EOF says.
func (in *chunker) fill(n int) (int, error) {
	idle := 0
	for n < len(in.buf) {
		got, err := in.body.Read(in.buf[n:])
		n += got
		switch {
		case err == io.EOF:
			in.last = true
			return n, nil
		case err != nil:
			return n, err
		case got > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return n, io.ErrNoProgress
			}
		}
	}
	return n, nil
}
