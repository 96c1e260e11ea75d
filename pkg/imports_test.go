package pkg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/mail-toolkit/mail/"

// ours says which packages of this module a package may import. Imports only point down this list; a package that is
// not in it may not exist.
var ours = []struct {
	name string
	may  []string
}{
	{"cmd/mail", []string{"pkg/backup", "pkg/popfetch", "pkg/queue", "pkg/server", "pkg/smtp", "pkg/smtp/mx", "pkg/pop3", "pkg/imap", "pkg/imap/imapwire",
		"pkg/store", "pkg/mimetree", "pkg/config", "pkg/auth", "pkg/message", "pkg/wire"}},
	{"pkg/backup", []string{"pkg/imap", "pkg/pop3", "pkg/store", "pkg/message"}},
	{"pkg/popfetch", []string{"pkg/pop3", "pkg/store", "pkg/wire", "pkg/auth"}},
	{"pkg/server", []string{"pkg/imap/imapwire", "pkg/wire", "pkg/auth", "pkg/store", "pkg/mimetree", "pkg/message", "pkg/queue"}},
	{"pkg/queue", []string{"pkg/store", "pkg/message"}},
	{"pkg/smtp", []string{"pkg/wire", "pkg/auth"}},
	{"pkg/smtp/mx", nil},
	{"pkg/pop3", []string{"pkg/wire", "pkg/auth"}},
	{"pkg/imap", []string{"pkg/imap/imapwire", "pkg/wire", "pkg/auth"}},
	{"pkg/imap/imapwire", nil},
	{"pkg/store", []string{"pkg/message"}},
	{"pkg/mimetree", []string{"pkg/message"}},
	{"pkg/config", []string{"pkg/wire", "pkg/auth"}},
	{"pkg/auth", nil},
	{"pkg/message", nil},
	{"pkg/wire", []string{"pkg/wire/inflate"}},
	{"pkg/wire/inflate", nil},
	{"pkg/wire/wiretest", []string{"pkg/wire"}},
	{"pkg/interop", nil}, // for tests only: it may import everything
	{"pkg", nil},         // this test
}

// doors says who may import a module of others. Anything else needs a line here first.
var doors = []struct {
	prefix string
	may    []string
}{
	{"github.com/urfave/cli/v2", []string{"cmd/mail"}},
	{"github.com/mattn/go-isatty", []string{"cmd/mail"}},
	{"github.com/mattn/go-runewidth", []string{"cmd/mail"}},
	{"github.com/dustin/go-humanize", []string{"cmd/mail"}},
	{"golang.org/x/term", []string{"cmd/mail", "pkg/auth"}},
	{"github.com/emersion/go-message", []string{"pkg/mimetree"}},
	{"github.com/emersion/go-sasl", []string{"pkg/auth", "pkg/smtp", "pkg/pop3", "pkg/imap", "pkg/server"}},
	{"github.com/xdg-go/scram", []string{"pkg/auth"}},
	{"github.com/BurntSushi/toml", []string{"pkg/config"}},
	{"github.com/segmentio/asm", []string{"pkg/mimetree"}},
	{"github.com/google/renameio/v2", []string{"pkg/store", "pkg/queue"}},
	{"github.com/gofrs/flock", []string{"pkg/store", "pkg/queue", "pkg/backup"}},
	{"github.com/klauspost/compress", []string{"pkg/imap", "pkg/server", "pkg/backup"}},
	{"golang.org/x/net/html", []string{"pkg/mimetree"}},
	{"golang.org/x/net/idna", []string{"pkg/wire", "pkg/smtp", "pkg/smtp/mx", "pkg/message"}},
	{"golang.org/x/net/html", []string{"pkg/mimetree"}},
	{"golang.org/x/net/dns/dnsmessage", []string{"pkg/wire/wiretest"}},
	{"golang.org/x/net/proxy", []string{"pkg/wire"}},
	{"golang.org/x/text", []string{"pkg/mimetree", "pkg/message", "pkg/auth", "pkg/server"}},
	{"golang.org/x/sys", []string{"pkg/store", "pkg/queue", "pkg/backup"}},
}

// testOnly may be imported by tests anywhere, and by nothing else.
var testOnly = []string{
	module + "pkg/wire/wiretest", module + "pkg/interop",
	"github.com/rogpeppe/go-internal", "github.com/google/go-cmp", "go.uber.org/goleak", "golang.org/x/sys",
}

