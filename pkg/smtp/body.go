package smtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/mail-toolkit/mail/pkg/wire"
)

// checkedBody holds a body to what was said about it: its size, 7-bit octets where the server takes no others, and no
// NUL unless it is binary (RFC 6152 §3). Its error comes before the end of the text is sent, so that nothing is
// committed.
type checkedBody struct {
	r      io.Reader
	size   int64 // 0: any
	ascii  bool
	binary bool
	read   int64
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	switch {
	case b.size > 0 && (b.read > b.size || err == io.EOF && b.read < b.size):
		return 0, &BodyError{Msg: fmt.Sprintf("the message was announced with %d octets and has %s", b.size, b.found())}
	case b.ascii && hasEightBit(p[:n]):
		return 0, &CapabilityError{"8BITMIME", "the message has octets above 127 and the server does not offer 8BITMIME, or it was announced as 7-bit"}
	case !b.binary && bytes.IndexByte(p[:n], 0) >= 0:
		return 0, &BodyError{Msg: "the message has a NUL, which only a binary message may hold"}
	}
	return n, err
}

func (b *checkedBody) found() string {
	if b.read > b.size {
		return "more"
	}
	return fmt.Sprint(b.read)
}

func hasEightBit(p []byte) bool {
	const high = 0x8080808080808080
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p)&high != 0 {
			return true
		}
	}
	for _, b := range p {
		if b >= 0x80 {
			return true
		}
	}
	return false
}

// lineEnds refuses a CR or LF that stands alone, over chunks of any size: with BDAT nobody else would.
type lineEnds struct{ cr bool }

func (l *lineEnds) check(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if l.cr && p[0] != '\n' {
		return wire.ErrBareLineEnd
	}
	crs := bytes.Count(p, []byte{'\r'})
	if l.cr {
		crs++
	}
	for at := 0; ; {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			break
		}
		at += i
		if at == 0 && !l.cr || at > 0 && p[at-1] != '\r' {
			return wire.ErrBareLineEnd
		}
		crs--
		at++
	}
	// Every LF has its CR; what is left over stands alone, except at the very end.
	l.cr = p[len(p)-1] == '\r'
	if l.cr {
		crs--
	}
	if crs != 0 {
		return wire.ErrBareLineEnd
	}
	return nil
}

// end is for the end of the text.
func (l *lineEnds) end() error {
	if l.cr {
		return wire.ErrBareLineEnd
	}
	return nil
}
