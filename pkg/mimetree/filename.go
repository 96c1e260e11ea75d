package mimetree

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxName is the longest file name given, in octets.
const maxName = 200

// SafeName makes one harmless path component of a name that came with a message, "" when nothing usable is left. The result
// is valid UTF-8 of at most 200 octets, has no separators, control, bidirectional or other invisible characters and none that Windows
// reserves, does not start with a dot or a hyphen or end with a dot or a blank, and is no device name. The extension is kept.
func SafeName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(safeRune, name)
	name = strings.TrimRight(strings.TrimSpace(name), ". ")
	if name = shortName(name, maxName); strings.Trim(name, "_. -") == "" {
		return ""
	}
	if name[0] == '.' || name[0] == '-' {
		name = "_" + name[1:]
	}
	if isDevice(name) {
		name = "_" + name
	}
	return shortName(name, maxName)
}

// safeRune keeps what can be seen and is no syntax anywhere.
func safeRune(r rune) rune {
	switch {
	case r == utf8.RuneError, strings.ContainsRune("<>:\"|?*/\\\u2044\u2215\u29f8\uff0f\uff3c", r), !unicode.IsPrint(r):
		return '_'
	}
	return r
}

// isDevice tells if Windows takes name for a device, with or without an extension.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	stem = strings.TrimRight(stem, " ")
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$":
		return true
	}
	digit, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		digit, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(digit) == 1 && strings.Contains("0123456789\u00b9\u00b2\u00b3", digit)
}

// splitName cuts a name before its extension; ".tar.gz" counts as one.
func splitName(name string) (stem, ext string) {
	ext = path.Ext(name)
	if stem = name[:len(name)-len(ext)]; strings.HasSuffix(strings.ToLower(stem), ".tar") {
		ext = name[len(stem)-4:]
		stem = stem[:len(stem)-4]
	}
	if len(ext) > 32 || stem == "" {
		return name, ""
	}
	return stem, ext
}

// shortName cuts the stem of a name, at a character, so that the whole has at most limit octets.
func shortName(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	stem, ext := splitName(name)
	cut := limit - len(ext)
	for cut > 0 && !utf8.RuneStart(stem[cut]) {
		cut--
	}
	return strings.TrimRight(stem[:cut], ". ") + ext
}

// numberedName is name for n = 0, and "stem-n.ext" after that.
func numberedName(name string, n int) string {
	if n == 0 {
		return name
	}
	mark := "-" + strconv.Itoa(n)
	stem, ext := splitName(name)
	return shortName(stem, maxName-len(mark)-len(ext)) + mark + ext
}

// foldName maps names that a file system may take for the same to one key: they differ in case, in how letters are composed, or in
// characters that do not show. It may map more than any one system does.
func foldName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return -1
		}
		return r
	}, norm.NFKD.String(name))
	name = strings.ToLower(strings.ToUpper(name))
	return norm.NFKD.String(strings.ReplaceAll(name, "ß", "ss"))
}
