package mimetree

import (
	"bytes"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// mediaTypes is kept here, and not asked of the system, so that the same files give the same message everywhere.
var mediaTypes = map[string]string{
	".7z": "application/x-7z-compressed", ".aac": "audio/aac", ".avi": "video/x-msvideo", ".avif": "image/avif",
	".bmp": "image/bmp", ".bz2": "application/x-bzip2", ".conf": "text/plain", ".css": "text/css", ".csv": "text/csv",
	".deb": "application/vnd.debian.binary-package", ".diff": "text/x-diff", ".doc": "application/msword",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".eml":  "message/rfc822", ".epub": "application/epub+zip", ".flac": "audio/flac", ".gif": "image/gif",
	".gz": "application/gzip", ".heic": "image/heic", ".htm": "text/html", ".html": "text/html",
	".ico": "image/vnd.microsoft.icon", ".ics": "text/calendar", ".jar": "application/java-archive",
	".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript", ".json": "application/json",
	".log": "text/plain", ".m4a": "audio/mp4", ".md": "text/markdown", ".mid": "audio/midi", ".mkv": "video/x-matroska",
	".mov": "video/quicktime", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".mpeg": "video/mpeg",
	".odp": "application/vnd.oasis.opendocument.presentation", ".ods": "application/vnd.oasis.opendocument.spreadsheet",
	".odt": "application/vnd.oasis.opendocument.text", ".ogg": "audio/ogg", ".opus": "audio/ogg",
	".p7m": "application/pkcs7-mime", ".p7s": "application/pkcs7-signature", ".patch": "text/x-diff",
	".pdf": "application/pdf", ".pgp": "application/pgp-encrypted", ".png": "image/png",
	".ppt":  "application/vnd.ms-powerpoint",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".ps":   "application/postscript", ".rar": "application/vnd.rar", ".rtf": "application/rtf",
	".sig": "application/pgp-signature", ".svg": "image/svg+xml", ".tar": "application/x-tar",
	".tgz": "application/gzip", ".tif": "image/tiff", ".tiff": "image/tiff", ".txt": "text/plain",
	".vcf": "text/vcard", ".wav": "audio/wav", ".webm": "video/webm", ".webp": "image/webp",
	".xls":  "application/vnd.ms-excel",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".xml":  "application/xml", ".xz": "application/x-xz", ".yaml": "application/yaml", ".yml": "application/yaml",
	".zip": "application/zip", ".zst": "application/zstd",
}

// magics are the first octets of files without a telling name.
var magics = []struct{ prefix, mediaType string }{
	{"%PDF-", "application/pdf"},
	{"\x89PNG\r\n\x1a\n", "image/png"},
	{"\xff\xd8\xff", "image/jpeg"},
	{"GIF87a", "image/gif"},
	{"GIF89a", "image/gif"},
	{"PK\x03\x04", "application/zip"},
	{"\x1f\x8b", "application/gzip"},
	{"BZh", "application/x-bzip2"},
	{"\xfd7zXZ\x00", "application/x-xz"},
	{"\x28\xb5\x2f\xfd", "application/zstd"},
	{"%!PS", "application/postscript"},
}

// MediaTypeOf names the media type of a file by the extension of its name and, failing that, by its first octets;
// "application/octet-stream" when neither tells. The answer is the same on every machine.
func MediaTypeOf(name string, start []byte) string {
	if t, ok := mediaTypes[strings.ToLower(filepath.Ext(name))]; ok {
		return t
	}
	for _, m := range magics {
		if bytes.HasPrefix(start, []byte(m.prefix)) {
			return m.mediaType
		}
	}
	if len(start) > 0 && looksText(start) {
		return "text/plain"
	}
	return "application/octet-stream"
}

// looksText tells if the start of a file is UTF-8 text without control characters; a character cut at the end is fine.
func looksText(start []byte) bool {
	for i, c := range start {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' {
			return false
		}
		if c >= utf8.RuneSelf && !utf8.FullRune(start[i:]) && utf8.RuneStart(c) {
			start = start[:i]
			break
		}
	}
	return utf8.Valid(start)
}

// extensionOf gives a file name extension for a part without a name, the shortest known one for its media type.
func extensionOf(mediaType string) string {
	switch mediaType {
	case "text/plain":
		return ".txt"
	case "text/html":
		return ".html"
	case "image/jpeg":
		return ".jpg"
	case "message/rfc822", "message/global":
		return ".eml"
	case "message/delivery-status", "message/disposition-notification", "text/rfc822-headers":
		return ".txt"
	case "application/gzip":
		return ".gz"
	}
	best := ""
	for ext, t := range mediaTypes {
		if t == mediaType && (best == "" || len(ext) < len(best) || len(ext) == len(best) && ext < best) {
			best = ext
		}
	}
	if best == "" {
		return ".bin"
	}
	return best
}
