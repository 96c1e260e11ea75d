package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/mimetree"
	"github.com/mail-toolkit/mail/pkg/store"
)

// mimeGarbage is how many percent of what is in use garbage may be when a message is packed or taken apart: little is in use, and many
// parts make much garbage. The usual four megabytes of it would be as much as all the rest but the program.
const mimeGarbage = 25

// mimeCommand is `mail mime`.
func (e *env) mimeCommand() *cli.Command {
	return e.group("mime", "build messages and take them apart",
		e.mimePackCommand(),
		e.mimeUnpackCommand(),
		e.mimeTreeCommand(),
		e.mimeCatCommand(),
		e.mimeHeadersCommand(),
		e.mimeCheckCommand(),
	)
}

// mimePartsHelp is the part of the help about numbers of parts.
const mimePartsHelp = "Parts have the numbers that IMAP gives them: 1, 2, 2.1; a message inside part 2 has parts 2.1, 2.2. A message " +
	"that is no multipart has part 1. TEXT is the whole body of a multipart message, and 2.TEXT that of one inside part 2. The uuencoded " +
	"files between the lines of text part 1 are 1.U1, 1.U2, numbers that IMAP does not have; the text is without them."

// mimeInputHelp is the part of the help about the input.
const mimeInputHelp = "The message is read from FILE or standard input, with lines ended by LF or CR LF. An mboxrd stream, which " +
	"begins with `From `, is several messages."

// eachMessage gives the messages in a file, or on standard input when path is "" or "-". One plain message is not held
// anywhere: it is read as it comes.
func (c *call) eachMessage(ctx context.Context, path string, fn func(r io.Reader) error) error {
	in, err := c.openMessage(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	start := make([]byte, len("From "))
	n, err := io.ReadFull(in, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if n == 0 {
		return codef(exitData, "the input is empty: a message is expected")
	}
	whole := io.MultiReader(bytes.NewReader(start[:n]), in)
	if string(start[:n]) != "From " {
		return fn(whole)
	}
	for m, err := range store.ReadStream(whole) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = fn(m.Open())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openMessage opens a file, or gives standard input.
func (c *call) openMessage(path string) (io.ReadCloser, error) {
	if path != "" && path != "-" {
		return os.Open(path)
	}
	in, err := c.input("a message")
	if err != nil {
		return nil, err
	}
	return io.NopCloser(in), nil
}

// operand is the operand with that index, or "".
func (c *call) operand(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

// partObject is one part in --json output; the names are those of JMAP (RFC 8621 §4.1.4) where it has them.
type partObject struct {
	PartID      string        `json:"partId"`
	Path        string        `json:"path,omitempty"` // the file it was written to
	Size        int64         `json:"size"`           // decoded
	Name        string        `json:"name,omitempty"` // as the sender calls it
	Type        string        `json:"type"`
	Charset     string        `json:"charset,omitempty"`
	Encoding    string        `json:"encoding,omitempty"`
	Disposition string        `json:"disposition,omitempty"`
	SHA256      string        `json:"sha256,omitempty"` // of the file
	Header      *span         `json:"header,omitempty"` // where it stands in the message
	Body        *span         `json:"body,omitempty"`
	CID         string        `json:"cid,omitempty"`
	Defects     []string      `json:"defects,omitempty"`
	SubParts    []*partObject `json:"subParts,omitempty"`
}

// span is a place in a message, in octets.
type span struct {
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
}

func newPartObject(p *mimetree.Part, size int64) *partObject {
	o := &partObject{
		PartID: p.ID, Size: size, Name: valid(p.Filename), Type: p.MediaType, Charset: valid(p.Charset),
		Disposition: p.Disposition, CID: valid(p.ContentID),
	}
	if !p.Container {
		o.Encoding = valid(p.Encoding)
	}
	for _, d := range p.Defects {
		o.Defects = append(o.Defects, valid(d.String()))
	}
	return o
}

// place gives where a part stands in the message, nil for one that is not there as it is.
func place(p *mimetree.Part) (header, body *span) {
	if p.Decoded {
		return nil, nil
	}
	return &span{p.HeaderOffset, p.BodyOffset - p.HeaderOffset}, &span{p.BodyOffset, p.Size}
}

// noteDefects names what is wrong with a part.
func (c *call) noteDefects(p *mimetree.Part) {
	for _, d := range p.Defects {
		c.note("part %s: %s", p.ID, d)
	}
}

// dash is s, or "-" for an empty column.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// partID checks the number of a part and gives it in its usual form.
func partID(s string) (string, error) {
	id := strings.ToUpper(s)
	for i, word := range strings.Split(id, ".") {
		last := len(id) >= len(word) && strings.HasSuffix(id, word) && i == strings.Count(id, ".")
		if word == "TEXT" && last {
			continue
		}
		if last && i > 0 {
			word = strings.TrimPrefix(word, "U")
		}
		if word == "" || strings.Trim(word, "0123456789") != "" || word[0] == '0' {
			return "", usagef("%q is not the number of a part: 1, 1.2, 1.U1 or TEXT is expected", s)
		}
	}
	return id, nil
}

// errNoPart says that no message has the part.
func errNoPart(id string) error {
	return &hinted{notFoundf("there is no part %s", id), "`mail mime tree` shows the parts there are"}
}

// hinted is an error with a next step.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Hint is the next step for the user.
func (h *hinted) Hint() string { return h.hint }

// isLimit tells if a defect means that parts were not looked at.
func isLimit(p *mimetree.Part) bool {
	for _, d := range p.Defects {
		switch d.ID {
		case mimetree.DefectDepthLimit, mimetree.DefectPartLimit, mimetree.DefectHeaderLimit:
			return true
		}
	}
	return false
}
