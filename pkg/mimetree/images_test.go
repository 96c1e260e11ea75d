package mimetree

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	pngHead = "\x89PNG\r\n\x1a\n"
	svgText = "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n"
)

// imageFolder makes a folder "html" with images, beside a file that is none of its business.
func imageFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{
		"secret.png": pngHead + "secret", "html/logo.png": pngHead + "logo", "html/img/bar graph.gif": "GIF89a graph",
		"html/copy.png": pngHead + "logo", "html/passwd": "root:x:0:0\n", "html/fake.png": "root:x:0:0\n", "html/a.svg": svgText, "html/a&b.png": pngHead + "a&b",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret.png", filepath.Join(dir, "html", "link.png")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	return filepath.Join(dir, "html")
}

// cidOf is the Content-ID of an image with this content.
func cidOf(data string) string {
	sum := sha256.Sum256([]byte(data))
	return "cid:" + hex.EncodeToString(sum[:12]) + "@inline"
}

func TestInlineImages(t *testing.T) {
	dir := imageFolder(t)
	logo, graph, and := cidOf(pngHead+"logo"), cidOf("GIF89a graph"), cidOf(pngHead+"a&b")
	tests := []struct{ name, in, want, files string }{
		{"none", "<p>x</p>", "<p>x</p>", ""},
		{"double quotes", `<img src="logo.png" alt="x">`, `<img src="` + logo + `" alt="x">`, "logo.png"},
		{"single quotes", `<IMG alt='a>b' SRC = 'logo.png'/>`, `<IMG alt='a>b' SRC = '` + logo + `'/>`, "logo.png"},
		{"no quotes", `<img src=logo.png>`, `<img src=` + logo + `>`, "logo.png"},
		{"twice", `<img src=logo.png><img src="./logo.png">`, `<img src=` + logo + `><img src="` + logo + `">`, "logo.png"},
		{"same content", `<img src=logo.png><img src=copy.png>`, `<img src=` + logo + `><img src=` + logo + `>`, "logo.png"},
		{"escapes", `<img src="img/bar%20graph.gif?x#y"><img src="a&amp;b.png">`, `<img src="` + graph + `"><img src="` + and + `">`, "bar graph.gif a&b.png"},
		{"file scheme", `<img src="file:logo.png">`, `<img src="` + logo + `">`, "logo.png"},
		{"within the folder", `<img src="img/../logo.png">`, `<img src="` + logo + `">`, "logo.png"},
		{"background", `<td background="logo.png">`, `<td background="` + logo + `">`, "logo.png"},
		{"style", `<p style="color:red; background: URL( 'logo.png' ) no-repeat, url(img/bar%20graph.gif)">`,
			`<p style="color:red; background: URL( '` + logo + `' ) no-repeat, url(` + graph + `)">`, "logo.png bar graph.gif"},
		{"style with entities", `<p style="background:url(&quot;logo.png&quot;)">`, `<p style="background:url(&quot;` + logo + `&quot;)">`, "logo.png"},
		{"svg", `<img src=a.svg>`, `<img src=` + cidOf(svgText) + `>`, "a.svg"},
		{"input", `<input type=image src=logo.png>`, `<input type=image src=` + logo + `>`, "logo.png"},
	}
	for _, same := range []string{`<img src="https://example.org/x.png">`, `<img src="cid:x">`, `<img src="data:image/png;base64,AA">`, `<img src="//example.org/x.png">`,
		`<img src="">`, `<img src>`, `<img alt="src=logo.png">`, `<img data-src="logo.png">`, `<a href="logo.png">`, `<!-- <img src="logo.png"> -->`,
		`<script>"<img src='logo.png'>"</script>`, `<style>p{background:url(logo.png)}</style>`, `<img src="http:x" src="logo.png">`, `<img src src="logo.png">`, "a\r\n<b\x00>\xff é &eacute; <img src=\"logo.png", `<p style="background:url('logo.png">`,
		`<img srcset="logo.png 2x">`, `<textarea><img src=logo.png></textarea>`, `<svg><a/></svg`} {
		tests = append(tests, struct{ name, in, want, files string }{"same " + same, same, same, ""})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, files, err := InlineImages([]byte(tt.in), dir)
			var names []string
			for _, f := range files {
				names = append(names, f.Name)
			}
			if g := strings.Join(names, " "); err != nil || string(got) != tt.want || g != tt.files {
				t.Errorf("got %q, files %q, %v\nwant %q, files %q", got, g, err, tt.want, tt.files)
			}
		})
	}
}

