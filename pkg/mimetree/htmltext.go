package mimetree

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/width"

	"github.com/mail-toolkit/mail/pkg/message"
)

const (
	textWidth    = 72       // cells of a line of text
	textLeast    = 20       // cells that indentation leaves
	maxTextOut   = 32 << 20 // octets of text made of HTML
	maxNesting   = 100      // open lists and quotations
	maxIndents   = 8        // those of them that are shown
	maxLinkShown = 2000     // octets of an address behind its text
	maxLinkText  = 4096     // octets of the text of a link that are compared with its address
)

// TextFromHTML writes a text for readers without HTML, the alternative of an HTML text in UTF-8: paragraphs filled to 72 cells, headings
// underlined, lists with bullets and numbers, quotations with "> ", table rows as lines with " | " between the cells, preformatted text
// as it is, addresses of links behind them as "text <https://…>", and the alternative texts of images. Scripts, styles, comments, control
// characters and what the HTML itself hides are left out. It ends with LF, unless there is no text at all.
//
// It reads tokens, not a tree, in linear time. Other than the errors of r it fails with a [*message.Error] beyond 16 MiB of HTML or 32 MiB
// of text.
func TextFromHTML(r io.Reader) (string, error) {
	limited := &io.LimitedReader{R: r, N: maxHTML + 1}
	z := html.NewTokenizer(fullReader{limited})
	w := &htmlText{}
	for {
		kind := z.Next()
		if limited.N == 0 {
			return "", &message.Error{Msg: fmt.Sprintf("HTML text is larger than %d octets", maxHTML)}
		}
		if kind == html.ErrorToken {
			if err := z.Err(); err != io.EOF {
				return "", err
			}
			w.closeLink()
			w.endLine()
			return string(w.out), nil
		}
		if w.token(z, kind); len(w.out)+len(w.line) > maxTextOut {
			return "", &message.Error{Msg: fmt.Sprintf("the text of the HTML is larger than %d octets", maxTextOut)}
		}
	}
}

// fullReader fills what it is given: the tokenizer moves the whole of its token for each Read.
type fullReader struct{ r io.Reader }

