package imapwire

import (
	"fmt"
	"strings"
)

// Flag is a message flag: a system flag such as \Seen, or a keyword such as
// $Forwarded (RFC 9051 §2.3.2). Case does not matter in either.
type Flag string

// The system flags, and \* of PERMANENTFLAGS: new keywords may be made.
const (
	FlagSeen     Flag = `\Seen`
	FlagAnswered Flag = `\Answered`
	FlagFlagged  Flag = `\Flagged`
	FlagDeleted  Flag = `\Deleted`
	FlagDraft    Flag = `\Draft`
	FlagRecent   Flag = `\Recent`
	FlagWildcard Flag = `\*`
)

var knownFlags = map[string]Flag{
	`\seen`: FlagSeen, `\answered`: FlagAnswered, `\flagged`: FlagFlagged,
	`\deleted`: FlagDeleted, `\draft`: FlagDraft, `\recent`: FlagRecent,
}

// Equal tells if two flags are the same flag.
func (f Flag) Equal(other Flag) bool { return strings.EqualFold(string(f), string(other)) }

func canonicalFlag(word []byte) Flag {
	switch string(word) { // the usual spellings, without an allocation
	case string(FlagSeen):
		return FlagSeen
	case string(FlagAnswered):
		return FlagAnswered
	case string(FlagFlagged):
		return FlagFlagged
	case string(FlagDeleted):
		return FlagDeleted
	case string(FlagDraft):
		return FlagDraft
	case string(FlagRecent):
		return FlagRecent
	}
	if word[0] == '\\' {
		if f, ok := knownFlags[strings.ToLower(string(word))]; ok {
			return f
		}
	}
	return Flag(word)
}

// ParseFlag reads a flag as a person writes it: "\Seen", "seen", "$Forwarded",
// "todo". The bare names of the system flags stand for them. What could not be
// sent as a flag is an error.
func ParseFlag(text string) (Flag, error) {
	name := strings.TrimPrefix(text, `\`)
	if !validAtom(name) || strings.ContainsRune(name, ']') {
		return "", fmt.Errorf("bad flag %q", clip(text))
	}
	if f, ok := knownFlags[`\`+strings.ToLower(name)]; ok {
		return f, nil
	}
	return Flag(text), nil
}
