package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	inbox     = "INBOX"
	separator = "/"

	maxMailboxName  = 1000 // octets
	maxMailboxDepth = 50
	maxUserName     = 1000

	// maxFolderName is how long an encoded name gets before its end becomes a digest;
	// file systems stop at 255 octets.
	maxFolderName = 200
	digestMark    = "%%" // no encoding has it otherwise
)

// canonicalName checks the name of a mailbox and writes INBOX in its one way, also
// where it is the first part.
func canonicalName(name string) (string, error) {
	if name == "" || len(name) > maxMailboxName || !utf8.ValidString(name) {
		return "", nameError(name)
	}
	parts := strings.Split(strings.TrimSuffix(name, separator), separator)
	if len(parts) > maxMailboxDepth {
		return "", nameError(name)
	}
	for _, p := range parts {
		if p == "" || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			return "", nameError(name)
		}
	}
	if strings.EqualFold(parts[0], inbox) {
		parts[0] = inbox
	}
	return strings.Join(parts, separator), nil
}

func nameError(name string) error {
	if len(name) > 100 {
		name = name[:100] + "..."
	}
	return fmt.Errorf("%q: %w", name, ErrMailboxName)
}

// parents returns the names above name, the outermost first.
func parents(name string) []string {
	var above []string
	for i := range len(name) {
		if name[i] == separator[0] {
			above = append(above, name[:i])
		}
	}
	return above
}

// isBelow says whether name is a descendant of top.
func isBelow(name, top string) bool { return strings.HasPrefix(name, top+separator) }

// compareNames sorts INBOX first.
func compareNames(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == inbox:
		return -1
	case b == inbox:
		return 1
	}
	return strings.Compare(a, b)
}

// folderName is the directory of a mailbox in a Maildir++ tree: a dot, then the
// parts with dots between them. Letters, digits, "-" and "_" stand for themselves
// and everything else is a percent sign and two hex digits, so that no name leads
// out of the tree. Where letters of both cases are one name, names must differ in
// more than case: a capital letter stands for itself only at the beginning of a
// part and a small one only after it ("Sent", "%73ent", "S%45%4E%54").
func folderName(name string) string {
	var b strings.Builder
	for i, part := range strings.Split(name, separator) {
		b.WriteByte('.')
		if i == 0 && part == inbox {
			b.WriteString(inbox) // the one way to write it, so nothing collides
			continue
		}
		for j := range len(part) {
			c := part[j]
			escapePart(&b, c, isCapital(c) && j > 0 || isSmall(c) && j == 0)
		}
	}
	return shorten(b.String(), name)
}

// userFolder is the directory of a user, by the same rules, but with small letters
// as they are and capital ones escaped.
func userFolder(user string) string {
	var b strings.Builder
	for i := range len(user) {
		escapePart(&b, user[i], isCapital(user[i]) || i == 0 && (reservedName(user) || user == lockName))
	}
	return shorten(b.String(), user)
}

// reservedName says whether some systems take name for a device.
func reservedName(name string) bool {
	name = strings.ToLower(name)
	if len(name) == 4 && name[3] >= '0' && name[3] <= '9' {
		return name[:3] == "com" || name[:3] == "lpt"
	}
	return slices.Contains([]string{"con", "prn", "aux", "nul"}, name)
}

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }
func isSmall(c byte) bool   { return c >= 'a' && c <= 'z' }

func escapePart(b *strings.Builder, c byte, escape bool) {
	if !escape && (isCapital(c) || isSmall(c) || c >= '0' && c <= '9' || c == '-' || c == '_') {
		b.WriteByte(c)
		return
	}
	fmt.Fprintf(b, "%%%02X", c)
}

// shorten replaces the end of a long encoding by a digest of the name.
func shorten(encoded, name string) string {
	if len(encoded) <= maxFolderName {
		return encoded
	}
	sum := sha256.Sum256([]byte(name))
	encoded = encoded[:maxFolderName-len(digestMark)-32]
	if i := strings.LastIndexByte(encoded, '%'); i > len(encoded)-3 {
		encoded = encoded[:i] // half an escape
	}
	return encoded + digestMark + hex.EncodeToString(sum[:16])
}

// mailboxName is the reverse of folderName. It also takes names of other programs,
// in which more characters stand for themselves. What is no mailbox is not ok, nor
// is an encoding that ends in a digest.
func mailboxName(folder string) (name string, ok bool) {
	rest, found := strings.CutPrefix(folder, ".")
	if !found || rest == "" || strings.Contains(rest, digestMark) {
		return "", false
	}
	parts := strings.Split(rest, ".")
	for i, part := range parts {
		if parts[i], ok = unescapePart(part); !ok {
			return "", false
		}
	}
	name, err := canonicalName(strings.Join(parts, separator))
	if err != nil || name == inbox { // which is the tree itself
		return "", false
	}
	return name, true
}

func unescapePart(part string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(part); i++ {
		if part[i] != '%' {
			b.WriteByte(part[i])
			continue
		}
		if i+2 >= len(part) {
			return "", false
		}
		c, err := hex.DecodeString(part[i+1 : i+3])
		if err != nil || c[0] == separator[0] {
			return "", false
		}
		b.WriteByte(c[0])
		i += 2
	}
	return b.String(), b.Len() > 0
}