// Read implements io.Reader.
func (f fullReader) Read(p []byte) (int, error) {
	n, err := io.ReadFull(f.r, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// htmlText is the text written so far.
type htmlText struct {
	out     []byte
	line    []byte // the current line, without its prefix
	cells   int    // of line
	word    []byte // unfinished
	wcells  int    // of word
	space   bool   // a blank comes before the next word
	bars    int    // cell borders come before the next word
	breaks  int    // line ends that come before the next line: 1, or 2 for a blank line
	low     int    // the fewest indents since the last line
	heading bool   // one is open
	widest  int    // cells of its widest line

	indents []indent
	over    int // indents beyond the limit
	pre     int // open <pre>
	preOpen bool
	link    string // where the open link leads
	text    []byte // its text so far

	skip  string // the element whose content is left out
	depth int    // how often it is open
}

// indent is an open list, item or quotation.
type indent struct {
	element string
	prefix  string // of its lines
	first   string // of its first line, instead; "" when that is written
	number  int    // of the last item of a numbered list
}

func (w *htmlText) token(z *html.Tokenizer, kind html.TokenType) {
	switch kind {
	case html.TextToken:
		if w.skip == "" {
			w.write(z.Text())
		}
	case html.StartTagToken, html.SelfClosingTagToken: // the same in HTML
		name, more := z.TagName()
		element := string(name)
		attr := attributes(z, more)
		if w.skip != "" {
			if element == w.skip {
				w.depth++
			}
			return
		}
		if hidden(element, attr) {
			w.skip, w.depth = element, 1
			return
		}
		w.start(element, attr)
	case html.EndTagToken:
		name, _ := z.TagName()
		element := string(name)
		if w.skip == "" {
			w.end(element)
		} else if element == w.skip {
			if w.depth--; w.depth == 0 {
				w.skip = ""
			}
		}
	}
}

// attributes gives the attributes that matter, the first of each name.
func attributes(z *html.Tokenizer, more bool) map[string]string {
	var list map[string]string
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch string(key) {
		case "href", "alt", "style", "hidden", "start":
			if list == nil {
				list = make(map[string]string)
			}
			if _, ok := list[string(key)]; !ok {
				list[string(key)] = string(value)
			}
		}
	}
	return list
}

// hidden tells if the content of an element is not shown. Elements whose end tag may be missing are taken for shown.
func hidden(element string, attr map[string]string) bool {
	switch element {
	case "script", "style", "title", "template", "iframe", "noframes", "noembed":
		return true
	case "div", "span", "table", "section":
		if _, ok := attr["hidden"]; ok {
			return true
		}
		style := strings.ToLower(strings.Join(strings.Fields(attr["style"]), ""))
		return strings.Contains(style, "display:none")
	}
	return false
}

// start handles a start tag.
func (w *htmlText) start(element string, attr map[string]string) {
	switch element {
	case "br":
		w.breakLine()
	case "hr":
		w.margin(2)
		w.verbatim(strings.Repeat("-", textWidth/2))
		w.margin(2)
	case "img":
		w.write([]byte(attr["alt"]))
	case "a":
		w.closeLink()
		w.link = linkTarget(attr["href"])
	case "td", "th":
		w.endWord()
		w.bars++
	case "tr":
		w.margin(1)
		w.bars = 0
	case "pre":
		w.margin(2)
		w.pre++
		w.preOpen = true
	case "h1", "h2", "h3", "h4", "h5", "h6":
		w.margin(2)
		w.heading, w.widest = true, 0
	case "blockquote":
		w.open(2, indent{element: element, prefix: "> "})
	case "ul", "ol", "menu", "dir":
		w.openList(element, attr["start"])
	case "li":
		w.item()
	case "dd":
		w.closeTo("dd", "dl")
		w.open(1, indent{element: element, prefix: "    "})
	case "dt":
		w.closeTo("dd", "dl")
		w.margin(1)
	default:
		w.margin(marginOf(element))
	}
}

// marginOf tells how many line ends are around an element: 2 mean a blank line.
func marginOf(element string) int {
	switch element {
	case "p", "dl", "table", "figure", "fieldset", "details":
		return 2
	case "div", "section", "article", "header", "footer", "main", "nav", "aside", "address", "center", "form", "body", "head", "html",
		"caption", "figcaption", "legend", "option", "summary", "tbody", "thead", "tfoot", "tr", "textarea":
		return 1
	}
	return 0
}

// end handles an end tag.
func (w *htmlText) end(element string) {
	switch element {
	case "a":
		w.closeLink()
	case "p", "br": // alone they stand for an element
		w.margin(marginOf(element))
	case "pre":
		if w.pre > 0 {
			w.margin(2)
			w.breaks = 2
			w.pre--
		}
	case "h1", "h2":
		w.endLine()
		if w.heading && w.widest > 0 {
			w.breaks = 1
			w.verbatim(strings.Repeat(map[string]string{"h1": "=", "h2": "-"}[element], min(w.widest, textWidth)))
		}
		w.heading = false
		w.margin(2)
	case "h3", "h4", "h5", "h6":
		w.margin(2)
	case "blockquote", "ul", "ol", "menu", "dir", "li", "dd":
		w.close(element)
	case "dl":
		w.closeTo("dd", "dl")
		w.margin(2)
	default:
		w.margin(marginOf(element))
	}
}

// linkTarget gives the address of a link that is worth showing, "" for others.
func linkTarget(href string) string {
	href = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || unicode.IsControl(r) || unicode.IsSpace(r) {
			return -1
		}
		return r
	}, href)
	href = strings.ReplaceAll(strings.ReplaceAll(href, "<", "%3C"), ">", "%3E")
	scheme, rest, ok := strings.Cut(href, ":")
	if !ok || len(href) > maxLinkShown {
		return ""
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "ftp", "tel":
		return href
	case "mailto":
		rest, _, _ = strings.Cut(rest, "?")
		return rest
	}
	return ""
}

