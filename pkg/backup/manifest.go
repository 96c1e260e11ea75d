package backup

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

// The manifest. Every line is a JSON object that ends in ,"c":"XXXXXXXX"}, the
// CRC-32C, in small hex digits, of the octets of the line before that. Its field k
// says what it tells; see the record kinds. A reader skips fields that it does not
// know. A kind that it does not know was written by a later version, and then it
// understands nothing of the manifest.
//
// Text is UTF-8. An octet that is not part of UTF-8 stands as the escape \udcXX of
// the lone surrogate U+DC00 plus the octet (as Python's surrogateescape has it), so
// that any octets survive.

// kind is what a line of the manifest tells.
type kind uint8

const (
	kindBox    kind = iota + 1 // a mailbox, or what has become of it
	kindNoBox                  // the server has it no more
	kindMsg                    // a message is stored
	kindFlags                  // a message has these flags and labels now
	kindGone                   // messages are not on the server any more
	kindReset                  // the mailbox has other UIDs from here on
	kindState                  // all that the server had is stored
	kindSnap                   // a run is over
	kindForget                 // a snapshot is of no interest any more
	kindPrune                  // files that are to be removed
	kindPruned                 // they are
)

var kindNames = [...]string{kindBox: "box", kindNoBox: "nobox", kindMsg: "msg", kindFlags: "flags", kindGone: "gone", kindReset: "reset",
	kindState: "state", kindSnap: "snap", kindForget: "forget", kindPrune: "prune", kindPruned: "pruned"}

// Caps on lines.
const (
	maxLine    = 1 << 20 // octets
	maxStrings = 10_000  // in one list
	maxNesting = 20      // of fields that are skipped
)

const (
	sumStart = `,"c":"`
	sumEnd   = `"}`
	sumLen   = len(sumStart) + 8 + len(sumEnd)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// goodSum reports whether a line, without its line end, is whole.
func goodSum(line []byte) bool {
	if len(line) < sumLen {
		return false
	}
	var end [sumLen + 1]byte
	body := line[:len(line)-sumLen]
	return bytes.Equal(appendEnd(end[:0], checksum(body)), line[len(body):])
}

// appendEnd appends the end of a line with that checksum.
func appendEnd(b []byte, sum uint32) []byte {
	b = append(b, sumStart...)
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, lowerHex[sum>>shift&15])
	}
	return append(b, sumEnd...)
}

// record is one line. Its slices are valid as long as the line is.
type record struct {
	kind     kind
	has      uint32 // fields that were there, as bits of their numbers
	box      uint32
	v, u     uint32
	uids     []byte // of gone: a set
	modSeq   uint64
	uidNext  uint32
	messages uint64
	boxes    uint64
	size     int64
	gmailID  uint64
	gmailThr uint64
	bool     bool // subscribed or complete

	name, delim, dir, id    []byte
	file, date, uidl        []byte
	emailID, threadID, time []byte
	digest                  store.Digest
	list                    [][]byte // attrs, flags, uidl of gone, or files
	labels                  [][]byte
}

// lineWriter writes the fields of a line.
type lineWriter struct{ b []byte }

func (w *lineWriter) begin(k kind) (start int) {
	start = len(w.b)
	w.b = append(append(append(w.b, `{"k":"`...), kindNames[k]...), '"')
	return start
}

func (w *lineWriter) end(start int) {
	w.b = append(appendEnd(w.b, checksum(w.b[start:])), '\n')
}

func (w *lineWriter) key(name string) {
	w.b = append(append(append(w.b, `,"`...), name...), `":`...)
}

func (w *lineWriter) number(name string, n uint64) {
	w.key(name)
	w.b = strconv.AppendUint(w.b, n, 10)
}

// text writes a text, unless it is empty.
func (w *lineWriter) text(name, s string) {
	if s != "" {
		w.key(name)
		w.b = appendText(w.b, s)
	}
}

// decimal writes a number as a text, unless it is 0: readers that take numbers for
// floating point would lose digits.
func (w *lineWriter) decimal(name string, n uint64) {
	if n != 0 {
		w.text(name, strconv.FormatUint(n, 10))
	}
}

func (w *lineWriter) flag(name string, on bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, on)
}

func (w *lineWriter) time(name string, t time.Time) {
	if s := formatTime(t); s != "" {
		w.text(name, s)
	}
}

func (w *lineWriter) texts(name string, list []string) {
	w.key(name)
	w.b = append(w.b, '[')
	for i, s := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = appendText(w.b, s)
	}
	w.b = append(w.b, ']')
}

// formatTime returns a time with its offset, or "" for none and what RFC 3339
// cannot say.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if y := t.Year(); y < 0 || y > 9999 {
		return ""
	}
	if _, offset := t.Zone(); offset%60 != 0 || offset <= -24*3600 || offset >= 24*3600 {
		t = t.UTC()
	}
	return t.Format(time.RFC3339)
}

// parseTime is the reverse. What is no time is none.
func parseTime(b []byte) time.Time {
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return time.Time{}
	}
	return t
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < 0x7f {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[start:i]...)
		i++
		start = i
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= utf8.RuneSelf:
			b = append(b, `\udc`...)
			b = append(b, lowerHex[c>>4], lowerHex[c&15])
		default:
			b = append(b, `\u00`...)
			b = append(b, lowerHex[c>>4], lowerHex[c&15])
		}
	}
	return append(append(b, s[start:]...), '"')
}

