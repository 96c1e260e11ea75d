//go:build unix

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// readAll reads a source whole.
func readAll(t testing.TB, src string) (wire []string, meta []Meta, paths []string) {
	t.Helper()
	s, err := OpenSource(src)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range s.Messages(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m.Wire())
		if err != nil {
			t.Fatal(err)
		}
		wire, meta, paths = append(wire, string(b)), append(meta, m.Meta), append(paths, m.Path)
	}
	return wire, meta, paths
}

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConformance holds every kind of destination to the same: messages come back
// octet for octet, in the order they were put, with their dates, flags where there
// is a place for them, and under the names that were given.
func TestConformance(t *testing.T) {
	flags := [][]string{nil, {`\Seen`}, {`\Draft`, `\Flagged`, "$Forwarded", `\Answered`, `\Seen`, `\Deleted`}, {`\Seen`, "work"}}
	in := samples()
	for name, k := range kinds(t) {
		for _, how := range []string{"put", "batch"} {
			t.Run(name+" "+how, func(t *testing.T) {
				dest := k.dest + how
				s := open(t, dest, SinkOptions{})
				var names []string
				b := s.Batch()
				for i, wire := range in {
					m := Meta{Date: when.Add(time.Duration(i) * time.Minute), Flags: flags[i%len(flags)], From: "alice@example.org"}
					if how == "put" {
						names = append(names, put(t, s, wire, m))
					} else if err := b.Add(context.Background(), strings.NewReader(wire), m); err != nil {
						t.Fatal(err)
					}
				}
				more, err := b.Commit(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, more...)
				got, meta, paths := readAll(t, dest)
				compare(t, got, in, false)
				if !slices.Equal(paths, names) {
					t.Errorf("paths: got %.300q, want %.300q", paths, names)
				}
				for i, m := range meta {
					want := flags[i%len(flags)]
					if name == "eml" {
						want = nil
					}
					if !m.Date.Equal(when.Add(time.Duration(i)*time.Minute)) || !slices.Equal(m.Flags, want) {
						t.Errorf("message %d: got %v %q, want flags %q", i, m.Date, m.Flags, want)
					}
				}
			})
		}
	}
}

// TestFromLineDates: dates of all habits.
func TestFromLineDates(t *testing.T) {
	utc := func(h int) time.Time { return time.Date(2024, 1, 2, h, 4, 5, 0, time.UTC) }
	for line, want := range map[string]time.Time{
		"a@b Tue Jan  2 03:04:05 2024":                   utc(3),
		"a@b Tue Jan 02 03:04:05 2024":                   utc(3),
		"Tue Jan  2 03:04:05 2024":                       utc(3),
		"- Tue Jan  2 03:04:05 2024":                     utc(3),
		"a@b Tue Jan  2 03:04:05 UTC 2024":               utc(3),
		"a@b Tue Jan  2 03:04:05 EST 2024":               utc(8),
		"a@b Tue Jan  2 03:04:05 +0100 2024":             utc(2),
		"a@b Tue Jan  2 03:04:05 2024 -0500":             utc(8),
		"1234567890@xxx Tue Jan 02 03:04:05 +0000 2024":  utc(3),
		"a@b Tue, 2 Jan 2024 03:04:05 +0100":             utc(2),
		"a@b 2 Jan 2024 03:04:05 GMT":                    utc(3),
		"a@b 2024-01-02 03:04:05 +0100":                  utc(2),
		"a@b Tue Jan  2 03:04 2024":                      utc(3).Add(-5 * time.Second),
		"a@b Tue Jan  2 03:04:05 2024 remote from host":  utc(3),
		"Alice Smith Tue Jan  2 03:04:05 2024":           utc(3),
		"May Tue Jan  2 03:04:05 2024":                   utc(3),
		"a@b  Tue  Jan  2  03:04:05  2024  flags=\\Seen": utc(3),
		"a@b Tue Jan  2 03:04:05 99":                     time.Date(1999, 1, 2, 3, 4, 5, 0, time.UTC),
		"a@b Tue Jan 42 03:04:05 2024":                   {},
		"a@b di jan 2 03:04:05 2024":                     {},
	} {
		f, ok := parseFromLine([]byte("From " + line))
		if !ok || !f.date.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", line, f.date, ok, want)
		}
	}
	for _, line := range []string{"", "now on", "me to you at 12:30", "Jan 2 2024", "a@b 99:99"} {
		if _, ok := parseFromLine([]byte("From " + line)); ok {
			t.Errorf("%q: taken for the beginning of a message", line)
		}
	}
}