func TestInlineImageErrors(t *testing.T) {
	dir := imageFolder(t)
	for src, want := range map[string]error{
		"none.png": fs.ErrNotExist, "none/logo.png": fs.ErrNotExist, "../secret.png": errImageOutside, "/etc/passwd": errImageOutside,
		"file:///etc/passwd": errImageOutside, "file://host/x.png": errImageOutside, "%2e%2e/secret.png": errImageOutside, `C:\x.png`: errImageOutside,
		"&#46;&#46;/secret.png": errImageOutside, "img/../../secret.png": errImageOutside,
		"passwd": errImageKind, "fake.png": errImageKind, "img": errImageFile, "%zz": errImageURL, "a%00.png": errImageURL, "link.png": nil,
	} {
		for _, in := range []string{`<img src="` + src + `">`, `<p style="background:url(` + src + `)">`} {
			got, files, err := InlineImages([]byte(in), dir)
			var e *ImageError
			if !errors.As(err, &e) || want != nil && !errors.Is(err, want) || got != nil || files != nil {
				t.Errorf("%s: got %q, %v, %v, want %v", in, got, files, err, want)
			}
		}
	}
	_, _, err := InlineImages([]byte(`<img src="none.png">`), dir)
	if want := `image "none.png": `; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

// TestInlineImagesPacked: the references in the packed message lead to the images.
func TestInlineImagesPacked(t *testing.T) {
	dir := imageFolder(t)
	text, files, err := InlineImages([]byte(`<img src="logo.png"><img src="img/bar graph.gif">`), dir)
	if err != nil {
		t.Fatal(err)
	}
	msg := packed(t, &Draft{HTML: TextOf(string(text)), Inline: files, Wire: true})
	got := make(map[string]string)
	body := ""
	err = Walk(strings.NewReader(msg), nil, func(p *Part, b *Body) error {
		if p.Container {
			return nil
		}
		data, err := io.ReadAll(b)
		got["cid:"+p.ContentID] = string(data)
		if p.Text() {
			body = string(data)
		}
		return err
	})
	if err != nil || got[cidOf(pngHead+"logo")] != pngHead+"logo" || got[cidOf("GIF89a graph")] != "GIF89a graph" || !strings.Contains(body, cidOf(pngHead+"logo")) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestInlineImagesLinear(t *testing.T) {
	for name, unit := range map[string]string{"urls": "url(", "quotes": "url('", "tags": "<img src=cid:x>", "open": "<", "attributes": "<p a=b c d>", "equals": "="} {
		linear(t, name, func(n int) {
			s := strings.Repeat(unit, n/len(unit))
			for _, in := range []string{s, `<p style="` + s + `">`, `<p ` + s + `>`} {
				var refused *ImageError
				if _, _, err := InlineImages([]byte(in), "."); err != nil && !errors.As(err, &refused) {
					t.Error(err)
				}
			}
		})
	}
}

func FuzzInlineImages(f *testing.F) {
	f.Add([]byte(`<p style="background:url('x')"><img src='y.png' alt=">"><!-- <img src=z> -->`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		got, files, err := InlineImages(in, dir)
		if err == nil && (!bytes.Equal(got, in) || files != nil) {
			t.Fatalf("%q became %q with %v, and there is no file", in, got, files)
		}
		var e *ImageError
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
	})
}
