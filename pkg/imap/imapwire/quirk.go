package imapwire

import (
	"math/bits"
	"strings"
)

// Quirk is a known defect of a server's grammar that the decoder accepts,
// because what was meant is beyond doubt. A defect that is not in this table
// is an error.
type Quirk uint8

// The defects accepted, each with the server it was seen from.
const (
	// MissingText: a status response without the space and text behind the
	// code or the keyword. Gmail, with HIGHESTMODSEQ
	// (https://issuetracker.google.com/issues/289877509).
	MissingText Quirk = iota
	// TrailingSpace: spaces before the line end. Exchange Online, in STATUS
	// (https://github.com/emersion/go-imap/issues/540).
	TrailingSpace
	// ListSpace: spaces next to the parentheses of a list, or two between
	// items. QQ Mail: "FETCH (UID 19436 )"
	// (https://github.com/jakartaee/mail-api/issues/209).
	ListSpace
	// ExtraParens: a FETCH item and its value in parentheses of their own.
	// Lotus Domino 9 (MailKit's transcript domino/fetch-extra-parens).
	ExtraParens
	// BadModSeq: a mod-sequence of 0, or below. Zoho Mail (MailKit's
	// transcript zoho/fetch-negative-modseq-values).
	BadModSeq
	// NegativeNumber: -1 for a number of lines or octets in BODYSTRUCTURE.
	// Dovecot and Exchange (https://github.com/emersion/go-imap/issues/534).
	NegativeNumber
	// NilString: NIL where the grammar wants a string, as the value of a
	// parameter. mail.ru (https://github.com/kisli/vmime/issues/159).
	NilString
	// NakedCode: an untagged response code without "* OK" before it. Exchange,
	// with COPYUID during MOVE (MailKit issue 115).
	NakedCode
	// BadEscape: a backslash in a quoted string before another character than
	// a quote or a backslash (https://github.com/emersion/go-imap/issues/479).
	BadEscape
	// EightBit: octets above 127 in a quoted string or an atom without
	// UTF8=ACCEPT. No one server: whatever copies header fields of a message
	// into an ENVELOPE as they are.
	EightBit
	// RawMailboxName: a mailbox name that is not modified UTF-7. No one server:
	// names that other programs put on its disk. The name is used as it is.
	RawMailboxName
	// BadStructure: a BODYSTRUCTURE or ENVELOPE whose parts do not fit the
	// grammar, though its parentheses do. Gmail: ("ALTERNATIVE")
	// (https://github.com/jstedfast/MailKit/issues/1841), Yandex
	// (https://github.com/jstedfast/MailKit/issues/1861).
	BadStructure
	// EmptyItem: an empty string before a value. DavMail, BODYSTRUCTURE
	// (https://github.com/emersion/go-imap/issues/626).
	EmptyItem
	// ZeroNumber: a UIDVALIDITY or UIDNEXT of 0, read as "not told". Coremail
	// (126, 163) leaves UIDNEXT out altogether.
	ZeroNumber
	// BadDate: an INTERNALDATE that cannot be read, or NIL; the date is left
	// out. No one server: it comes from messages with damaged metadata.
	BadDate

	numQuirks
)

var quirkNames = [numQuirks]string{
	"missing text", "trailing space", "space in list", "extra parentheses", "bad mod-sequence",
	"negative number", "NIL for a string", "response code without OK", "bad escape", "8-bit octets",
	"mailbox name not in modified UTF-7", "odd structure", "empty item", "number zero", "bad date",
}

// String names the defect in a few words.
func (q Quirk) String() string {
	if int(q) < len(quirkNames) {
		return quirkNames[q]
	}
	return "unknown defect"
}

// Quirks is the set of defects met so far.
type Quirks uint32

// Has tells if q was met.
func (s Quirks) Has(q Quirk) bool { return s&(1<<q) != 0 }

// Len counts the different defects met.
func (s Quirks) Len() int { return bits.OnesCount32(uint32(s)) }

// String lists the defects, separated by commas.
func (s Quirks) String() string {
	var names []string
	for q := Quirk(0); q < numQuirks; q++ {
		if s.Has(q) {
			names = append(names, q.String())
		}
	}
	return strings.Join(names, ", ")
}
