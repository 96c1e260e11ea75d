// Package message treats an RFC 5322 message as bytes: it reads headers
// tolerantly, finds the envelope in them, and knows line ends, addresses, dates,
// identifiers and encoded words.
//
// It never rewrites what it was given: a [Header] keeps the raw octets of every
// field, so that writing an unchanged header reproduces the input byte for byte.
// Readers are tolerant (a bad line never loses the message), writers are strict
// (nothing that could start another header line or another SMTP command is ever
// produced). MIME structure is not treated here.
//
// Two forms of a message occur. In "wire form" lines end in CRLF, in "LF form"
// they end in LF. [ToWire] and [ToLF] convert; the conversion from wire form to
// LF form and back is exact unless [Facts] reports a bare CR or a bare LF.
//
// All parsers run in linear time and have a cap on size, count and depth.
package message

import (
	"strconv"
	"strings"
)

// Caps on what comes from outside.
const (
	// MaxHeaderBytes is the largest header block ReadHeader accepts, in octets.
	MaxHeaderBytes = 1 << 20
	// MaxHeaderFields is the largest number of fields ReadHeader accepts.
	MaxHeaderFields = 10000
	// MaxAddresses is the largest number of addresses in one list.
	MaxAddresses = 100000
	// MaxLineLength is the longest line RFC 5322 §2.1.1 allows, without its line end.
	MaxLineLength = 998

	maxCommentDepth = 100
	maxTokens       = 2000 // words and specials of one address with its name
	maxListBytes    = 2 << 20
)

// Error says what is wrong with a message, a field or an address (bad data, not
// a failure of reading or writing).
type Error struct {
	Field string // name of the header field, "" when not known
	Msg   string // what is wrong
	Text  string // the offending text, shortened, "" when there is none
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Text != "" {
		b.WriteString(" in ")
		b.WriteString(strconv.QuoteToASCII(e.Text))
	}
	return b.String()
}

// bad makes an Error about text, which is shortened to 60 octets.
func bad(msg, text string) *Error {
	const limit = 60
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return &Error{Msg: msg, Text: text}
}