// closeLink writes the address behind the text of the link, unless the text is the address.
func (w *htmlText) closeLink() {
	link, text := w.link, strings.TrimSpace(string(w.text))
	w.link, w.text = "", w.text[:0]
	if link == "" || text == "" || link == text {
		return
	}
	if _, rest, _ := strings.Cut(link, "://"); rest != "" && strings.TrimSuffix(rest, "/") == strings.TrimSuffix(text, "/") {
		return
	}
	w.endWord()
	w.space = true
	w.word = append(append(append(w.word, '<'), link...), '>')
	w.wcells = cellsOf(string(w.word))
	w.endWord()
}

// openList opens a list. Inside another one there is no blank line before it.
func (w *htmlText) openList(element, start string) {
	lines := 2
	if slices.ContainsFunc(w.indents, func(i indent) bool { return i.element == "li" }) {
		lines = 1
	}
	n := 0
	if v, err := strconv.Atoi(start); err == nil && v > -1000 && v < 1_000_000 {
		n = v - 1
	}
	w.open(lines, indent{element: element, number: n})
}

// item opens an item of the innermost list, and closes the one before it.
func (w *htmlText) item() {
	w.closeTo("li", "ul", "ol", "menu", "dir")
	in := indent{element: "li", prefix: "  ", first: "* "}
	if n := len(w.indents); n > 0 && w.over == 0 && w.indents[n-1].element == "ol" {
		list := &w.indents[n-1]
		list.number++
		in.first = strconv.Itoa(list.number) + ". "
		in.prefix = strings.Repeat(" ", len(in.first))
	}
	w.open(1, in)
}

// open starts an indented block.
func (w *htmlText) open(lines int, in indent) {
	w.margin(lines)
	if len(w.indents) == maxNesting {
		w.over++
		return
	}
	if len(w.indents) >= 2*maxIndents { // a list and its item count twice
		in.prefix, in.first = "", ""
	}
	w.indents = append(w.indents, in)
}

// close ends the innermost block of an element and all inside it.
func (w *htmlText) close(element string) {
	if w.over > 0 {
		w.over--
		w.margin(1)
		return
	}
	for i := len(w.indents) - 1; i >= 0; i-- {
		if w.indents[i].element == element {
			w.cut(i)
			return
		}
	}
}

// closeTo ends the innermost block of an element, unless one of the others is inside it.
func (w *htmlText) closeTo(element string, within ...string) {
	if w.over > 0 {
		return
	}
	for i := len(w.indents) - 1; i >= 0 && !slices.Contains(within, w.indents[i].element); i-- {
		if w.indents[i].element == element {
			w.cut(i)
			return
		}
	}
}

// cut ends the blocks from the i-th on.
func (w *htmlText) cut(i int) {
	lines := 1
	if element := w.indents[i].element; element != "li" && element != "dd" &&
		!slices.ContainsFunc(w.indents[:i], func(in indent) bool { return in.element == "li" }) {
		lines = 2
	}
	w.margin(lines)
	w.indents = w.indents[:i]
	w.low = min(w.low, i)
}

// breakLine ends the line; the second one in a row leaves a blank line.
func (w *htmlText) breakLine() {
	w.endWord()
	if len(w.line) > 0 {
		w.endLine()
		return
	}
	w.breaks = min(2, w.breaks+1)
}

// margin ends the line and asks for n line ends before the next one.
func (w *htmlText) margin(n int) {
	if n == 0 {
		return
	}
	w.endLine()
	w.breaks = max(w.breaks, n)
}

// endLine writes the current line.
func (w *htmlText) endLine() {
	w.endWord()
	line, cells := bytes.TrimRight(w.line, " \t"), w.cells
	w.line, w.cells, w.space, w.bars = w.line[:0], 0, false, 0
	if len(line) == 0 {
		return
	}
	w.blankLines()
	prefix := w.prefix()
	for i := range w.indents {
		w.indents[i].first = ""
	}
	w.out = append(append(append(w.out, prefix...), line...), '\n')
	w.widest = max(w.widest, cells)
	w.breaks, w.low = 1, len(w.indents)
}

