package mimetree

import (
	"fmt"
	"slices"
)

// DefectID names one kind of defect. The names are stable: scripts may compare them.
type DefectID string

// The defects a walk or a decoder can report.
const (
	DefectBase64Junk       DefectID = "base64-junk"           // characters outside the alphabet, skipped
	DefectBase64Trailing   DefectID = "base64-trailing-data"  // data after the padding, dropped
	DefectBase64NoPadding  DefectID = "base64-no-padding"     // the last group lacks its padding
	DefectBase64Truncated  DefectID = "base64-truncated"      // the end is a fragment of a group, dropped
	DefectQPInvalid        DefectID = "qp-invalid-escape"     // "=" not followed by two hexadecimal digits, kept
	DefectUUInvalid        DefectID = "uuencode-invalid"      // no begin or end line, or a line that does not fit its length
	DefectUnknownEncoding  DefectID = "unknown-encoding"      // Content-Transfer-Encoding not known, body kept as it is
	DefectEightBit         DefectID = "8bit-in-7bit"          // octets above 127 in a body that says 7bit
	DefectEncodedComposite DefectID = "encoded-composite"     // multipart or message with base64 or quoted-printable
	DefectUnknownCharset   DefectID = "unknown-charset"       // text taken as UTF-8
	DefectCharsetInvalid   DefectID = "charset-invalid"       // octets that are nothing in the charset became U+FFFD
	DefectNoBoundary       DefectID = "boundary-missing"      // multipart without a usable boundary, kept as a leaf
	DefectBoundaryLong     DefectID = "boundary-too-long"     // more than 70 characters
	DefectBoundaryChars    DefectID = "boundary-characters"   // characters that a boundary may not have, or a blank at its end
	DefectBoundaryReused   DefectID = "boundary-reused"       // the boundary of a multipart around it
	DefectBoundaryPrefix   DefectID = "boundary-prefix"       // one boundary begins with that of a multipart around it, or the other way round
	DefectBoundaryNear     DefectID = "boundary-near"         // a line begins like a delimiter but is none
	DefectBoundaryAfter    DefectID = "boundary-after-close"  // a delimiter line after the close delimiter, passed over
	DefectNoParts          DefectID = "multipart-empty"       // no delimiter line was found
	DefectNoClose          DefectID = "close-missing"         // the close delimiter is missing
	DefectDepthLimit       DefectID = "depth-limit"           // nested deeper than the limit, kept as an opaque leaf
	DefectPartLimit        DefectID = "part-limit"            // more parts than the limit, the rest is one opaque part
	DefectHeaderLimit      DefectID = "header-limit"          // header fields beyond the limit were dropped
	DefectHeaderNoBlank    DefectID = "header-end-missing"    // no blank line between header and body
	DefectHeaderLine       DefectID = "header-line-malformed" // a line in the header is not a field
	DefectDuplicateField   DefectID = "duplicate-field"       // two Content-Type (or other MIME) fields, the first is used
	DefectMediaType        DefectID = "media-type-invalid"    // Content-Type cannot be read, text/plain is taken
	DefectParameter        DefectID = "parameter-malformed"   // a parameter that does not follow the grammar
	DefectParameterDup     DefectID = "parameter-duplicate"   // the same parameter twice, the first is used
	DefectParameterForm    DefectID = "parameter-conflict"    // name and name* differ, name* is used
	DefectParameterGap     DefectID = "parameter-gap"         // a numbered piece is missing, the rest is dropped
	DefectParameterWord    DefectID = "parameter-encoded"     // encoded words inside a parameter, decoded
	DefectParameterLimit   DefectID = "parameter-limit"       // more than 1,000 pieces, the rest is dropped
)

// The defects that only [Check] looks for, since they hinder no reading.
const (
	DefectNUL            DefectID = "nul"                   // octets 0
	DefectBareCR         DefectID = "bare-cr"               // CR without LF
	DefectBareLF         DefectID = "bare-lf"               // LF without CR in a message whose lines end in CR LF
	DefectMixedLineEnds  DefectID = "line-ends-mixed"       // CR LF in a message whose lines end in LF
	DefectLineLong       DefectID = "line-too-long"         // lines of more than 998 octets
	DefectUuencodedFile  DefectID = "uuencoded-file"        // a file between the lines of a text, which some programs take out and others do not
	DefectEncodingClass  DefectID = "encoding-conflict"     // a container says less than a part inside needs: 7bit around 8bit
	DefectFilename       DefectID = "filename-conflict"     // filename and name differ
	DefectFilenameUnsafe DefectID = "filename-unsafe"       // a name with separators or with characters that do not show
	DefectContentID      DefectID = "content-id-duplicate"  // two parts have one Content-ID
	DefectFieldName      DefectID = "field-name-invalid"    // characters that a field name cannot have
	DefectHeaderEightBit DefectID = "header-8bit"           // octets above 127 in a field, which need SMTPUTF8 at best
	DefectHeaderControl  DefectID = "header-control"        // control characters in a field
	DefectObsolete       DefectID = "obsolete-syntax"       // what RFC 5322 §4 has for old messages only
	DefectMboxLine       DefectID = "mbox-line"             // a "From " line above the header
	DefectMIMEVersion    DefectID = "mime-version-invalid"  // a message with MIME fields and without MIME-Version: 1.0
	DefectDateMissing    DefectID = "date-missing"          // no Date in a message that is no draft
	DefectDateInvalid    DefectID = "date-invalid"          // a date that cannot be read
	DefectFromMissing    DefectID = "from-missing"          // no From in a message that is no draft
	DefectSenderMissing  DefectID = "sender-missing"        // several authors and no Sender
	DefectAddressInvalid DefectID = "address-invalid"       // addresses that cannot be read, or in two ways
	DefectMessageID      DefectID = "message-id-invalid"    // not one <left@right>
	DefectWordInvalid    DefectID = "encoded-word-invalid"  // an encoded word that cannot be decoded by itself
	DefectWordLong       DefectID = "encoded-word-too-long" // more than 75 characters
	DefectWordPlace      DefectID = "encoded-word-place"    // where none may be: inside quotes, an address, a word
	DefectWordControl    DefectID = "encoded-word-control"  // control characters in what it stands for
)

// Defect is one departure from the standards that reading tolerated.
type Defect struct {
	ID     DefectID // what kind
	Detail string   // a few words, possibly with bytes of the message in quoted form; may be empty
}

// String gives "id" or "id: detail".
func (d Defect) String() string {
	if d.Detail == "" {
		return string(d.ID)
	}
	return string(d.ID) + ": " + d.Detail
}

// maxDefects bounds the defects kept for one part.
const maxDefects = 32

// addDefect appends a defect unless one of the same kind and detail is there already.
func addDefect(list []Defect, id DefectID, format string, args ...any) []Defect {
	d := Defect{ID: id, Detail: fmt.Sprintf(format, args...)}
	if len(list) >= maxDefects || slices.Contains(list, d) {
		return list
	}
	return append(list, d)
}

// shorten quotes bytes of the message for a defect's detail.
func shorten(s string) string {
	const most = 40
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s[:most])
	}
	return fmt.Sprintf("%q", s)
}
