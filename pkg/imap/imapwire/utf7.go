package imapwire

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7Base64 is the alphabet of RFC 3501 §5.1.3: "," in place of "/", no padding.
var utf7Base64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 writes a mailbox name in modified UTF-7 (RFC 3501 §5.1.3). The
// result is printable ASCII. A name that is not valid UTF-8 or that holds NUL
// is an error.
func EncodeUTF7(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("mailbox name %q is not valid UTF-8", clip(name))
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("mailbox name %q holds NUL", clip(name))
	}
	return encodeUTF7(name), nil
}

func encodeUTF7(name string) string {
	var b strings.Builder
	var shift []rune
	flush := func() {
		if len(shift) == 0 {
			return
		}
		var raw []byte
		for _, u := range utf16.Encode(shift) {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteByte('&')
		b.WriteString(utf7Base64.EncodeToString(raw))
		b.WriteByte('-')
		shift = shift[:0]
	}
	for _, r := range name {
		if r < 0x20 || r > 0x7e {
			shift = append(shift, r)
			continue
		}
		flush()
		b.WriteByte(byte(r))
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}

// DecodeUTF7 reads a mailbox name in modified UTF-7. ok is false, and the name
// comes back as it is, when it is not the one valid encoding of a name, so
// that EncodeUTF7(name) gives the server's own octets whenever ok is true.
func DecodeUTF7(raw string) (name string, ok bool) {
	name, ok = decodeUTF7(raw)
	if !ok || encodeUTF7(name) != raw {
		return raw, false
	}
	return name, true
}

func decodeUTF7(raw string) (string, bool) {
	if plainName(raw) {
		return raw, true
	}
	var b strings.Builder
	for raw != "" {
		text, rest, shifted := strings.Cut(raw, "&")
		if !plainName(text) {
			return "", false
		}
		b.WriteString(text)
		if !shifted {
			break
		}
		code, after, closed := strings.Cut(rest, "-")
		if !closed {
			return "", false
		}
		raw = after
		if code == "" {
			b.WriteByte('&')
		} else if !decodeShift(&b, code) {
			return "", false
		}
	}
	return b.String(), true
}

func plainName(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '&' {
			return false
		}
	}
	return true
}

func decodeShift(b *strings.Builder, code string) bool {
	raw, err := utf7Base64.DecodeString(code)
	if err != nil || len(raw)%2 != 0 {
		return false
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 0; i < len(raw); i += 2 {
		units = append(units, uint16(raw[i])<<8|uint16(raw[i+1]))
	}
	for _, r := range utf16.Decode(units) {
		if r == 0 {
			return false
		}
		b.WriteRune(r)
	}
	return true
}