// writeBox writes what is known of a mailbox.
func (w *lineWriter) writeBox(box uint32, m *Mailbox) {
	start := w.begin(kindBox)
	w.number("box", uint64(box))
	w.text("name", m.Name)
	w.text("delim", m.Delim)
	w.text("dir", m.Dir)
	w.texts("attrs", m.Attrs)
	w.flag("subscribed", m.Subscribed)
	w.text("id", m.ID)
	w.end(start)
}

// writeID writes which message is meant.
func (w *lineWriter) writeID(box uint32, m *Message) {
	w.number("box", uint64(box))
	if m.UID == 0 {
		w.text("uidl", m.UIDL)
		return
	}
	w.number("v", uint64(m.UIDValidity))
	w.number("u", uint64(m.UID))
}

// writeMsg writes a message.
func (w *lineWriter) writeMsg(box uint32, m *Message) {
	start := w.begin(kindMsg)
	w.writeID(box, m)
	w.text("file", m.File)
	w.number("size", uint64(m.Size))
	w.key("sha256")
	w.b = append(w.b, '"')
	w.b = hex.AppendEncode(w.b, m.Digest[:])
	w.b = append(w.b, '"')
	w.time("date", m.Date)
	w.texts("flags", m.Flags)
	w.text("emailId", m.EmailID)
	w.text("threadId", m.ThreadID)
	w.decimal("gmailId", m.GmailID)
	w.decimal("gmailThread", m.GmailThread)
	if len(m.Labels) > 0 {
		w.texts("labels", m.Labels)
	}
	w.end(start)
}

// writeFlags writes the flags and labels of m.
func (w *lineWriter) writeFlags(box uint32, m *Message) {
	start := w.begin(kindFlags)
	w.writeID(box, m)
	w.texts("flags", m.Flags)
	if len(m.Labels) > 0 {
		w.texts("labels", m.Labels)
	}
	w.end(start)
}

// writeGone writes that messages are off the server.
func (w *lineWriter) writeGone(box, uidValidity uint32, set imap.UIDSet) {
	start := w.begin(kindGone)
	w.number("box", uint64(box))
	w.number("v", uint64(uidValidity))
	w.text("u", set.String())
	w.end(start)
}

// writeGoneUIDL is writeGone for POP3.
func (w *lineWriter) writeGoneUIDL(box uint32, uidls []string) {
	start := w.begin(kindGone)
	w.number("box", uint64(box))
	w.texts("uidl", uidls)
	w.end(start)
}

// writeSnap writes a snapshot.
func (w *lineWriter) writeSnap(s *Snapshot) {
	start := w.begin(kindSnap)
	w.text("id", s.ID)
	w.time("time", s.Time)
	w.flag("complete", s.Complete)
	w.number("mailboxes", uint64(s.Mailboxes))
	w.number("messages", uint64(s.Messages))
	w.number("size", uint64(s.Size))
	w.end(start)
}

// snapshot returns what a snap line says.
func (r *record) snapshot() Snapshot {
	t := parseTime(r.time)
	return Snapshot{ID: string(r.id), Time: t, Complete: r.bool, Mailboxes: clampInt(r.boxes), Messages: clampInt(r.messages), Size: r.size}
}

func clampInt(n uint64) int { return int(min(n, math.MaxInt32)) }

// mailbox returns what a box line says.
func (r *record) mailbox() *Mailbox {
	return &Mailbox{Name: string(r.name), Delim: string(r.delim), Dir: string(r.dir), Attrs: textsOf(r.list), Subscribed: r.bool, ID: string(r.id)}
}

// message returns what a msg line says.
func (r *record) message(box *Mailbox) *Message {
	return &Message{Mailbox: box, UIDValidity: r.v, UID: r.u, UIDL: string(r.uidl), File: string(r.file), Size: r.size, Digest: r.digest,
		Date: parseTime(r.date), Flags: textsOf(r.list), EmailID: string(r.emailID), ThreadID: string(r.threadID), GmailID: r.gmailID,
		GmailThread: r.gmailThr, Labels: textsOf(r.labels)}
}

func textsOf(list [][]byte) []string {
	if len(list) == 0 {
		return nil
	}
	texts := make([]string, len(list))
	for i, b := range list {
		texts[i] = string(b)
	}
	return texts
}

// canonicalFlags sorts flags, drops \Recent and repetitions, and writes system flags
// in one way.
func canonicalFlags(flags []string) []string {
	out := make([]string, 0, len(flags))
	for _, f := range flags {
		if strings.HasPrefix(f, `\`) {
			if f = systemFlag(f); f == `\Recent` {
				continue
			}
		}
		out = append(out, f)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// systemFlag returns the usual spelling of a system flag.
func systemFlag(flag string) string {
	for _, f := range [...]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`, `\Recent`} {
		if strings.EqualFold(f, flag) {
			return f
		}
	}
	return flag
}

// VersionError says that a later version of this program wrote the repository.
type VersionError struct {
	Path string
	What string // that this version does not know
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%q: written by a later version of this program (%s)", e.Path, e.What)
}