// std says who may import packages of the standard library that few should need.
var std = map[string][]string{
	"C":         {},
	"unsafe":    {},
	"net/http":  {"pkg/server", "pkg/auth", "cmd/mail"},
	"net/mail":  {},
	"os/signal": {"cmd/mail"},
	"plugin":    {},
}

func TestImports(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (strings.HasPrefix(name, ".") && name != ".." || name == "testdata") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); d.IsDir() && path != ".." && err == nil { // another module
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		checkFile(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d files seen: the test looks at the wrong folder", files)
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	name, _ := filepath.Rel("..", filepath.Dir(path))
	name = filepath.ToSlash(name)
	if !slices.ContainsFunc(ours, func(p struct {
		name string
		may  []string
	}) bool {
		return p.name == name
	}) {
		t.Errorf("%s: package %s is not in the table of imports", path, name)
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if reason := forbidden(name, imported, strings.HasSuffix(path, "_test.go")); reason != "" {
			t.Errorf("%s imports %s: %s", path, imported, reason)
		}
	}
}

// forbidden tells why a package must not import another one, or "".
func forbidden(name, imported string, test bool) string {
	under := func(prefix string) bool { return imported == prefix || strings.HasPrefix(imported, prefix+"/") }
	test = test || name == "pkg/interop"
	if slices.ContainsFunc(testOnly, under) && test {
		return ""
	}
	if inside, ok := strings.CutPrefix(imported, module); ok {
		return forbiddenInside(name, inside, test)
	}
	for _, door := range doors {
		if under(door.prefix) {
			if slices.Contains(door.may, name) {
				return ""
			}
			return "its door is " + strings.Join(door.may, ", ")
		}
	}
	if slices.ContainsFunc(testOnly, under) {
		return "it is for tests only"
	}
	if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
		return "it is not in the table of doors"
	}
	if may, ok := std[imported]; ok && !test && !slices.Contains(may, name) {
		return "it may be used by " + strings.Join(append(may, "nobody else"), ", ")
	}
	return ""
}

func forbiddenInside(name, imported string, test bool) string {
	if test && (imported == name || name == "pkg/interop" || name == "cmd/mail") {
		return ""
	}
	clients := []string{"pkg/smtp", "pkg/pop3", "pkg/imap"}
	if test && name == "pkg/server" && slices.Contains(clients, imported) { // its tests are clients too
		return ""
	}
	if test && imported == "pkg/server" && slices.Contains(clients, name) { // and it is the peer of theirs
		return ""
	}
	if test && name == "pkg/backup" && slices.Contains([]string{"pkg/server", "pkg/auth", "pkg/wire"}, imported) { // who logs in for it
		return ""
	}
	for _, p := range ours {
		if p.name == name && slices.Contains(p.may, imported) {
			return ""
		}
	}
	return "it is not below " + name
}

// TestImportsTable holds that the table itself only points down.
func TestImportsTable(t *testing.T) {
	for i, p := range ours {
		for _, may := range p.may {
			below := false
			for _, q := range ours[i+1:] {
				below = below || q.name == may
			}
			if !below && p.name != "pkg/wire/wiretest" {
				t.Errorf("%s may import %s, which is not below it", p.name, may)
			}
		}
	}
	for _, c := range []struct {
		name, imported string
		test, ok       bool
	}{
		{"pkg/smtp", module + "pkg/wire", false, true},
		{"pkg/smtp", module + "pkg/pop3", false, false},
		{"pkg/smtp", module + "pkg/config", false, false},
		{"pkg/smtp", module + "cmd/mail", false, false},
		{"pkg/smtp", module + "pkg/wire/wiretest", true, true},
		{"pkg/smtp", module + "pkg/wire/wiretest", false, false},
		{"pkg/smtp", module + "pkg/server", true, true},
		{"pkg/smtp", module + "pkg/server", false, false},
		{"pkg/smtp", "github.com/urfave/cli/v2", false, false},
		{"pkg/smtp", "example.org/new", false, false},
		{"pkg/smtp", "net/textproto", false, true},
		{"pkg/smtp", "unsafe", false, false},
		{"cmd/mail", "github.com/urfave/cli/v2", false, true},
		{"cmd/mail", "github.com/google/go-cmp/cmp", false, false},
	} {
		if got := forbidden(c.name, c.imported, c.test) == ""; got != c.ok {
			t.Errorf("%s imports %s (test %v): allowed %v, want %v", c.name, c.imported, c.test, got, c.ok)
		}
	}
}
