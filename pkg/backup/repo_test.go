package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestPath(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("INBOX")
	first, second := c.put(box, 1, 1, "one", `\Seen`), c.put(box, 1, 2, "two")
	old, err := c.Path(first)
	c.must(err)
	now := strings.TrimSuffix(old, ":2,S") + ":2,FSa"
	c.must(os.Rename(old, now))
	for range 2 {
		if got, err := c.Path(first); err != nil || got != now {
			t.Errorf("with other flags: %q, %v, want %q", got, err, now)
		}
	}
	c.must(os.Rename(now, now+"b")) // the listing is stale
	if got, err := c.Path(first); err != nil || got != now+"b" {
		t.Errorf("with other flags again: %q, %v", got, err)
	}
	c.must(c.root.Mkdir("INBOX/new", 0o700))
	path, err := c.Path(second)
	c.must(err)
	moved := strings.Replace(strings.TrimSuffix(path, ":2,"), "/cur/", "/new/", 1)
	c.must(os.Rename(path, moved))
	if got, err := c.Path(second); err != nil || got != moved {
		t.Errorf("in new: %q, %v, want %q", got, err, moved)
	}
	c.must(os.Remove(moved))
	if _, err := c.Path(second); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
}

func TestRead(t *testing.T) {
	for _, format := range formats {
		c := newRepo(t, format)
		box := c.box("INBOX")
		plain := "Subject: x\n\nbody\n"
		if format == FormatEML {
			plain = "Subject: x\r\n\r\nbody\r\n"
		}
		wire := "Subject: x\r\n\r\nbare \n LF\r\n"
		m := c.put(box, 1, 1, plain, `\Seen`)
		odd := c.message(box, 1, 2, wire)
		odd.File = factsOf(odd, int64(len(wire)), true).name()
		if format == FormatEML {
			odd.File += emlSuffix
		}
		c.write(odd, wire)
		c.must(c.rec.msgs(box, odd))
		for m, want := range map[*Message]string{m: "Subject: x\r\n\r\nbody\r\n", odd: wire} {
			msg, err := c.Read(m)
			c.must(err)
			got, err := io.ReadAll(msg.Wire())
			if err != nil || string(got) != want || !msg.Meta.Date.Equal(m.Date) || len(msg.Meta.Flags) != len(m.Flags) {
				t.Errorf("%s: %q, %+v, %v, want %q", format, got, msg.Meta, err, want)
			}
			c.must(msg.Close())
		}
		name, err := c.Path(m)
		c.must(err)
		name, _, _ = strings.Cut(name, "@")
		c.must(os.Remove(name))
		c.must(os.Symlink("/etc/passwd", name))
		if _, err := c.Read(m); !errors.Is(err, errNotRegular) { // F3
			t.Errorf("%s: a symbolic link in the place of a message: %v", format, err)
		}
	}
}

// TestS5_MemoryOfAnIndex holds what a message may take in memory.
func TestS5_MemoryOfAnIndex(t *testing.T) {
	const n = 200_000
	text := bytes.NewReader(manyMessages(n))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := newIndex(&manifestLog{})
	if err := x.replay(text, 0, text.Size()); err != nil || x.entries.n != n {
		t.Fatal(err, x.entries.n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(x)
	runtime.KeepAlive(text)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; each < 40 || each > 64 {
		t.Errorf("%d octets for each message, want 64 at most", each)
	} else {
		t.Logf("%d octets for each message", each)
	}
}

// TestS5_SameContent has many messages that are the same, which share a place in the
// table of digests.
func TestS5_SameContent(t *testing.T) {
	var w lineWriter
	w.writeBox(1, &Mailbox{Name: "A", Dir: "A"})
	const n = 100_000
	for i := range n {
		w.writeMsg(1, &Message{UIDValidity: 1, UID: uint32(i + 1), File: fmt.Sprint(i), EmailID: "same"})
	}
	x := newIndex(&manifestLog{})
	start := time.Now()
	if err := x.replay(strings.NewReader(string(w.b)), 0, int64(len(w.b))); err != nil || x.entries.n != n {
		t.Fatal(err, x.entries.n)
	}
	if x.byDigest.n != 1 || x.byOID.n != 1 {
		t.Errorf("%d digests and %d ids in the tables (%v), want 1", x.byDigest.n, x.byOID.n, time.Since(start))
	}
}

// TestSameHint has two digests that begin with the same 64 bits.
func TestSameHint(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("INBOX")
	a := c.message(box, 1, 1, "one")
	b := c.message(box, 1, 2, "two")
	copy(b.Digest[:8], a.Digest[:8])
	c.must(c.rec.msgs(box, a, b))
	c.must(c.rec.commit())
	if m, ok, err := c.tip.digest(a.Digest); err != nil || !ok || m.UID != 1 {
		t.Errorf("the first: %+v, %v, %v", m, ok, err)
	}
	if m, ok, err := c.tip.digest(b.Digest); err != nil || ok {
		t.Errorf("the second is taken for %+v, %v", m, err)
	}
}

func TestErrTooLong(t *testing.T) {
	c := newRepo(t, FormatMaildir)
	box := c.box("INBOX")
	m := c.message(box, 1, 1, "one", strings.Repeat("x", maxLine))
	if err := c.rec.msgs(box, m); err != errTooLong {
		t.Errorf("a flag of a mebibyte: %v, want errTooLong", err)
	}
	many := c.message(box, 1, 1, "one")
	for i := range maxStrings + 1 {
		many.Flags = append(many.Flags, fmt.Sprint("k", i))
	}
	if err := c.rec.msgs(box, many); err != errTooLong {
		t.Errorf("%d flags: %v, want errTooLong", len(many.Flags), err)
	}
	c.put(box, 1, 2, "two")
	c.snap(time.Unix(1e9, 0))
	if c = c.reopen(false); c.Damage() != nil || c.Snapshots()[0].Messages != 1 {
		t.Errorf("%v, %+v", c.Damage(), c.Snapshots())
	}
}

func BenchmarkMessages(b *testing.B) {
	c := newRepo(b, FormatMaildir)
	box := c.box("INBOX")
	const n = 10_000
	for i := range uint32(n) {
		m := &Message{Mailbox: c.boxOf(box), UIDValidity: 1, UID: i + 1, Size: 1, Date: time.Unix(1e9, 0), Digest: sha256.Sum256(binary.BigEndian.AppendUint32(nil, i))}
		m.File = factsOf(m, 1, false).name()
		c.must(c.rec.msgs(box, m))
	}
	c.must(c.rec.commit())
	b.SetBytes(c.log.size)
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		for _, err := range c.Messages("") {
			c.must(err)
			count++
		}
		if count != n {
			b.Fatal(count)
		}
	}
}