// TestMboxKinds: one file, read as each kind.
func TestMboxKinds(t *testing.T) {
	line := "From a@b Tue Jan  2 03:04:05 2024\n"
	body := "x\n\n" + line + ">From y\n>>From z\n\n"
	cl := func(n int, body string) string { return fmt.Sprintf("%sContent-Length: %d\n\n%s", line, n, body) }
	tests := []struct {
		name, kind, in string
		want           []string
	}{
		{"rd", "mbox", line + "a\n>From y\n>>From z\n\n" + line + "b\n", []string{"a\r\nFrom y\r\n>From z\r\n", "b\r\n"}},
		{"o", "mboxo", line + "a\n>From y\n>>From z\n>x\n\n" + line + "b\n", []string{"a\r\nFrom y\r\n>>From z\r\n>x\r\n", "b\r\n"}},
		{"o, long run", "mboxo", line + strings.Repeat(">", 70000) + "From\n", []string{strings.Repeat(">", 70000) + "From\r\n"}},
		{"cl2", "mboxcl2", cl(len(body)-1, body) + cl(2, "b\n"), []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body)-1, strings.ReplaceAll(body[:len(body)-1], "\n", "\r\n")), "Content-Length: 2\r\n\r\nb\r\n"}},
		{"cl2, wrong length", "mboxcl2", cl(1, "b\n>From y\n\n") + cl(99, "c\n"), []string{
			"Content-Length: 1\r\n\r\nb\r\n>From y\r\n", "Content-Length: 99\r\n\r\nc\r\n"}},
		{"cl2, none", "mboxcl2", line + "a: b\n\nc\n\n" + line + "d\n", []string{"a: b\r\n\r\nc\r\n", "d\r\n"}},
		{"cl2, not a number", "mboxcl2", line + "Content-Length: -1\n\nc\n\n" + line + "d\n", []string{"Content-Length: -1\r\n\r\nc\r\n", "d\r\n"}},
		{"cl2, no header end", "mboxcl2", line + "a: b\n" + cl(2, "b\n"), []string{"a: b\r\n", "Content-Length: 2\r\n\r\nb\r\n"}},
		{"length not believed unasked", "mbox", cl(len(body)-1, body), []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\nx\r\n", len(body)-1), "From y\r\n>From z\r\n"}},
	}
	for _, tt := range tests {
		path := writeFile(t, filepath.Join(t.TempDir(), "x"), tt.in)
		if got, _, _ := readAll(t, tt.kind+":"+path); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %.200q, want %.200q", tt.name, got, tt.want)
		}
	}
}

// TestStatusFlags: the flags that other programs write into an mbox.
func TestStatusFlags(t *testing.T) {
	for in, want := range map[string][]string{
		"Status: RO\n\n":                        {`\Seen`},
		"Status: O\nX-Status: AFTD\n\n":         {`\Answered`, `\Flagged`, `\Draft`, `\Deleted`},
		"X-Keywords: work  home\nStatus: R\n\n": {`\Seen`, "work", "home"},
		"Subject: x\n\nStatus: RO\n":            nil,
	} {
		path := writeFile(t, filepath.Join(t.TempDir(), "x"), "From a@b Tue Jan  2 03:04:05 2024\n"+in)
		if _, meta, _ := readAll(t, path); len(meta) != 1 || !slices.Equal(meta[0].Flags, want) {
			t.Errorf("%q: got %v, want %q", in, meta, want)
		}
	}
}

// TestKeywords: the letters of a Maildir have the meaning that Dovecot wrote down.
func TestKeywords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	_ = open(t, "maildir:"+dir, SinkOptions{}).Close()
	writeFile(t, filepath.Join(dir, "dovecot-keywords"), "0 work\n1 $Junk\nx y\n99 far\n-1 z\n")
	for name, want := range map[string][]string{"1:2,Sab": {`\Seen`, "work", "$Junk"}, "2:2,c": nil, "3;2,Fb": {`\Flagged`, "$Junk"}, "4!2,S": {`\Seen`}, "5,S=2,W=2": nil} {
		path := writeFile(t, filepath.Join(dir, "cur", name), "a\n")
		if _, meta, _ := readAll(t, dir); len(meta) != 1 || !slices.Equal(meta[0].Flags, want) {
			t.Errorf("%s: got %v, want %q", name, meta, want)
		}
		_ = os.Remove(path)
	}
}

