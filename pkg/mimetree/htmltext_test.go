package mimetree

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/message"
)

func TestTextFromHTML(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"nothing to see", "<html><head><title>x</title><style>p{}</style></head><body><script>1<2</script> &nbsp; <!-- x --></body>", ""},
		{"plain", "hello", "hello\n"},
		{"blanks", "  a \r\n\tb<b> c</b>d &amp; e&nbsp;f  ", "a b cd & e f\n"},
		{"paragraphs", "<p>one<p>two</p>three<br>four<br><br><br>five", "one\n\ntwo\n\nthree\nfour\n\nfive\n"},
		{"divisions", "<div>one</div><div><div>two</div></div>three", "one\ntwo\nthree\n"},
		{"headings", "<h1>Über</h1>text<h2>Two words</h2><h3>Three</h3>text", "Über\n====\n\ntext\n\nTwo words\n---------\n\nThree\n\ntext\n"},
		{"wrap", strings.Repeat("word ", 30), strings.Repeat("word ", 13) + "word\n" + strings.Repeat("word ", 13) + "word\nword word\n"},
		{"wrap by cells", strings.Repeat("日", 40), strings.Repeat("日", 36) + "\n" + "日日日日\n"},
		{"no full stop at the start of a line", strings.Repeat("日", 35) + "本。x", strings.Repeat("日", 35) + "\n本。x\n"},
		{"word too long", "a " + strings.Repeat("x", 80) + " b", "a\n" + strings.Repeat("x", 80) + "\nb\n"},
		{"lists", "text<ul><li>one<li>two<ol start=9><li>in<li>side</ol></li><li>three</ul>end",
			"text\n\n* one\n* two\n  9. in\n  10. side\n* three\n\nend\n"},
		{"list wraps", "<ul><li>" + strings.Repeat("word ", 16) + "</ul>", "* " + strings.Repeat("word ", 13) + "word\n  word word\n"},
		{"items without a list", "<li>a<li>b", "* a\n* b\n"},
		{"definitions", "<dl><dt>a<dd>b<dt>c<dd>d</dl>e", "a\n    b\nc\n    d\n\ne\n"},
		{"links", `<a href="https://example.org/x">here</a>, <a href=" https://example.org/ ">example.org</a> <a href="mailto:bob@example.org?subject=x">Bob</a> <a href="#x">up</a> <a href="javascript:1">run</a>.`,
			"here <https://example.org/x>, example.org Bob <bob@example.org> up run.\n"},
		{"link without text", `<a href="https://example.org/"><img src=x></a>x`, "x\n"},
		{"image", `<a href="https://example.org/"><img src=x alt="Our logo"></a>`, "Our logo <https://example.org/>\n"},
		{"quotation", "before<blockquote>one<p>two<blockquote>three</blockquote></blockquote>after", "before\n\n> one\n>\n> two\n>\n> > three\n\nafter\n"},
		{"table", "<table><tr><th>Name<th>Size</tr><tr><td>a.txt</td><td></td><td>12</td></tr></table>end", "Name | Size\na.txt | | 12\n\nend\n"},
		{"table for layout", "<table><tr><td></td><td><table><tr><td>inside</td></tr></table></td></tr></table>", "inside\n"},
		{"pre", "a<pre>\n  x  y\n\n\n\tz <b>w</b>\n\n</pre>b", "a\n\n  x  y\n\n\n\tz w\n\nb\n"},
		{"rule", "a<hr>b", "a\n\n" + strings.Repeat("-", 36) + "\n\nb\n"},
		{"hidden", `<div style="Display : none">no <div>no</div> no</div>yes<span hidden>no</span>`, "yes\n"},
		{"hidden and never closed", `yes<div style="display:none">no`, "yes\n"},
		{"control characters", "a\x1b[31mb\x00c\u202e\u200b\u0085d", "a[31mbc\u202ed\n"},
		{"bad UTF-8", "a\xffb", "a\ufffdb\n"},
		{"stray end tags", "</ul></p>a</blockquote></pre></a></h1>b", "a\n\nb\n"},
		{"tag cut off", "a <b", "a\n"},
		{"entities", "&lt;b&gt; &eacute;&#x1F600;&bogus;", "<b> é😀&bogus;\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := TextFromHTML(iotest.OneByteReader(strings.NewReader(tt.in)))
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestTextFromHTMLLimits(t *testing.T) {
	broken := errors.New("broken")
	if _, err := TextFromHTML(io.MultiReader(strings.NewReader("<p>x"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if testing.Short() {
		t.Skip("16 MiB are much for the race detector")
	}
	for name, unit := range map[string]string{"input": "word ", "one tag": "<p a='", "output": "<hr>"} {
		n := maxHTML/len(unit) + 2
		if name == "output" {
			n -= 3
		}
		var over *message.Error
		if _, err := TextFromHTML(&repeat{unit: unit, n: n}); !errors.As(err, &over) {
			t.Errorf("%s: got %v, want a *message.Error", name, err)
		}
	}
}

func TestS2_TextFromHTMLLinear(t *testing.T) {
	for name, unit := range map[string]string{
		"quotations": "<blockquote>x", "lists": "<ul><li>x", "items": "<li>", "closed": "</blockquote></ul></li>", "links": "<a href='https://x.org'>x",
		"breaks": "<br>", "cells": "<td>", "cells with text": "<td>x", "pre": "<pre>\n\n", "open tags": "<", "entities": "&amp", "one word": "x", "wide": "日", "divs": "<div>",
		"hidden": "<div hidden>", "scripts": "<script><", "nbsp": "&nbsp;", "definitions": "<dl><dd>x", "alternating": "<ul></li><li>x</dd>",
	} {
		linear(t, name, func(n int) {
			if _, err := TextFromHTML(strings.NewReader(strings.Repeat(unit, n/len(unit)))); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTextFromHTMLCorpora makes texts of all HTML there is.
func TestTextFromHTMLCorpora(t *testing.T) {
	done := 0
	for _, name := range corpusFiles(t) {
		err := Walk(strings.NewReader(string(readFile(t, name))), nil, func(p *Part, body *Body) error {
			if p.Container || p.MediaType != "text/html" {
				return nil
			}
			text, err := TextFromHTML(body.Text())
			checkText(t, filepath.Base(name), text)
			done++
			return err
		})
		var over *message.Error
		if err != nil && !errors.As(err, &over) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("%d texts", done)
	if done < 100 {
		t.Errorf("only %d texts", done)
	}
}

// checkText holds what is true of every text.
func checkText(t *testing.T, name, text string) {
	t.Helper()
	bad := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, bad) || strings.HasPrefix(text, "\n") || text != "" && !strings.HasSuffix(text, "\n") {
		t.Errorf("%s: %q", name, text)
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimRight(line, " ") != line {
			t.Errorf("%s: blanks at the end of %q", name, line)
		}
	}
}

func FuzzTextFromHTML(f *testing.F) {
	f.Add("<p>one<ul><li>two <a href='https://x.org'>x</a><pre>\n a</pre><table><tr><td>1<td>2<blockquote><h1>x</h1>")
	f.Fuzz(func(t *testing.T, in string) {
		text, err := TextFromHTML(strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		checkText(t, "input", text)
	})
}

func BenchmarkTextFromHTML(b *testing.B) {
	in := strings.Repeat("<p>Some <b>words</b> of <a href='https://example.org/'>text</a> that fill more than one line of it.</p><ul><li>item</ul>\n", 10_000)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := TextFromHTML(strings.NewReader(in)); err != nil {
			b.Fatal(err)
		}
	}
}
