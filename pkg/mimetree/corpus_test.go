package mimetree

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// corpus gives the folder of a corpus, or skips the test.
func corpus(t testing.TB, name string) string {
	dir := filepath.Join("..", "..", "..", "shared", "corpora", name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("corpus %s is not here: %v", name, err)
	}
	return dir
}

// shape writes a message as a tree: leaves as the octets they decode to, in order.
func shape(data []byte) (tree string, leaves [][]byte, parts []*Part, err error) {
	var b strings.Builder
	var leave []string
	visit := func(p *Part, body *Body) error {
		parts = append(parts, p)
		for len(leave) > p.Depth {
			b.WriteString(leave[len(leave)-1])
			leave = leave[:len(leave)-1]
		}
		switch {
		case p.Container && p.Multipart():
			b.WriteString("multipart(")
			leave = append(leave, ")")
		case p.Container:
			b.WriteString("message(")
			leave = append(leave, ")")
		default:
			b.WriteString("leaf ")
			var out bytes.Buffer
			if _, err := body.WriteTo(&out); err != nil {
				return err
			}
			leaves = append(leaves, out.Bytes())
		}
		return nil
	}
	err = Walk(bytes.NewReader(data), &WalkOptions{OpenEncoded: true}, visit)
	for i := len(leave) - 1; i >= 0; i-- {
		b.WriteString(leave[i])
	}
	return b.String(), leaves, parts, err
}

var xmlTag = regexp.MustCompile(`<(/?(?:message|multipart|body-part))>|<(?:text|binary)-body name="([^"]*)"`)

// expected reads NAME_decoded.xml: the same notation, and the files of the leaves.
func expected(xml []byte) (tree string, files []string) {
	var b strings.Builder
	depth := 0
	for _, m := range xmlTag.FindAllSubmatch(xml, -1) {
		switch string(m[1]) {
		case "message":
			if depth++; depth > 1 {
				b.WriteString("message(")
			}
		case "/message":
			if depth--; depth > 0 {
				b.WriteString(")")
			}
		case "multipart":
			b.WriteString("multipart(")
		case "/multipart":
			b.WriteString(")")
		case "":
			b.WriteString("leaf ")
			files = append(files, string(m[2]))
		}
	}
	return b.String(), files
}

// exceptions reads the table of the messages where this walker and the expected tree differ, and why.
func exceptions(t *testing.T) map[string]string {
	reasons := make(map[string]string)
	for line := range strings.Lines(string(readFile(t, filepath.Join("testdata", "mime-tools.tsv")))) {
		name, reason, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok || reason == "" {
			t.Fatalf("no reason in %q", line)
		}
		reasons[name] = reason
	}
	return reasons
}

// textAfterFalseBlank proves that nothing but the text is more than expected, and that it is all of it.
func textAfterFalseBlank(t *testing.T, tree string, leaves [][]byte, parts []*Part, want string, bodies [][]byte) {
	text := "The header is not properly terminated; the \"blank line\" \nactually has a space in it.\n\n"
	if tree != want || lf(leaves[0]) != text || len(bodies[0]) != 0 || defectIDs(parts[0].Defects) != "header-end-missing" {
		t.Errorf("got %s %q %v", tree, leaves, parts[0].Defects)
	}
}

func lf(b []byte) string { return strings.ReplaceAll(string(b), "\r\n", "\n") }

func TestMimeToolsTrees(t *testing.T) {
	dir := corpus(t, "mime-tools")
	names, err := filepath.Glob(filepath.Join(dir, "*.msg"))
	if err != nil || len(names) < 48 {
		t.Fatalf("corpus incomplete: %d messages, %v", len(names), err)
	}
	reasons := exceptions(t)
	for _, name := range names {
		base := strings.TrimSuffix(filepath.Base(name), ".msg")
		t.Run(base, func(t *testing.T) {
			data := readFile(t, name)
			want, files := expected(readFile(t, filepath.Join(dir, base+"_decoded.xml")))
			var bodies [][]byte
			for _, f := range files {
				bodies = append(bodies, readFile(t, filepath.Join(dir, f)))
			}
			got, leaves, parts, err := shape(data)
			if err != nil {
				t.Fatal(err)
			}
			if reasons[base] != "" {
				delete(reasons, base)
				textAfterFalseBlank(t, got, leaves, parts, want, bodies)
				return
			}
			if got != want {
				t.Fatalf("tree\n got %s\nwant %s", got, want)
			}
			for i := range bodies {
				if lf(leaves[i]) != lf(bodies[i]) {
					t.Errorf("leaf %d (%s)\n got %s\nwant %s", i, files[i], clip(leaves[i]), clip(bodies[i]))
				}
			}
		})
	}
	if len(reasons) > 0 {
		t.Errorf("exceptions for nothing: %v", reasons)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// corpusFiles gives every file of the corpora that is a message, or was meant to be one.
func corpusFiles(t testing.TB) []string {
	var files []string
	for _, name := range []string{"mime-tools", "flanker", "postal-mime", "ruby-mail", "enmime", "cpython-email", "mox"} {
		err := filepath.WalkDir(corpus(t, name), func(path string, e os.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestCorporaForms walks everything in LF and in CRLF form: the trees are the same, the decoded leaves are, and the sizes add up.
func TestCorporaForms(t *testing.T) {
	files := corpusFiles(t)
	if len(files) < 500 {
		t.Fatalf("only %d files", len(files))
	}
	walked := 0
	for _, name := range files {
		data := readFile(t, name)
		if bytes.Contains(data, []byte("\r")) && bytes.Count(data, []byte("\r\n")) != bytes.Count(data, []byte("\n")) || bytes.Contains(data, []byte("\r\r\n")) {
			_, _, _, _ = shape(data)
			continue
		}
		lfForm := []byte(lf(data))
		tree, leaves, parts, err := shape(lfForm)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		crlfTree, crlfLeaves, crlfParts, err := shape([]byte(strings.ReplaceAll(string(lfForm), "\n", "\r\n")))
		if err != nil || tree != crlfTree {
			t.Errorf("%s: LF form %s, CRLF form %s, %v", name, tree, crlfTree, err)
			continue
		}
		for i := range leaves {
			if lf(leaves[i]) != lf(crlfLeaves[i]) {
				t.Errorf("%s: leaf %d: LF form %s, CRLF form %s", name, i, clip(leaves[i]), clip(crlfLeaves[i]))
			}
		}
		for i, p := range parts {
			if q := crlfParts[i]; p.ID != q.ID || p.Filename != q.Filename || defectIDs(p.Defects) != defectIDs(q.Defects) {
				t.Errorf("%s: part %s %q %v, in CRLF form %s %q %v", name, p.ID, p.Filename, p.Defects, q.ID, q.Filename, q.Defects)
			}
			if end := p.BodyOffset + p.Size; p.BodyOffset < p.HeaderOffset || end > int64(len(lfForm)) {
				t.Errorf("%s: part %s at %d, body %d, size %d of %d", name, p.ID, p.HeaderOffset, p.BodyOffset, p.Size, len(lfForm))
			}
		}
		walked++
	}
	t.Logf("%d files in both forms", walked)
}

func clip(b []byte) string {
	if len(b) > 200 {
		return fmt.Sprintf("%d octets %q ... %q", len(b), b[:100], b[len(b)-100:])
	}
	return fmt.Sprintf("%q", b)
}