// TestMaildirRenamed: a message whose flags change while the Maildir is read is not
// lost.
func TestMaildirRenamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	_ = open(t, "maildir:"+dir, SinkOptions{}).Close()
	for i := range 4 {
		writeFile(t, filepath.Join(dir, "new", fmt.Sprint(i)), fmt.Sprintf("%d\n", i))
	}
	s, _ := OpenSource(dir)
	var got []string
	for m, err := range s.Messages(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 { // another program looks at the mailbox and removes one
			for _, i := range []string{"1", "3"} {
				_ = os.Rename(filepath.Join(dir, "new", i), filepath.Join(dir, "cur", i+":2,S"))
			}
			_ = os.Remove(filepath.Join(dir, "new", "2"))
		}
		got = append(got, filepath.Base(m.Path))
	}
	if want := []string{"0", "1:2,S", "3:2,S"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOpenSource: kinds, named and recognised.
func TestOpenSource(t *testing.T) {
	dir := t.TempDir()
	mbox := writeFile(t, filepath.Join(dir, "mbox"), "\nFrom a\nb\n")
	empty := writeFile(t, filepath.Join(dir, "empty"), "")
	eml := writeFile(t, filepath.Join(dir, "eml", "a.EML"), "b: c\r\n")
	text := writeFile(t, filepath.Join(dir, "text", "x.txt"), "hello hello hello")
	md := filepath.Join(dir, "md")
	_ = open(t, "maildir:"+md, SinkOptions{}).Close()
	for src, want := range map[string]Kind{
		mbox: KindMbox, "mbox:" + mbox: KindMbox, "mboxrd:" + mbox: KindMbox, "mboxcl:" + mbox: KindMbox, "mboxo:" + mbox: KindMboxO, "mboxcl2:" + mbox: KindMboxCL2,
		empty: KindMbox, eml: KindEML, "eml:" + eml: KindEML, filepath.Dir(eml): KindEML, "eml:" + filepath.Dir(text): KindEML, md: KindMaildir, "maildir:" + md: KindMaildir,
	} {
		if s, err := OpenSource(src); err != nil || s.Kind != want {
			t.Errorf("%s: got %+v, %v, want %s", src, s, err, want)
		}
	}
	var bad *Error
	for _, src := range []string{text, filepath.Dir(text), "mbox:" + md, "maildir:" + mbox, "mbox:" + eml, "maildir:" + filepath.Dir(eml), "/dev/null"} {
		if s, err := OpenSource(src); !errors.As(err, &bad) {
			t.Errorf("%s: got %+v, %v, want an *Error", src, s, err)
		}
	}
	for _, src := range []string{"", "mbox:", filepath.Join(dir, "none"), "maildir:" + filepath.Join(dir, "none")} {
		if s, err := OpenSource(src); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: got %+v, %v, want that it is not there", src, s, err)
		}
	}
}

