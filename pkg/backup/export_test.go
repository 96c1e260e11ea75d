package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/mail-toolkit/mail/pkg/store"
)

// exported writes an export and tells what it holds: mailbox ("" in an mbox), digest, flags, date.
func exported(t *testing.T, r *Repo, o ExportOptions) (facts []string, raw []byte, res ExportResult) {
	t.Helper()
	var b bytes.Buffer
	res, err := r.Export(context.Background(), &b, o)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.Clone(b.Bytes())
	if o.Format == ExportMbox {
		for m, err := range store.ReadMbox(&b) {
			if err != nil {
				t.Fatal(err)
			}
			facts = append(facts, factLine("", sumOf(t, m.Wire()), m.Meta.Flags, m.Meta.Date))
		}
		slices.Sort(facts)
		return facts, raw, res
	}
	in := io.Reader(&b)
	if o.Format == ExportTarZst {
		z, err := zstd.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		in = z
	}
	dir := t.TempDir()
	untar(t, in, dir)
	facts = maildirFacts(t, dir)
	slices.Sort(facts)
	return facts, raw, res
}

// untar writes an archive to a directory.
func untar(t *testing.T, in io.Reader, dir string) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err == nil && h.Typeflag == tar.TypeDir {
			err = root.MkdirAll(h.Name, 0o700)
		} else if err == nil {
			var data []byte
			if data, err = io.ReadAll(tr); err == nil {
				err = errors.Join(root.WriteFile(h.Name, data, 0o600), root.Chtimes(h.Name, h.ModTime, h.ModTime))
			}
			if h.Mode != 0o600 {
				t.Errorf("got a file %q with mode %o", h.Name, h.Mode)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// maildirFacts tells all messages of the Maildirs below a directory.
func maildirFacts(t *testing.T, dir string) (facts []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cur" {
			return err
		}
		box := filepath.Dir(name)
		rel, _ := filepath.Rel(dir, box)
		for m, err := range store.ReadMaildir(box) {
			if err != nil {
				return err
			}
			base, _ := cutInfo(filepath.Base(m.Path))
			if told, ok := parseFileName(base); !ok || told.WireSize != m.WireSize() || told.Size != m.Size() {
				t.Errorf("the name %q does not fit to %d octets, %d on the wire", m.Path, m.Size(), m.WireSize())
			}
			facts = append(facts, factLine(filepath.ToSlash(rel), sumOf(t, m.Wire()), m.Meta.Flags, m.Meta.Date))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(facts)
	return facts
}

// TestExport writes a backup in every format: all messages come back, and the octets are the same each time.
func TestExport(t *testing.T) {
	for _, repoFormat := range formats {
		repo := stocked(t, repoFormat)
		for _, format := range []string{ExportMbox, ExportTar, ExportTarZst} {
			o := ExportOptions{Format: format, Selection: Selection{At: "latest"}}
			got, raw, res := exported(t, repo.Repo, o)
			var want []string
			for m, err := range repo.Messages("") {
				repo.must(err)
				sm, err := repo.Read(m)
				repo.must(err)
				mailbox := m.Mailbox.Dir
				if format == ExportMbox {
					mailbox = ""
				}
				want = append(want, factLine(mailbox, sumOf(t, sm.Wire()), m.Flags, m.Date))
				repo.must(sm.Close())
			}
			slices.Sort(want)
			sameLines(t, repoFormat+" to "+format, got, want)
			if res.Messages != len(want) || res.Failed != 0 || res.Size == 0 {
				t.Errorf("got %+v", res)
			}
			if _, again, _ := exported(t, repo.Repo, o); !bytes.Equal(raw, again) {
				t.Errorf("%s to %s: the octets are others the second time", repoFormat, format)
			}
		}
	}
}

// TestExport_Programs unpacks archives with the programs that people have.
func TestExport_Programs(t *testing.T) {
	for _, format := range formats {
		repo := stocked(t, format)
		var want []string
		for m, err := range repo.Messages("") {
			repo.must(err)
			sm, err := repo.Read(m)
			repo.must(err)
			want = append(want, factLine(m.Mailbox.Dir, sumOf(t, sm.Wire()), m.Flags, m.Date))
			repo.must(sm.Close())
		}
		slices.Sort(want)
		for _, c := range [][]string{{ExportTar, "tar", "-xf"}, {ExportTarZst, "tar", "--zstd", "-xf"}} {
			for _, program := range []string{"tar", "zstd"} {
				if _, err := exec.LookPath(program); err != nil {
					t.Skip(err)
				}
			}
			dir := t.TempDir()
			archive := filepath.Join(dir, "archive")
			f, err := os.Create(archive)
			repo.must(err)
			_, err = repo.Export(context.Background(), f, ExportOptions{Format: c[0]})
			repo.must(errors.Join(err, f.Close()))
			out, err := exec.Command(c[1], append(c[2:], archive, "-C", dir)...).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Fatalf("%q: %v\n%s", c, err, out)
			}
			sameLines(t, format+" as "+c[0], maildirFacts(t, dir), want)
		}
	}
}

// TestExport_Selection exports some messages of some mailboxes.
func TestExport_Selection(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	got, _, res := exported(t, repo.Repo, ExportOptions{Format: ExportTar, Selection: Selection{Patterns: []string{"INBOX"},
		Since: time.Date(2026, 11, 22, 11, 0, 9, 0, time.UTC), Match: func(m *Message, _ *store.Message) bool { return m.UID != 10 }}})
	if len(got) != 3 || res.Messages != 3 {
		t.Errorf("got %d messages, %+v, want 3", len(got), res)
	}
}

// TestExport_Damaged leaves out what is not as it was stored, and says so.
func TestExport_Damaged(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	for m, err := range repo.Messages("", "Sent") {
		repo.must(err)
		name, err := repo.Path(m)
		repo.must(err)
		repo.must(os.WriteFile(name, []byte("other octets"), 0o600))
		break
	}
	got, _, res := exported(t, repo.Repo, ExportOptions{Format: ExportTar})
	if len(got) != 21 || res.Failed != 1 || len(res.Missing) != 1 || res.Missing[0].UID != 3 || res.Missing[0].Err == nil {
		t.Errorf("got %d messages, %+v", len(got), res)
	}
}

// failingWriter takes n octets.
type failingWriter struct{ n int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

// TestExport_Errors ends with the error of the writer, wherever it comes, and of the context.
func TestExport_Errors(t *testing.T) {
	repo := stocked(t, FormatMaildir)
	for _, format := range []string{ExportMbox, ExportTar, ExportTarZst} {
		_, raw, _ := exported(t, repo.Repo, ExportOptions{Format: format})
		for n := 0; n < len(raw); n += 1 + len(raw)/50 {
			if _, err := repo.Export(context.Background(), &failingWriter{n}, ExportOptions{Format: format}); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s, after %d octets: got %v", format, n, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := repo.Export(ctx, io.Discard, ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := repo.Export(context.Background(), io.Discard, ExportOptions{Format: "rar"}); err == nil {
		t.Error("another format: got no error")
	}
}
