package auth

import (
	"fmt"
	"io"
	"log/slog"
)

// shownSecret stands wherever a secret would be printed.
const shownSecret = "[secret]"

// Secret holds a password or a token and does not print: every fmt verb, encoding/json, encoding/xml and log/slog
// show "[secret]". It keeps the text behind a function, so that also a printer that walks into unexported fields
// finds nothing. The zero value holds no secret.
type Secret struct{ reveal func() string }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{reveal: func() string { return s }} }

// Reveal returns the text itself. The result must go to the server and nowhere else.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no secret, or an empty one.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String returns "[secret]".
func (Secret) String() string { return shownSecret }

// GoString returns "[secret]".
func (Secret) GoString() string { return shownSecret }

// Format writes "[secret]" for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, shownSecret) }

// MarshalText returns "[secret]", for encoding/json, encoding/xml and whatever else asks.
func (Secret) MarshalText() ([]byte, error) { return []byte(shownSecret), nil }

// MarshalBinary returns "[secret]", for encoding/gob.
func (Secret) MarshalBinary() ([]byte, error) { return []byte(shownSecret), nil }

// LogValue returns "[secret]", for log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(shownSecret) }