// TestFolders: Maildir++, nested Maildirs, and files beside them.
func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"", ".Sent", ".A.B", "nested/deep", "nested/deep/er"} {
		for _, s := range maildirSubs {
			if err := os.MkdirAll(filepath.Join(dir, "root", sub, s), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	writeFile(t, filepath.Join(dir, "root", "dovecot-uidlist"), "From nobody")
	writeFile(t, filepath.Join(dir, "root", "cur", "1:2,S"), "a\n")
	writeFile(t, filepath.Join(dir, "Mail", "inbox"), "From a@b Tue Jan  2 03:04:05 2024\nx\n")
	writeFile(t, filepath.Join(dir, "Mail", "notes"), "hello hello hello hello")
	writeFile(t, filepath.Join(dir, "saved", "1.eml"), "a: b\r\n")
	if err := os.Symlink("..", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	folders, err := Folders(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range folders {
		got = append(got, f.Name+" "+string(f.Kind))
	}
	want := []string{"Mail/inbox mbox", "root maildir", "root/A/B maildir", "root/Sent maildir", "root/nested/deep maildir",
		"root/nested/deep/er maildir", "saved eml"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestConvert: every kind into every kind, interrupted and completed.
func TestConvert(t *testing.T) {
	in := append(samples()[:30], "a: b\r\n\r\ntwice\r\n", "a: b\r\n\r\ntwice\r\n")
	for from, src := range kinds(t) {
		s := open(t, src.dest, SinkOptions{})
		for i, wire := range in {
			put(t, s, wire, Meta{Date: when.Add(time.Duration(i) * time.Second), Flags: []string{`\Seen`}[:i%2]})
		}
		_ = s.Close()
		for to, dest := range kinds(t) {
			t.Run(from+" to "+to, func(t *testing.T) { testConvert(t, src.dest, dest.dest, in) })
		}
	}
}

func testConvert(t *testing.T, src, dest string, in []string) {
	source, err := OpenSource(src)
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, src)
	seen := 0
	stop := errors.New("enough")
	if _, err := Convert(context.Background(), source, dest, ConvertOptions{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.SplitN(dest, ":", 2)[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a dry run made the destination")
	}
	_, err = Convert(context.Background(), source, dest, ConvertOptions{Stored: func(string, string) error {
		seen++
		return stop
	}})
	if !errors.Is(err, stop) || seen != 1 {
		t.Fatalf("got %v after %d", err, seen)
	}
	var total Converted
	for range 2 {
		done, err := Convert(context.Background(), source, dest, ConvertOptions{})
		if err != nil {
			t.Fatal(err)
		}
		total = done
	}
	if total != (Converted{Already: len(in)}) {
		t.Errorf("the last run: got %+v, want all %d there", total, len(in))
	}
	got, meta, _ := readAll(t, dest)
	compare(t, got, in, false)
	for i, m := range meta {
		if want := when.Add(time.Duration(i) * time.Second); !m.Date.Equal(want) {
			t.Errorf("message %d: got date %v, want %v", i, m.Date, want)
		}
		if strings.Contains(src, "eml:") || strings.Contains(dest, "eml:") {
			continue
		}
		if want := []string{`\Seen`}[:i%2]; !slices.Equal(m.Flags, want) {
			t.Errorf("message %d: got flags %q, want %q", i, m.Flags, want)
		}
	}
	if after := listing(t, src); after != before {
		t.Errorf("source changed:\n%s\nbefore:\n%s", after, before)
	}
	var bad *Error
	if _, err := Convert(context.Background(), source, src, ConvertOptions{}); !errors.As(err, &bad) {
		t.Errorf("into itself: got %v", err)
	}
}

// TestDedupe: the oldest stays, and what is moved is whole.
func TestDedupe(t *testing.T) {
	for _, name := range []string{"maildir", "eml"} {
		dir := t.TempDir()
		dest := name + ":" + filepath.Join(dir, "x")
		s := open(t, dest, SinkOptions{})
		newer := put(t, s, "Message-ID: <1>\r\n\r\na\r\n", Meta{Date: when.Add(time.Hour)})
		oldest := put(t, s, "Message-ID: <1>\r\n\r\na\r\n", Meta{Date: when})
		other := put(t, s, "Message-ID: <1>\r\n\r\nb\r\n", Meta{Date: when.Add(time.Minute)})
		put(t, s, "c\r\n", Meta{})
		put(t, s, "d\r\n", Meta{})
		src, err := OpenSource(dest)
		if err != nil {
			t.Fatal(err)
		}
		to := "maildir:" + filepath.Join(dir, "to")
		run := func(o DedupeOptions, want ...Duplicate) {
			t.Helper()
			var got []Duplicate
			o.Found = func(d Duplicate) error {
				if (d.To != "") != (o.To != nil && !o.DryRun) {
					t.Errorf("moved to %q", d.To)
				}
				d.To = ""
				got = append(got, d)
				return nil
			}
			n, err := Dedupe(context.Background(), src, o)
			if err != nil || n != len(want) || !slices.Equal(got, want) {
				t.Errorf("%s: got %d %v, %v, want %v", name, n, got, err, want)
			}
		}
		before := listing(t, dest)
		run(DedupeOptions{DryRun: true}, Duplicate{Path: newer, Of: oldest})
		run(DedupeOptions{DryRun: true, ByMessageID: true}, Duplicate{Path: other, Of: oldest}, Duplicate{Path: newer, Of: oldest})
		if after := listing(t, dest); after != before {
			t.Errorf("%s: a dry run changed:\n%s\nto:\n%s", name, before, after)
		}
		run(DedupeOptions{To: open(t, to, SinkOptions{})}, Duplicate{Path: newer, Of: oldest})
		run(DedupeOptions{})
		if got, _, _ := readAll(t, to); !slices.Equal(got, []string{"Message-ID: <1>\r\n\r\na\r\n"}) {
			t.Errorf("%s: moved: got %q", name, got)
		}
		run(DedupeOptions{ByMessageID: true}, Duplicate{Path: other, Of: oldest})
		if got, _, _ := readAll(t, dest); len(got) != 3 {
			t.Errorf("%s: left: got %q, want 3", name, got)
		}
	}
	var bad *Error
	path := writeFile(t, filepath.Join(t.TempDir(), "x.eml"), "a\nb\n")
	if _, err := Dedupe(context.Background(), &Source{KindEML, path}, DedupeOptions{}); !errors.As(err, &bad) {
		t.Errorf("one file: got %v, want an *Error", err)
	}
}

// TestDedupeChanged: a message that has changed since it was looked at stays.
func TestDedupeChanged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "md")
	s := open(t, "maildir:"+dir, SinkOptions{})
	for range 3 {
		put(t, s, "a\r\n", Meta{Date: when})
	}
	src, _ := OpenSource(dir)
	n := 0
	_, err := Dedupe(context.Background(), src, DedupeOptions{Found: func(d Duplicate) error {
		n++
		return os.WriteFile(d.Of, []byte("changed\n"), 0o600)
	}})
	if got, _, _ := readAll(t, dir); err != nil || n != 1 || len(got) != 2 {
		t.Errorf("got %d duplicates, %v, left %q; want 1 and 2 messages left", n, err, got)
	}
}
