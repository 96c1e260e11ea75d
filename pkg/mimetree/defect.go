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
	DefectBase64Truncated  DefectID = "base64-truncated"      // a single character is left over at the end
	DefectQPInvalid        DefectID = "qp-invalid-escape"     // "=" not followed by two hexadecimal digits, kept
	DefectUUInvalid        DefectID = "uuencode-invalid"      // no begin line, or a line that does not fit its length
	DefectUnknownEncoding  DefectID = "unknown-encoding"      // Content-Transfer-Encoding not known, body kept as it is
	DefectEightBit         DefectID = "8bit-in-7bit"          // octets above 127 in a body that says 7bit
	DefectEncodedComposite DefectID = "encoded-composite"     // multipart or message with base64 or quoted-printable
	DefectUnknownCharset   DefectID = "unknown-charset"       // text taken as UTF-8
	DefectNoBoundary       DefectID = "boundary-missing"      // multipart without a usable boundary, kept as a leaf
	DefectBoundaryLong     DefectID = "boundary-too-long"     // more than 70 characters
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
