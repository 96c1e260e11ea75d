package auth

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

var (
	// ErrCleartext is wrapped in the *Error that refuses to send a secret over an unencrypted connection.
	ErrCleartext = errors.New("connection is not encrypted")
	// ErrNoMechanism is wrapped in the *Error for a server that offers no mechanism we can use.
	ErrNoMechanism = errors.New("no usable authentication mechanism")
)

// Error says that authentication did not succeed: exit status 77, or 75 when Temp.
type Error struct {
	Mechanism string // as sent to the server; empty when none was chosen
	Text      string // what happened, mostly the server's own words
	Temp      bool   // the same attempt may succeed later
	Hint      string // what the user can do; may be empty
	Err       error  // the protocol's own error, ErrCleartext or ErrNoMechanism; may be nil
}

// Error returns the mechanism and the text, with control characters escaped and the length capped.
func (e *Error) Error() string {
	s := "authentication"
	if e.Mechanism != "" {
		s += " with " + e.Mechanism
	}
	s += " failed"
	if e.Text != "" {
		s += ": " + clean(e.Text)
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports Temp.
func (e *Error) Temporary() bool { return e.Temp }

// SourceError says that a secret could not be fetched, or must not be used: exit status 78.
type SourceError struct {
	Source string // where it was to come from: `file "/home/ann/.secret"`, `command "pass"`
	Err    error
	Advice string // what the user can do; may be empty
}

// Error names the source and what was wrong with it.
func (e *SourceError) Error() string { return "secret from " + e.Source + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *SourceError) Unwrap() error { return e.Err }

// Hint returns what the user can do.
func (e *SourceError) Hint() string { return e.Advice }

// maxText caps the server text that is kept in an error, in bytes.
const maxText = 512

// clean makes text from the network fit for one line of words: capped, control characters and bad UTF-8 escaped.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	for _, r := range s {
		if !strconv.IsPrint(r) || r == '\uFFFD' {
			q := strconv.Quote(s)
			return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
		}
	}
	return s
}

// minScrub is the length from which a secret is looked for in the server's words: a shorter one is found by chance.
const minScrub = 4

// Blank replaces the secret in text that a server sent, should it repeat what it was told: as it is, as a quoted
// string has it, and in base64 whatever stands before and after it. A secret of less than four octets is not looked
// for.
func (s Secret) Blank(text string) string {
	for _, form := range s.forms() {
		text = strings.ReplaceAll(text, form, shownSecret)
	}
	return text
}

// quoting is how quoted strings of IMAP and of our own messages write a text.
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// forms lists what Blank looks for, what was quoted more often first.
func (s Secret) forms() []string {
	raw := s.Reveal()
	if len(raw) < minScrub {
		return nil
	}
	var list []string
	if quoted := quoting.Replace(raw); quoted != raw {
		list = append(list, quoting.Replace(quoted), quoted)
	}
	list = append(list, raw)
	for pad := range 3 {
		// Of the encoding only the groups made of nothing but the secret are the same everywhere.
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, pad), raw...))
		whole := (pad + len(raw)) / 3 * 4
		if from := (pad + 2) / 3 * 4; whole-from >= minScrub {
			list = append(list, encoded[from:whole])
		}
	}
	return list
}

// Scrub returns err, or one that says the same and wraps it with the secret replaced as Blank does. The engines use it
// on whatever comes back from a command that carried the secret.
func (s Secret) Scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if blank := s.Blank(text); blank != text {
		return &scrubbedError{blank, err}
	}
	return err
}

// scrubbedError is an error whose words had a secret in them.
type scrubbedError struct {
	text string
	err  error
}

func (e *scrubbedError) Error() string { return e.text }
func (e *scrubbedError) Unwrap() error { return e.err }

// advice maps words that well-known providers put into a refusal to what the user can do about it.
var advice = []struct{ words, hint string }{
	{"5.7.30", "this server takes no passwords any more: configure an OAuth2 token (token = { command = [...] })"},
	{"basic authentication is disabled", "this server takes no passwords any more: configure an OAuth2 token (token = { command = [...] })"},
	{"5.7.139", "the administrator has switched off password authentication for this mailbox: configure an OAuth2 token"},
	{"application-specific password", "make an application password in the account's security settings and use that one"},
	{"app password", "make an application password in the account's security settings and use that one"},
	{"web login required", "sign in with a browser once, then try again"},
}

// hintFor returns advice for a refusal, or "".
func hintFor(text string) string {
	low := strings.ToLower(text)
	for _, a := range advice {
		if strings.Contains(low, a.words) {
			return a.hint
		}
	}
	return ""
}
