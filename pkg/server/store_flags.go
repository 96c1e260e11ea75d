package server

import (
	"fmt"
	"slices"
	"strings"
)

const (
	flagSeen    = `\Seen`
	flagDeleted = `\Deleted`
	flagFlagged = `\Flagged`
	flagRecent  = `\Recent`

	maxFlags      = 200 // of one message
	maxFlagLength = 200
)

// knownFlags are the flags that begin with a backslash, in canonical case
// (RFC 9051 §2.3.2), and the keywords whose case is registered.
var knownFlags = [...]string{`\Answered`, flagDeleted, `\Draft`, `\Flagged`, flagSeen,
	"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing", "$Important", "$Submitted", "$SubmitPending"}

// specialUses are the attributes that a mailbox can be made with (RFC 6154 §2,
// RFC 8457 §3), in canonical case.
var specialUses = [...]string{`\All`, `\Archive`, `\Drafts`, `\Flagged`, `\Important`, `\Junk`, `\Sent`, `\Trash`}

// canonicalUse returns a special use in canonical case.
func canonicalUse(use string) (string, error) {
	if use == "" {
		return "", nil
	}
	for _, known := range specialUses {
		if strings.EqualFold(use, known) {
			return known, nil
		}
	}
	return "", fmt.Errorf("%.100q: %w", use, ErrSpecialUse)
}

// canonicalFlags returns flags in canonical case, sorted, each once and without
// \Recent. Keywords differ by more than case; the first way of writing wins. The
// result does not share memory with flags.
func canonicalFlags(flags []string) ([]string, error) {
	if len(flags) == 0 {
		return nil, nil
	}
	out := make([]string, 0, len(flags))
	for _, f := range flags {
		f, err := canonicalFlag(f)
		if err != nil {
			return nil, err
		}
		if f != flagRecent && !hasFlag(out, f) {
			out = append(out, f)
		}
		if len(out) > maxFlags {
			return nil, fmt.Errorf("more than %d flags: %w", maxFlags, ErrFlag)
		}
	}
	slices.Sort(out)
	return out, nil
}

func canonicalFlag(flag string) (string, error) {
	for _, known := range knownFlags {
		if strings.EqualFold(flag, known) {
			return known, nil
		}
	}
	if strings.EqualFold(flag, flagRecent) {
		return flagRecent, nil
	}
	if name := strings.TrimPrefix(flag, `\`); name == "" || len(flag) > maxFlagLength || strings.ContainsFunc(name, noAtom) {
		return "", fmt.Errorf("%.100q: %w", flag, ErrFlag)
	}
	return flag, nil
}

// noAtom says whether r cannot be in an atom (RFC 9051 §9).
func noAtom(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
}

// hasFlag says whether flags has flag in any case.
func hasFlag(flags []string, flag string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, flag) })
}

// maildirFlags are the letters of Maildir file names in the order of writing.
var maildirFlags = [...]struct {
	letter byte
	flag   string
}{
	{'D', `\Draft`}, {'F', `\Flagged`}, {'P', `$Forwarded`}, {'R', `\Answered`}, {'S', flagSeen}, {'T', flagDeleted},
}

// flagLetters returns the letters for flags.
func flagLetters(flags []string) string {
	var b []byte
	for _, f := range maildirFlags {
		if slices.Contains(flags, f.flag) {
			b = append(b, f.letter)
		}
	}
	return string(b)
}

// otherLetters adds to letters those of info that other programs have put there for
// keywords of theirs, sorted as Maildir wants them.
func otherLetters(letters, info string) string {
	b := []byte(letters)
	for i := range len(info) {
		if isSmall(info[i]) && !slices.Contains(b, info[i]) {
			b = append(b, info[i])
		}
	}
	slices.Sort(b)
	return string(b)
}

// withLetters returns flags with those that have a letter taken from letters.
func withLetters(flags []string, letters string) []string {
	out := slices.Clone(flags)
	for _, f := range maildirFlags {
		i := slices.Index(out, f.flag)
		switch has := strings.IndexByte(letters, f.letter) >= 0; {
		case has && i < 0:
			out = append(out, f.flag)
		case !has && i >= 0:
			out = slices.Delete(out, i, i+1)
		}
	}
	slices.Sort(out)
	return out
}
