package server

import (
	"bufio"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// compress switches the talker to COMPRESS=DEFLATE.
func (c *talker) compress() *talker {
	c.t.Helper()
	c.play("C: z COMPRESS DEFLATE\nS: z OK *")
	w, err := flate.NewWriter(c.nc, flate.BestSpeed)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nc = &deflated{Conn: c.nc, w: w}
	c.r = bufio.NewReader(flate.NewReader(c.r))
	return c
}

type deflated struct {
	net.Conn
	w *flate.Writer
}

func (d *deflated) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, d.w.Flush()
}

func TestIMAPCompress(t *testing.T) {
	c := talk(t, imapServer(t, Options{}, plainMessage)).login().compress().selectInbox()
	c.play(`
		C: 1 COMPRESS DEFLATE
		S: 1 NO [COMPRESSIONACTIVE] *
		C: 2 APPEND INBOX {4}
		S: + *
		C> "a\r\nb\r\n"
		S. * 2 EXISTS
		S: [*] * RECENT
		S: 2 OK *
		C: 3 FETCH 2 BODY.PEEK[]
		S: [*] 2 FETCH (BODY[] {4}
		S: a
		S: b)
		S: 3 OK *
		C: 4 FROB
		S: 4 BAD *
		C: 5 LOGOUT
		S: [*] BYE *
		S: 5 OK *`)
	if rest, err := io.ReadAll(c.r); err != nil && err != io.ErrUnexpectedEOF || len(rest) > 0 {
		t.Errorf("got %q, %v, want the end", rest, err)
	}
}

func TestIMAPCompressRefused(t *testing.T) {
	c := talk(t, imapServer(t, Options{}, plainMessage))
	c.play("C: 1 COMPRESS DEFLATE\nS: 1 BAD *")
	c.login().play("C: 2 COMPRESS LZ77\nS: 2 BAD *\nC: 3 COMPRESS\nS: 3 BAD *\nC: 4 COMPRESS DEFLATE x\nS: 4 BAD *\n" +
		`C> "5 COMPRESS DEFLATE\r\n6 NOOP\r\n"` + "\nS: 5 BAD *\nS: 6 OK *")
	c.compress().play("C: 7 NOOP\nS: 7 OK *")
}

// TestIMAPCompressIdle: what happens is told while the session waits for the rest of a compressed block.
func TestIMAPCompressIdle(t *testing.T) {
	srv := imapServer(t, Options{}, plainMessage)
	c := talk(t, srv).login().compress().selectInbox()
	c.play("C: 1 IDLE\nS: + *")
	for i := range 3 {
		talk(t, srv).login().command("APPEND INBOX {1+}\r\nx")
		c.play(fmt.Sprintf("S. * %d EXISTS\nS: [*] * RECENT", i+2))
	}
	c.play("C: DONE\nS: 1 OK *\nC: 2 NOOP\nS: 2 OK *")
}

// TestS15_IMAPBomb sends a line and a literal that are a thousandth of their size.
func TestS15_IMAPBomb(t *testing.T) {
	srv := imapServer(t, Options{MaxMessage: 1 << 20})
	c := talk(t, srv).login().compress()
	go io.WriteString(c.nc, strings.Repeat("x", 64<<20)) // ends when the server has closed the connection
	c.play("S: [*] BYE line is too long\nEOF")
	c = talk(t, srv).login().compress()
	c.play("C: 1 APPEND INBOX {2000000}\nS: 1 NO [TOOBIG] *\nC: 2 NOOP\nS: 2 OK *")
}
