package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/mail-toolkit/mail/pkg/store"
)

// exported writes an export and tells what it holds: mailbox ("" in an mbox), digest, flags (of an mbox), date.
func exported(t *testing.T, r *Repo, o ExportOptions) (facts []string, raw []byte, res ExportResult) {
	t.Helper()
	var b bytes.Buffer
	res, err := r.Export(context.Background(), &b, o)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.Clone(b.Bytes())
	digest := func(r io.Reader) []byte {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			t.Fatal(err)
		}
		return h.Sum(nil)
	}
	if o.Format == ExportMbox {
		for m, err := range store.ReadMbox(&b) {
			if err != nil {
				t.Fatal(err)
			}
			facts = append(facts, factLine("", digest(m.Wire()), m.Meta.Flags, m.Meta.Date))
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
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if !strings.HasSuffix(h.Name, ".eml") || strings.HasSuffix(h.Name, ".eml.eml") || h.Mode != 0o600 {
			t.Errorf("got a file %q with mode %o", h.Name, h.Mode)
		}
		facts = append(facts, factLine(h.Name[:strings.LastIndex(h.Name, "/")], digest(tr), nil, h.ModTime))
	}
	slices.Sort(facts)
	return facts, raw, res
}

// TestExport writes a backup in every format: all messages come back, and the octets are the same each time.
func TestExport(t *testing.T) {
	for _, repoFormat := range []string{FormatMaildir, FormatEML} {
		repo := stocked(t, repoFormat)
		for _, format := range []string{ExportMbox, ExportTar, ExportTarZst} {
			o := ExportOptions{Format: format, Selection: Selection{At: "latest"}}
			got, raw, res := exported(t, repo.Repo, o)
			var want []string
			for m, err := range repo.Messages("") {
				repo.must(err)
				sm, err := repo.Read(m)
				repo.must(err)
				h := sha256.New()
				_, err = io.Copy(h, sm.Wire())
				repo.must(errors.Join(err, sm.Close()))
				mailbox, flags := m.Mailbox.Dir, []string(nil)
				if format == ExportMbox {
					mailbox, flags = "", m.Flags
				}
				want = append(want, factLine(mailbox, h.Sum(nil), flags, m.Date))
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
