package backup

import (
	"errors"
	"fmt"
	"strings"
)

// Caps on the folders of mailboxes.
const (
	maxPiece = 200  // octets of one folder name
	maxDir   = 3000 // octets of the whole path, so that systems that stop at 4,096 can open what is in it
	maxDepth = 200  // levels
)

const (
	inbox    = "INBOX"
	goesOn   = "~+" // at the end of a piece of a level that is too long for one folder
	caseMark = '~'
	upperHex = "0123456789ABCDEF"
	lowerHex = "0123456789abcdef"
)

// errName says that a name cannot have a folder.
var errName = errors.New("the name of the mailbox is empty or too long to be a path")

// EncodeName returns the folder for a mailbox, with slashes between the levels:
// what delim separates, or all of name when delim is "". Folders of two names are
// different also where case does not count or Unicode is normalised, and lead
// nowhere else. [DecodeName] is the reverse. A name that is empty or would make a
// path longer than file systems allow is an error.
//
// Letters of ASCII, digits, "-" and "_" stand for themselves, every other octet is
// a percent sign and two capital hex digits. Case: a level whose first letter is a
// capital and all others small is written as it is. Any other is followed by "~"
// and, in small hex digits, a number whose bit n says whether letter n is a capital;
// nothing for none: "lists~", "TODO~f". So are the names that a Maildir or Windows
// takes for something else: "Cur~1", "Con~1". INBOX, whatever its case, is "INBOX".
// An empty level is "~". A level of more than 200 octets becomes nested folders, of
// which all but the last end in "~+".
func EncodeName(name, delim string) (dir string, err error) {
	levels := []string{name}
	if delim != "" {
		levels = strings.Split(name, delim)
	}
	if name == "" || len(name) > maxDir || len(levels) > maxDepth {
		return "", errName
	}
	if dir = encodeLevels(levels); len(dir) > maxDir {
		return "", errName
	}
	return dir, nil
}

// DecodeName returns the levels of the mailbox that [EncodeName] gave the folder
// dir. What EncodeName does not make is an error.
func DecodeName(dir string) (levels []string, err error) {
	bad := fmt.Errorf("%q is no folder of a mailbox", shorten(dir))
	if len(dir) > maxDir {
		return nil, bad
	}
	level, open := "", false
	for i, piece := range strings.Split(dir, "/") {
		if len(piece) > maxPiece || i > maxDepth+maxDir/maxPiece {
			return nil, bad
		}
		rest, more := strings.CutSuffix(piece, goesOn)
		text, ok := decodePiece(rest)
		if !ok {
			return nil, bad
		}
		level, open = level+text, more
		if !more {
			levels, level = append(levels, level), ""
		}
	}
	if open || encodeLevels(levels) != dir {
		return nil, bad
	}
	return levels, nil
}

// encodeLevels returns the path of a mailbox.
func encodeLevels(levels []string) string {
	var b []byte
	for i, level := range levels {
		if i > 0 {
			b = append(b, '/')
		}
		if i == 0 && strings.EqualFold(level, inbox) && len(level) == len(inbox) {
			b = append(b, inbox...)
			continue
		}
		b = appendLevel(b, level)
	}
	return string(b)
}

// appendLevel appends the folder, or the nested folders, of one level.
func appendLevel(b []byte, level string) []byte {
	for {
		n := fitting(level, maxPiece)
		if n == len(level) {
			return appendPiece(b, level)
		}
		n = fitting(level, maxPiece-len(goesOn))
		b = append(appendPiece(b, level[:n]), goesOn...)
		b = append(b, '/')
		level = level[n:]
	}
}

// fitting returns how much of level has an encoding of at most room octets. The
// mark of its case is reckoned as if there were one.
func fitting(level string, room int) int {
	room--
	letters := 0
	for i := range len(level) {
		switch c := level[i]; {
		case isLetter(c):
			if letters%4 == 0 {
				room--
			}
			letters++
			room--
		case plain(c):
			room--
		default:
			room -= 3
		}
		if room < 0 {
			return i
		}
	}
	return len(level)
}

// appendPiece appends the encoding of what fits into one folder name.
func appendPiece(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	if text != "" && defaultCase(text) && !reservedLevel(text) {
		return b
	}
	return appendMask(append(b, caseMark), text)
}

// decodePiece is the reverse of appendPiece. It does not look at what the mark of
// the case says.
func decodePiece(piece string) (string, bool) {
	body, _, _ := strings.Cut(piece, string(caseMark))
	text := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		c := body[i]
		if c == '%' && i+2 < len(body) {
			c = byte(strings.IndexByte(upperHex, body[i+1])<<4 | strings.IndexByte(upperHex, body[i+2]))
			i += 2
		} else if !plain(c) {
			return "", false
		}
		text = append(text, c)
	}
	return string(text), true
}

// appendMask appends the number that says which letters are capital.
func appendMask(b []byte, text string) []byte {
	var nibbles []byte
	letters := 0
	for i := range len(text) {
		if c := text[i]; isLetter(c) {
			if letters%4 == 0 {
				nibbles = append(nibbles, 0)
			}
			if isCapital(c) {
				nibbles[letters/4] |= 1 << (letters % 4)
			}
			letters++
		}
	}
	leading := true
	for i := len(nibbles) - 1; i >= 0; i-- {
		if leading = leading && nibbles[i] == 0; !leading {
			b = append(b, lowerHex[nibbles[i]])
		}
	}
	return b
}

// defaultCase reports whether the first letter is a capital and no other one is.
func defaultCase(text string) bool {
	letters := 0
	for i := range len(text) {
		if c := text[i]; isLetter(c) {
			if isCapital(c) != (letters == 0) {
				return false
			}
			letters++
		}
	}
	return true
}

// reservedLevel reports whether a Maildir, Dovecot or Windows takes a name for
// something else.
func reservedLevel(text string) bool {
	text = strings.ToLower(text)
	switch text {
	case "cur", "new", "tmp", keywordsFile, "con", "prn", "aux", "nul":
		return true
	}
	return len(text) == 4 && (text[:3] == "com" || text[:3] == "lpt") && text[3] >= '0' && text[3] <= '9'
}

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }
func isLetter(c byte) bool  { return isCapital(c) || c >= 'a' && c <= 'z' }

// plain reports whether c stands for itself.
func plain(c byte) bool { return plainOctets[c] }

var plainOctets = func() (table [256]bool) {
	for c := range byte(128) {
		table[c] = isLetter(c) || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	return table
}()

// shorten cuts what is shown in an error.
func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