// blankLines writes what separates the current line from the one before, within the quotation that both are in.
func (w *htmlText) blankLines() {
	if len(w.out) == 0 || w.breaks < 2 {
		return
	}
	blank := ""
	for _, in := range w.indents[:min(w.low, len(w.indents))] {
		blank += in.prefix
	}
	blank = strings.TrimRight(blank, " ")
	for range w.breaks - 1 {
		w.out = append(append(w.out, blank...), '\n')
	}
}

// prefix is what comes before the current line.
func (w *htmlText) prefix() string {
	var b strings.Builder
	for _, in := range w.indents {
		if in.first != "" {
			b.WriteString(in.first)
		} else {
			b.WriteString(in.prefix)
		}
	}
	return b.String()
}

// indented counts the cells of the prefix.
func (w *htmlText) indented() int {
	n := 0
	for _, in := range w.indents {
		n += max(len(in.prefix), len(in.first))
	}
	return n
}

// verbatim adds to the line as it is.
func (w *htmlText) verbatim(s string) {
	w.line = append(w.line, s...)
	w.cells += cellsOf(s)
}

// write adds text of the HTML.
func (w *htmlText) write(text []byte) {
	if w.link != "" && len(w.text) < maxLinkText {
		w.text = append(w.text, text...)
	}
	if w.pre > 0 {
		w.writePre(text)
		return
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		w.rune(r)
	}
}

// writePre adds preformatted text. The line end right behind the start tag does not count.
func (w *htmlText) writePre(text []byte) {
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		w.verbatim(strings.Map(shownRune, string(line)))
		if !ended {
			return
		}
		switch {
		case len(bytes.TrimSpace(w.line)) > 0:
			w.endLine()
		case !w.preOpen || len(w.line) > 0:
			w.line, w.cells = w.line[:0], 0
			w.breaks++
		}
		w.preOpen = false
	}
}

// shownRune drops control characters and those that only steer where lines break.
func shownRune(r rune) rune {
	switch {
	case r == '\t':
		return r
	case r == '\u00a0':
		return ' '
	case unicode.IsControl(r), r == '\u00ad', r == '\u034f', r == '\u200b', r == '\u2028', r == '\u2029', r == '\u2060', r == '\ufeff':
		return -1
	}
	return r
}

// rune adds one character of flowing text.
func (w *htmlText) rune(r rune) {
	switch {
	case r == ' ' || r == '\n' || r == '\t' || r == '\r' || r == '\f':
		w.endWord()
		w.space = true
		return
	case r != '\u00a0':
		if r = shownRune(r); r < 0 {
			return
		}
	}
	n := cellsOfRune(r)
	if n == 2 && (!unicode.IsPunct(r) || unicode.In(r, unicode.Ps, unicode.Pi)) { // lines may break between these, but not before a full stop
		w.endWord()
	}
	w.word = utf8.AppendRune(w.word, r)
	w.wcells += n
}

// endWord adds the unfinished word to the line, or to the next one.
func (w *htmlText) endWord() {
	word, cells := w.word, w.wcells
	w.word, w.wcells = w.word[:0], 0
	if !isASCII(word) {
		if len(bytes.Trim(word, "\u00a0\u200c\u200d")) == 0 {
			w.space = true
			return
		}
		word = bytes.ReplaceAll(word, []byte("\u00a0"), []byte(" "))
	}
	if len(word) == 0 {
		return
	}
	if w.bars > 0 && len(w.line) > 0 {
		w.verbatim(strings.Repeat(" |", w.bars))
		w.space = true
	}
	w.bars = 0
	blank := 0
	if w.space && len(w.line) > 0 {
		blank = 1
	}
	w.space = false
	if len(w.line) > 0 && w.cells+blank+cells > max(textLeast, textWidth-w.indented()) {
		w.endLine()
		blank = 0
	}
	w.line = append(append(w.line, "  "[:blank]...), word...)
	w.cells += blank + cells
}

// cellsOf counts the cells of a text on a terminal.
func cellsOf(s string) int {
	n := 0
	for _, r := range s {
		n += cellsOfRune(r)
	}
	return n
}

func cellsOfRune(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
