package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

func TestText(t *testing.T) {
	for _, s := range []string{"", "a", "Entwürfe", "日本語😀", "a\"b\\c/d", "\x00\x01\x1f\x7f", "\xff", "a\xffb\xfe", "\xed\xa0\x80", "\xf4\x90\x80\x80", "é\xc3", "\u2028<>&", `\udcff`} {
		line := appendText(nil, s)
		p := lineReader{s: line}
		if got := p.text(); p.bad || string(got) != s || p.i != len(line) {
			t.Errorf("%q is written as %s and read as %q (bad %v)", s, line, got, p.bad)
		}
		var std string
		if err := json.Unmarshal(line, &std); err != nil {
			t.Errorf("%q is written as %s: %v", s, line, err)
		} else if utf8.ValidString(s) && std != s {
			t.Errorf("%q is written as %s, which others read as %q", s, line, std)
		}
		if !utf8.Valid(line) {
			t.Errorf("%q is written as %q, not UTF-8", s, line)
		}
	}
	for text, want := range map[string]string{`"\u00e9\ud83d\ude00\n\t\b\f\r\/"`: "é😀\n\t\b\f\r/", `"\uDCFF"`: "\xff"} {
		p := lineReader{s: []byte(text)}
		if got := p.text(); p.bad || string(got) != want {
			t.Errorf("%s is read as %q (bad %v), want %q", text, got, p.bad, want)
		}
	}
	for _, text := range []string{`"`, `"\`, `"\x"`, `"\u12"`, `"\ud800"`, `"\ud800\u0041"`, `"\udc00"`, `"\u\x10\x10\x10\x10"`, "\"\\u\x10\x10\x10\x10\""} {
		p := lineReader{s: []byte(text)}
		if got := p.text(); !p.bad {
			t.Errorf("%q is read as %q, want it refused", text, got)
		}
	}
}

// line returns a line with those fields and its checksum.
func line(fields string) []byte {
	b := []byte(fields)
	return appendEnd(b, checksum(b))
}

func TestLines(t *testing.T) {
	const id = `"box":1,"v":2,"u":3`
	digest := `"sha256":"` + strings.Repeat("ab", 32) + `"`
	for fields, want := range map[string]bool{
		`{"k":"box","box":1,"name":"Sent","dir":"Sent"`:                                                    true,
		`{"box":1,"name":"Sent","dir":"Sent","k":"box"`:                                                    true,
		`{"k":"box","box":1,"name":"Sent","dir":"../x"`:                                                    false,
		`{"k":"box","box":1,"name":"","dir":"Sent"`:                                                        false,
		`{"k":"box","box":0,"name":"Sent","dir":"Sent"`:                                                    false,
		`{"k":"box","box":1,"name":"Sent"`:                                                                 false,
		`{"k":"msg",` + id + `,"file":"1.V2U3","size":1,` + digest:                                         true,
		`{"k":"msg",` + id + `,"file":"../1","size":1,` + digest:                                           false,
		`{"k":"msg",` + id + `,"file":".1","size":1,` + digest:                                             false,
		`{"k":"msg",` + id + `,"file":"1","size":-1,` + digest:                                             false,
		`{"k":"msg",` + id + `,"file":"1","size":1,"sha256":"abcd"`:                                        false,
		`{"k":"msg","box":1,"v":2,"u":0,"file":"1","size":1,` + digest:                                     false,
		`{"k":"msg","box":1,"v":2,"u":4294967296,"file":"1","size":1,` + digest:                            false,
		`{"k":"msg","box":1,"uidl":"x","file":"1","size":1,` + digest:                                      true,
		`{"k":"msg","box":1,"uidl":"x","u":1,"v":1,"file":"1","size":1,` + digest:                          false,
		`{"k":"flags",` + id + `,"flags":["a","b"],"later":{"a":[1,-2.5e3,null,true,{}],"b":"\"]}"},"z":7`: true,
		`{"k":"flags",` + id + `,"flags":["a","b"],"flags":[]`:                                             false,
		`{"k":"flags",` + id + `,"flags":["a",]`:                                                           false,
		`{"k":"flags",` + id:                                                                               false,
		`{"k":"flags",` + id + `,"flags":[],"later":` + strings.Repeat("[", 50) + strings.Repeat("]", 50):  false,
		`{"k":"gone","box":1,"v":2,"u":"1:3,7"`:                                                            true,
		`{"k":"gone","box":1,"uidl":["a"]`:                                                                 true,
		`{"k":"gone","box":1`:                                                                              false,
		`{"k":"snap","id":"x","time":"2026-11-22T12:00:00Z","messages":18446744073709551615`:               true,
		`{"k":"snap","id":"x","messages":18446744073709551616`:                                             false,
		`{"k":"snap","id":"x","messages":01`:                                                               false,
		`{"k":"snap","id":"x" `:                                                                            false,
		`{"k":"snap","id":"x"}`:                                                                            false,
		`{"id":"x"`:                                                                                        false,
		`{`:                                                                                                false,
		``:                                                                                                 false,
	} {
		l := line(fields)
		if !goodSum(l) {
			t.Fatalf("%s: the checksum does not fit", l)
		}
		var p lineReader
		if _, err := p.parse(l); (err == nil) != want || err != nil && err != errLine {
			t.Errorf("%s: %v, want it taken %v", l, err, want)
		}
	}
	var p lineReader
	var unknown *kindError
	if _, err := p.parse(line(`{"k":"attachment","box":1`)); !errors.As(err, &unknown) {
		t.Errorf("an unknown kind: %v, want a *kindError", err)
	}
}

// TestL2_EveryBitOfALine flips each bit of each line.
func TestL2_EveryBitOfALine(t *testing.T) {
	var w lineWriter
	w.writeBox(1, &Mailbox{Name: "Entwürfe", Delim: "/", Dir: "Entw%C3%BCrfe", Attrs: []string{`\Drafts`}})
	w.writeMsg(1, &Message{UIDValidity: 1, UID: 2, File: "1.V1U2", Flags: []string{`\Seen`}})
	w.writeSnap(&Snapshot{ID: "2026-11-22T120000Z", Time: time.Unix(1e9, 0)})
	good := w.b
	count := func(b []byte) (lines, bad, torn int) {
		err := scanManifest(bytes.NewReader(b), 0, int64(len(b)), func(l rawLine, r *record, why string) error {
			switch {
			case why != "":
				bad++
			case r == nil:
				torn++
			default:
				lines++
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		return lines, bad, torn
	}
	if lines, bad, torn := count(good); lines != 3 || bad+torn != 0 {
		t.Fatalf("%d lines, %d bad, %d torn", lines, bad, torn)
	}
	for i := range 8 * len(good) {
		flipped := bytes.Clone(good)
		flipped[i/8] ^= 1 << (i % 8)
		if lines, bad, torn := count(flipped); bad == 0 || torn > 0 || lines > 2 {
			t.Errorf("bit %d of %q: %d good lines, %d bad, %d torn", i%8, flipped[:i/8+1], lines, bad, torn)
		}
	}
	for i := range len(good) {
		if i == 0 || good[i-1] == '\n' {
			continue
		}
		if lines, bad, torn := count(good[:i]); bad > 0 || torn != 1 {
			t.Errorf("cut to %d octets: %d good lines, %d bad, %d torn", i, lines, bad, torn)
		}
	}
}

func TestLongLines(t *testing.T) {
	var w lineWriter
	w.writeSnap(&Snapshot{ID: "a"})
	short := len(w.b)
	for _, size := range []int{scanBuffer - 1, scanBuffer, scanBuffer + 1, maxLine - 200, maxLine + 2, 3*maxLine + 7} {
		b := append([]byte{}, w.b...)
		at := len(b)
		b = append(b, `{"k":"snap","id":"`...)
		b = append(b, strings.Repeat("x", size-len(b)+at-2*sumLen)...)
		b = append(b, '"')
		b = append(appendEnd(b, checksum(b[at:])), '\n')
		long := len(b) - at
		b = append(b, w.b...)
		var got []string
		err := scanManifest(bytes.NewReader(b), 0, int64(len(b)), func(l rawLine, r *record, why string) error {
			got = append(got, fmt.Sprint(l.off, l.size, r != nil))
			return nil
		})
		want := []string{fmt.Sprint(0, short, true), fmt.Sprint(at, long, long <= maxLine+1), fmt.Sprint(at+long, short, true)}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("a line of %d octets: %q, %v, want %q", long, got, err, want)
		}
	}
}

func TestUIDText(t *testing.T) {
	for text, want := range map[string]string{"1": "1", "1:3,7": "1:3,7", "7,1:3": "1:3,7", "4294967295": "4294967295", "1:4294967295": "1:4294967295"} {
		if set, ok := parseUIDs([]byte(text)); !ok || set.String() != want {
			t.Errorf("%q is %v, %v, want %s", text, set, ok, want)
		}
	}
	for _, text := range []string{"", "0", "1:", ":1", "3:1", "1,", ",1", "*", "1:*", "4294967296", "1 ", "a"} {
		if set, ok := parseUIDs([]byte(text)); ok {
			t.Errorf("%q is taken for %v", text, set)
		}
	}
}

func TestFileNames(t *testing.T) {
	digest := store.Digest(sha256.Sum256(nil))
	for want, f := range map[string]fileFacts{
		"1700000000.V5U17.e3b0c44298fc1c14,S=1234,W=1250":     {Date: time.Unix(1700000000, 0).UTC(), UIDValidity: 5, UID: 17, Digest: [8]byte(digest[:]), Size: 1234, WireSize: 1250},
		"0.V0U1.e3b0c44298fc1c14,S=0,W=0,X=wire":              {UID: 1, Digest: [8]byte(digest[:]), Wire: true},
		"-86400.V1U2.e3b0c44298fc1c14,S=1,W=1":                {Date: time.Unix(-86400, 0).UTC(), UIDValidity: 1, UID: 2, Digest: [8]byte(digest[:]), Size: 1, WireSize: 1},
		"1.La665a45920422f9d.e3b0c44298fc1c14,S=1,W=1,X=wire": {Date: time.Unix(1, 0).UTC(), UIDLHash: hashUIDL("123"), Digest: [8]byte(digest[:]), Size: 1, WireSize: 1, Wire: true},
	} {
		if got := f.name(); got != want || !isFileName(got) || !f.matches(digest) {
			t.Errorf("the name is %q, want %q", got, want)
		}
		for _, suffix := range []string{"", emlSuffix} {
			if got, ok := parseFileName(want + suffix); !ok || got != f {
				t.Errorf("%q is read as %+v, %v, want %+v", want+suffix, got, ok, f)
			}
		}
	}
	for _, name := range []string{"", "1", "1700000000.V5U17", "1700000000.V5U17.e3b0c44298fc1c14,S=1234", "01.V5U17.e3b0c44298fc1c14,S=1,W=1", "1.V5U0.e3b0c44298fc1c14,S=1,W=1",
		"1.V5U17.E3B0C44298FC1C14,S=1,W=1", "1.V5U17.e3b0c44298fc1c,S=1,W=1", "1.V5U17.e3b0c44298fc1c14,S=-1,W=1", "1.V5U17.e3b0c44298fc1c14,S=1,W=1,X=", "1.V4294967296U1.e3b0c44298fc1c14,S=1,W=1",
		"1.VV5U17.e3b0c44298fc1c14,S=1,W=1", "1.L12.e3b0c44298fc1c14,S=1,W=1", "1.V5U17.e3b0c44298fc1c14,S=1,W=1:2,S", "1784.M1P2.host,S=1,W=1"} {
		if got, ok := parseFileName(name); ok {
			t.Errorf("%q is taken for %+v", name, got)
		}
	}
}

// TestReplay tells everything once and reads it back.
func TestReplay(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	work, err := c.rec.box(&Mailbox{Name: "Entwürfe/\xff\x00", Delim: "/", Attrs: []string{`\Drafts`, `\HasNoChildren`}, Subscribed: true, ID: "F-1"})
	c.must(err)
	inbox := c.box("inbox")
	full := c.message(work, 7, 1, "one", `\SEEN`, "work", `\Recent`, "work", `\Answered`)
	full.EmailID, full.ThreadID, full.GmailID, full.GmailThread, full.Labels = "M1", "T1", math.MaxUint64, 12, []string{`\Important`, "a \"b\"\n\xff"}
	c.must(c.rec.msgs(work, full))
	c.put(work, 7, 2, "two")
	c.put(work, 7, 9, "three", `\Flagged`)
	c.put(inbox, 3, 5, "one")
	c.put(inbox, 3, 6, "five")
	c.must(c.rec.state(inbox, boxState{UIDValidity: 3, ModSeq: math.MaxInt64, UIDNext: 7, Messages: 2}))
	first := c.snap(time.Unix(1e9, 0))
	before := c.state("")

	c.must(c.rec.flags(work, &Message{UIDValidity: 7, UID: 2, Flags: []string{"x"}, Labels: []string{"l"}}))
	c.must(c.rec.flags(work, &Message{UIDValidity: 6, UID: 1, Flags: []string{"stale"}}))
	c.must(c.rec.gone(work, 7, uidSet(1, 8, 9)))
	c.must(c.rec.reset(inbox, 4))
	c.put(inbox, 4, 1, "five")
	c.put(inbox, 3, 7, "late, of the old generation")
	gone := c.box("Gone")
	c.put(gone, 1, 1, "six")
	c.must(c.rec.noBox(gone))
	second := c.snap(time.Unix(1e9, 0))
	after := c.state("")
	if first != "2001-09-09T014640Z" || second != first+"-2" {
		t.Errorf("snapshots %q and %q", first, second)
	}
	wantAfter := 2 // messages
	if got := len(slices.Collect(c.tip.present(work))) + len(slices.Collect(c.tip.present(inbox))); got != wantAfter || c.Snapshots()[1].Messages != wantAfter {
		t.Errorf("%d messages present, the snapshot counts %d, want %d", got, c.Snapshots()[1].Messages, wantAfter)
	}
	if s := c.Snapshots()[0]; s.Mailboxes != 2 || s.Messages != 5 || s.Size != 3+3+5+3+4 {
		t.Errorf("the first snapshot counts %+v", s)
	}

	for _, write := range []bool{false, true} {
		c = c.reopen(write)
		for at, want := range map[string]string{"": after, first: before, second: after, "latest": after} {
			if got := c.state(at); got != want {
				t.Errorf("write %v, snapshot %q:\n%s\nwant\n%s", write, at, got, want)
			}
		}
		_, _, err := c.index("")
		c.must(err)
		m, ok, err := c.tip.gmailID(math.MaxUint64)
		if err != nil || !ok || m.EmailID != "M1" || !slices.Equal(m.Flags, []string{`\Answered`, `\Seen`, "work"}) || m.Labels[1] != full.Labels[1] || !m.Date.Equal(full.Date) || m.Date.Format("-0700") != "+0100" {
			t.Errorf("by X-GM-MSGID: %+v, %v, %v", m, ok, err)
		}
		if m, ok, err = c.tip.emailID("M2"); ok || err != nil {
			t.Errorf("an EMAILID that is not there: %+v, %v", m, err)
		}
		if m, ok, err = c.tip.digest(sha256.Sum256([]byte("three"))); !ok || err != nil || m.UID != 9 {
			t.Errorf("by digest: %+v, %v, %v", m, ok, err)
		}
		if _, ok := c.tip.uid(work, 9); ok {
			t.Error("a message that is gone has its UID still")
		}
		if flags, ok := c.tip.flags(work, 2); !ok || !slices.Equal(flags, []imap.Flag{"x"}) {
			t.Errorf("flags %q, %v", flags, ok)
		}
		if info, _ := c.tip.info(inbox); info.State != (boxState{UIDValidity: 4}) || info.Known.String() != "1" || info.Mailbox.Dir != "INBOX" || info.Mailbox.Name != "inbox" {
			t.Errorf("INBOX: %+v", info)
		}
		if _, err := c.Mailboxes("2001"); err == nil {
			t.Error("a prefix of two snapshots names one")
		}
		if boxes, err := c.Mailboxes("2001-09-09T014640Z-"); err != nil || len(boxes) != 2 || boxes[0].Name != "Entwürfe/\xff\x00" {
			t.Errorf("mailboxes %+v, %v", boxes, err)
		}
	}
}

func TestReplayPOP3(t *testing.T) {
	c := newRepo(t, FormatEML)
	box := c.box("INBOX")
	for i := range 50 {
		c.put(box, 0, 0, fmt.Sprint(i))
	}
	c.must(c.rec.goneUIDL(box, "id-7", "id-8", "never seen"))
	c.must(c.rec.flags(box, &Message{UIDL: "id-9", Flags: []string{"kept"}}))
	c.put(box, 0, 0, "10")
	c.snap(time.Unix(1e9, 0))
	c = c.reopen(true)
	if n := len(slices.Collect(c.tip.present(box))); n != 48 || c.Snapshots()[0].Messages != 48 {
		t.Errorf("%d messages present, counted %d", n, c.Snapshots()[0].Messages)
	}
	if _, ok := c.tip.uidl(box, "id-7"); ok {
		t.Error("id-7 is known still")
	}
	i, ok := c.tip.uidl(box, "id-9")
	if m, err := c.tip.message(i); !ok || err != nil || m.UIDL != "id-9" || m.Flags[0] != "kept" || m.UID != 0 || !strings.HasSuffix(m.File, emlSuffix) {
		t.Errorf("id-9 is %+v, %v, %v", m, ok, err)
	}
}

// TestF2_FoldersOfOthers has mailboxes that want the same folder.
func TestF2_FoldersOfOthers(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	dir := func(name, delim string) string {
		t.Helper()
		m := &Mailbox{Name: name, Delim: delim}
		_, err := c.rec.box(m)
		c.must(err)
		return m.Dir
	}
	slash, dot := dir("A/B", "/"), dir("A.B", ".")
	if slash != "A/B" || dot != "A%2EB~3" {
		t.Errorf("folders %q and %q", slash, dot)
	}
	if dir("A/B", "/") != slash || dir("A.B", ".") != dot || dir("INBOX", "/") != dir("inbox", "/") {
		t.Error("a mailbox has another folder the second time")
	}
	box, _ := c.tip.box(slash)
	c.must(c.rec.noBox(box))
	if got := dir("A|B", "|"); got != slash {
		t.Errorf("the folder of a mailbox that is no more: %q, want %q", got, slash)
	}
}

// TestL2_CutAnywhere cuts the manifest at every octet: what is left is what was
// told up to there.
func TestL2_CutAnywhere(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("INBOX")
	states := map[int64]string{}
	c.must(c.rec.commit())
	states[c.log.size] = c.state("")
	for i := range 3 {
		c.put(box, 1, uint32(i+1), fmt.Sprint("body ", i))
		c.must(c.rec.commit())
		states[c.log.size] = c.state("")
	}
	c.snap(time.Unix(1e9, 0))
	states[c.log.size] = c.state("")
	whole, err := os.ReadFile(c.manifestPath())
	c.must(err)
	states[0] = ""
	want := ""
	for cut := range len(whole) + 1 {
		if s, ok := states[int64(cut)]; ok {
			want = s
		}
		c.must(c.Close())
		c.must(os.WriteFile(c.manifestPath(), whole[:cut], 0o600))
		c = openRepo(t, c.dir, OpenOptions{})
		if got := c.state(""); got != want || c.Damage() != nil {
			t.Fatalf("cut to %d octets:\n%s%v\nwant\n%s", cut, got, c.Damage(), want)
		}
		if cut%5 != 0 {
			continue
		}
		c = c.reopen(true)
		if st, _ := os.Stat(c.manifestPath()); st.Size() > 0 && c.log.size != st.Size() {
			t.Fatalf("cut to %d octets: the writer leaves %d octets of %d", cut, st.Size(), c.log.size)
		}
	}
}

func TestL2_TailOfADeadRun(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("INBOX")
	c.put(box, 1, 1, "one")
	c.snap(time.Unix(1e9, 0))
	c.must(c.setDirty(true))
	c.put(box, 1, 2, "two")
	c.must(c.rec.commit())
	want, size := c.state(""), c.log.size
	c.put(box, 1, 3, "three")
	middle := c.log.size + int64(len(c.log.pending))
	c.put(box, 1, 4, "four")
	c.must(c.rec.commit())
	c.must(c.Close())
	f, err := os.OpenFile(c.manifestPath(), os.O_RDWR, 0)
	c.must(err)
	_, err = f.WriteAt(make([]byte, middle-size-20), size+10) // a page that never got to the disk
	c.must(errors.Join(err, f.Close()))
	c = openRepo(t, c.dir, OpenOptions{Write: true})
	if got := c.state(""); got != want || c.Damage() != nil || c.log.size != size {
		t.Errorf("%s%v, %d octets, want\n%s%d octets", got, c.Damage(), c.log.size, want, size)
	}
	c.put(box, 1, 3, "three")
	c.snap(time.Unix(1e9+1, 0))
	c.must(c.setDirty(false))
	if c = c.reopen(false); len(c.Snapshots()) != 2 || c.Damage() != nil {
		t.Errorf("%v, %v", c.Snapshots(), c.Damage())
	}
}

func TestDamageIsTold(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("INBOX")
	first := c.log.size + int64(len(c.log.pending))
	c.put(box, 1, 1, "one")
	c.put(box, 1, 2, "two")
	early := c.snap(time.Unix(1e9, 0))
	c.must(c.Close())
	flip(t, c.manifestPath(), first+20)
	for _, write := range []bool{false, true} {
		r, err := Open(c.dir, OpenOptions{Write: write})
		c.must(err)
		if d := r.Damage(); d == nil || d.Lines != 1 || d.First != first {
			t.Errorf("damage %+v, want one line at %d", d, first)
		}
		if _, err := r.record(); err == nil {
			t.Error("a damaged manifest is appended to")
		}
		n := 0
		var last error
		for m, err := range r.Messages(early) {
			if last = err; err == nil {
				n++
				_ = m
			}
		}
		var damage *DamageError
		if n != 1 || !errors.As(last, &damage) {
			t.Errorf("%d messages, %v, want 1 and the damage", n, last)
		}
		c.must(r.Close())
	}
}

// flip flips a bit of a file.
func flip(t testing.TB, name string, off int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, off)
	b[0] ^= 1 << (off % 8)
	_, err2 := f.WriteAt(b, off)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	empty, foreign := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var notOne *store.Error
	for name, o := range map[string]OpenOptions{empty: {Write: true}, foreign: {Write: true, Create: &Settings{}}} {
		if _, err := Open(name, o); !errors.As(err, &notOne) {
			t.Errorf("%+v: %v, want a *store.Error", o, err)
		}
	}
	if _, err := Open(empty, OpenOptions{Write: true, Create: &Settings{Format: "mh"}}); !errors.As(err, &notOne) {
		t.Errorf("format mh: %v, want a *store.Error", err)
	}
	r, err := Open(empty, OpenOptions{Write: true, Create: &Settings{Format: FormatEML}})
	if err != nil {
		t.Fatal(err)
	}
	var locked *store.LockError
	if _, err := Open(empty, OpenOptions{Write: true}); !errors.As(err, &locked) || !strings.Contains(locked.Holder, fmt.Sprint(os.Getpid())) {
		t.Errorf("a second writer: %v, want a *store.LockError with this process", err)
	}
	reader, err := Open(empty, OpenOptions{})
	if err != nil || reader.Settings().Format != FormatEML {
		t.Errorf("a reader beside the writer: %v", err)
	}
	if err := errors.Join(reader.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ file, text string }{
		{settingsFile, `{"version":2,"format":"eml"}`},
		{settingsFile, `{"version":1,"format":"zip"}`},
		{manifestFile, string(line(`{"k":"attachment","box":1`)) + "\n"},
	} {
		dir := copyTree(t, empty)
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var later *VersionError
		if _, err := Open(dir, OpenOptions{}); !errors.As(err, &later) {
			t.Errorf("%s: %v, want a *VersionError", c.text, err)
		}
	}
	err = os.WriteFile(filepath.Join(empty, settingsFile), []byte("{"), 0o600)
	if _, oerr := Open(empty, OpenOptions{}); err != nil || !errors.As(oerr, &notOne) {
		t.Errorf("damaged settings: %v, want a *store.Error", oerr)
	}
}

// FuzzManifest holds that any manifest is read without harm, and that what was read
// is written and read as the same.
func FuzzManifest(f *testing.F) {
	var w lineWriter
	w.writeBox(1, &Mailbox{Name: "Entwürfe", Delim: "/", Dir: "Entw%C3%BCrfe", Attrs: []string{`\Drafts`}, Subscribed: true, ID: "x"})
	w.writeMsg(1, &Message{UIDValidity: 1, UID: 2, File: "1.V1U2", Flags: []string{`\Seen`, "\xff"}, GmailID: 7, Labels: []string{"l"}, Date: time.Unix(1e9, 0).UTC()})
	w.writeFlags(1, &Message{UIDL: "abc", Flags: []string{"b"}})
	w.writeSnap(&Snapshot{ID: "2026-11-22T120000Z", Time: time.Unix(1e9, 0).UTC(), Complete: true})
	f.Add(w.b)
	f.Add([]byte("{\"k\":\"gone\",\"box\":1,\"v\":1,\"u\":\"1:4294967295\"\n{\"k\":\"reset\",\"box\":1,\"v\":3\n{\"k\":\"state\",\"box\":1,\"v\":3,\"modseq\":7\n"))
	f.Add([]byte("{\"k\":\"prune\",\"files\":[\"a/cur/b\"],\"later\":[{\"a\":null}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		var b []byte
		for l := range bytes.Lines(text) { // with checksums that fit, or the text would be thrown away
			l = bytes.TrimSuffix(l, []byte("\n"))
			l, _, _ = bytes.Cut(l, []byte(sumStart))
			b = append(append(b, line(string(l))...), '\n')
		}
		x := newIndex(&manifestLog{})
		s, err := surveyManifest(bytes.NewReader(b), surveyOptions{size: int64(len(b)), index: x})
		if err == nil && s.end > int64(len(b)) {
			t.Fatalf("%d octets end at %d", len(b), s.end)
		}
		_ = scanManifest(bytes.NewReader(b), 0, int64(len(b)), func(_ rawLine, r *record, _ string) error {
			if r != nil {
				checkRewritten(t, r)
			}
			return nil
		})
	})
}

// checkRewritten writes what was read, and reads it again.
func checkRewritten(t *testing.T, r *record) {
	var w lineWriter
	switch r.kind {
	case kindBox:
		w.writeBox(r.box, r.mailbox())
	case kindMsg:
		w.writeMsg(r.box, r.message(nil))
	case kindFlags:
		w.writeFlags(r.box, r.message(nil))
	case kindSnap:
		s := r.snapshot()
		w.writeSnap(&s)
	default:
		return
	}
	var p lineReader
	l := bytes.TrimSuffix(w.b, []byte("\n"))
	again, err := p.parse(l)
	if err != nil || !goodSum(l) {
		t.Fatalf("%s: %v", w.b, err)
	}
	if r.kind == kindBox && !reflect.DeepEqual(again.mailbox(), r.mailbox()) || r.kind == kindSnap && again.snapshot() != r.snapshot() ||
		r.kind > kindNoBox && r.kind < kindGone && tellMessage(withBox(again)) != tellMessage(withBox(r)) {
		t.Fatalf("read as %+v, written as %s and read as %+v", r, w.b, again)
	}
}

func withBox(r *record) *Message { return r.message(&Mailbox{}) }

// manyMessages writes the lines of n messages in a few mailboxes.
func manyMessages(n int) []byte {
	var w lineWriter
	const boxes = 20
	for i := range uint32(boxes) {
		name := fmt.Sprintf("Folder %d", i)
		dir, _ := EncodeName(name, "/")
		w.writeBox(i+1, &Mailbox{Name: name, Delim: "/", Dir: dir, Attrs: []string{`\HasNoChildren`}})
	}
	flags := [][]string{{`\Seen`}, nil, {`\Answered`, `\Seen`}, {`$Forwarded`, `\Seen`, "work"}}
	for i := range n {
		m := &Message{UIDValidity: 1700000000, UID: uint32(i/boxes + 1), Size: int64(2000 + i), Flags: flags[i%len(flags)],
			Digest: sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i))), Date: time.Unix(1700000000+int64(i), 0)}
		m.File = factsOf(m, m.Size-50, false).name()
		w.writeMsg(uint32(i%boxes+1), m)
	}
	return w.b
}

func BenchmarkOpenManifest(b *testing.B) {
	text := manyMessages(50_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		x := newIndex(&manifestLog{})
		s, err := surveyManifest(bytes.NewReader(text), surveyOptions{size: int64(len(text)), index: x})
		if err != nil || s.damage != nil || x.entries.n != 50_000 {
			b.Fatal(err, s.damage, x.entries.n)
		}
	}
}
