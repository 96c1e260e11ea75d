package main

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/pop3"
)

// popObject is one message in --json output; the names are those of JMAP where it has them (RFC 8621 §4.1).
type popObject struct {
	Number  int          `json:"number"`
	ID      string       `json:"id,omitempty"`
	IDFlaw  string       `json:"idFlaw,omitempty"` // why there is no id
	Size    int64        `json:"size"`
	SentAt  string       `json:"sentAt,omitempty"`
	From    []popAddress `json:"from,omitempty"`
	Subject *string      `json:"subject,omitempty"`
	Text    *string      `json:"text,omitempty"`
	Path    string       `json:"path,omitempty"`
	Present bool         `json:"present,omitempty"` // it was stored already
	Skipped bool         `json:"skipped,omitempty"` // it is too large
	Error   string       `json:"error,omitempty"`   // why it is left on the server
	Deleted bool         `json:"deleted,omitempty"`
	DryRun  bool         `json:"dryRun,omitempty"`
}

// popAddress is an EmailAddress of JMAP.
type popAddress struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email"`
}

func (m popMessage) object() popObject {
	o := popObject{Number: m.number, Size: m.size, IDFlaw: m.uid.Flaw.String()}
	if m.uid.Flaw == pop3.NoFlaw {
		o.ID = m.uid.ID
	}
	return o
}

// popSummary is what a listing shows of a header.
type popSummary struct {
	date    time.Time // zero: none, or unreadable
	from    []message.Address
	rawFrom string // the field as written, when its addresses cannot be told
	subject string
}

// readSummary reads a header. A header that cannot be read gives an empty summary; only the connection's errors count.
func readSummary(r io.Reader) (popSummary, error) {
	var s popSummary
	h, err := message.ReadHeader(bufio.NewReader(r))
	var bad *message.Error
	if errors.As(err, &bad) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if v, ok := h.Get("Date"); ok {
		s.date, _ = message.ParseDate(v)
	}
	if v, ok := h.Get("From"); ok {
		if s.from, err = message.ParseAddressList(v); err != nil || len(s.from) == 0 {
			s.from, s.rawFrom = nil, message.DecodeWords(v)
		}
	}
	if v, ok := h.Get("Subject"); ok {
		s.subject = message.DecodeWords(v)
	}
	return s, nil
}

// columns are the date, the sender and the subject.
func (s popSummary) columns() []string {
	date := ""
	if !s.date.IsZero() {
		date = s.date.Format(time.RFC3339)
	}
	from := s.rawFrom
	for i, a := range s.from {
		if i > 0 {
			from += ", "
		}
		if a.Name == "" {
			from += a.Addr
		} else {
			from += a.Name + " <" + a.Addr + ">"
		}
	}
	return []string{date, from, s.subject}
}

func (s popSummary) fill(o *popObject) {
	if !s.date.IsZero() {
		o.SentAt = s.date.Format(time.RFC3339)
	}
	for _, a := range s.from {
		o.From = append(o.From, popAddress{Name: valid(a.Name), Email: valid(a.Addr)})
	}
	subject := valid(s.subject)
	o.Subject = &subject
}

// valid makes s fit for JSON.
func valid(s string) string {
	if utf8.ValidString(s) { // looks at many octets at a time
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func (m popMessage) pair() string {
	return strconv.Itoa(m.number) + " " + strconv.FormatInt(m.size, 10)
}
