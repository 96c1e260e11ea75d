package mimetree

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mail-toolkit/mail/pkg/message"
)

// randomTree packs a random draft, with packed messages inside, and holds that it comes apart as what it was made of, and that there is
// nothing to say against it.
type randomTree struct {
	t    *testing.T
	rng  *rand.Rand
	wild bool // a name was chosen that is not harmless
}

// TestM10_RandomTrees takes 5,000 trees, 100,000 with MAIL_SOAK.
func TestM10_RandomTrees(t *testing.T) {
	count := 5_000
	switch {
	case os.Getenv("MAIL_SOAK") != "":
		count = 100_000
	case testing.Short():
		count = 500
	}
	nested := 0
	for i := range count {
		r := &randomTree{t: t, rng: rand.New(rand.NewPCG(7, uint64(i)))}
		msg, _ := r.make(0)
		nested += bytes.Count(msg, []byte("message/rfc822"))
		if t.Failed() {
			t.Fatalf("tree %d", i)
		}
	}
	if nested < count/10 {
		t.Errorf("only %d messages inside others", nested)
	}
}

// make packs a draft and gives the message, and the shape and the leaves that it must have.
func (r *randomTree) make(depth int) (msg []byte, want string) {
	rng := r.rng
	d := Draft{Wire: rng.IntN(2) == 0, Target: []Encoding{SevenBit, SevenBit, EightBit, Binary}[rng.IntN(4)]}
	if rng.IntN(2) == 0 {
		d.Seed = []byte{byte(rng.IntN(10))}
	}
	subject := r.header(&d)
	var body []string
	text := func(open *Opener, kind string) string {
		if rng.IntN(3) == 0 {
			return ""
		}
		s := scrap(rng, 20, "")
		*open = TextOf(s)
		return fmt.Sprintf("%s %q", kind, lf([]byte(s)))
	}
	plain, html := text(&d.Text, "text/plain"), text(&d.HTML, "text/html")
	inline := r.files(&d.Inline, depth, rng.IntN(3)/2)
	attached := r.files(&d.Attach, depth, rng.IntN(3))
	if html != "" && inline != nil {
		html, inline = "multipart/related("+strings.Join(append([]string{html}, inline...), ", ")+")", nil
	}
	switch {
	case plain != "" && html != "":
		body = []string{"multipart/alternative(" + plain + ", " + html + ")"}
	case plain+html != "":
		body = []string{plain + html}
	}
	files := append(inline, attached...)
	if body == nil && files == nil {
		return r.make(depth)
	}
	if want = strings.Join(body, ""); files != nil {
		want = "multipart/mixed(" + strings.Join(append(body, files...), ", ") + ")"
	}
	msg = []byte(packed(r.t, &d))
	r.holds(msg, want, subject)
	return msg, want
}

// header gives some drafts the fields of a message.
func (r *randomTree) header(d *Draft) (subject string) {
	if r.rng.IntN(2) == 0 {
		return ""
	}
	d.Header = new(message.Header)
	subject = strings.Join(strings.Fields(strings.ToValidUTF8(scrap(r.rng, 20, "\xff\x00\x1b\n\t"), "?")), " ")
	for _, f := range [][2]string{{"From", message.FormatAddress(message.Address{Name: subject, Addr: "alice@example.org"})},
		{"Date", message.FormatDate(time.Unix(r.rng.Int64N(1<<32), 0))}} {
		if err := d.Header.Add(f[0], f[1]); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := d.Header.AddText("Subject", subject); err != nil {
		r.t.Fatal(err)
	}
	return subject
}

// files makes n files, packed messages among them.
func (r *randomTree) files(list *[]File, depth, n int) (want []string) {
	for range n {
		name := strings.ReplaceAll(scrap(r.rng, 8, "\xff\x00\n\x1b\\\t"), "/", "_") + "a"
		if r.rng.IntN(10) == 0 {
			name = strings.ToValidUTF8(scrap(r.rng, 8, ""), "_") + "b"
		}
		name = fmt.Sprintf("%d%s", len(*list), name)
		for _, c := range name {
			r.wild = r.wild || c == '\\' || c < ' '
		}
		data := scrap(r.rng, 30, "")
		if depth < 3 && r.rng.IntN(4) == 0 {
			inner, _ := r.make(depth + 1)
			name, data = name+".eml", string(inner)
		} else {
			name += []string{"", ".bin", ".txt", ".png"}[r.rng.IntN(4)]
		}
		*list = append(*list, content(name, data))
		want = append(want, fmt.Sprintf("%q %q", name, lf([]byte(data))))
	}
	return want
}

// holds takes a message apart.
func (r *randomTree) holds(msg []byte, want, subject string) {
	r.t.Helper()
	var got strings.Builder
	var ends []string
	err := Walk(bytes.NewReader(msg), nil, func(p *Part, body *Body) error {
		for len(ends) > p.Depth {
			got.WriteString(")")
			ends = ends[1:]
		}
		if got.Len() > 0 && !strings.HasSuffix(got.String(), "(") {
			got.WriteString(", ")
		}
		if p.Root() {
			if v, _ := p.Header.Get("Subject"); message.DecodeWords(v) != subject {
				r.t.Errorf("subject %q, want %q", v, subject)
			}
		}
		if p.Multipart() {
			ends = append(ends, ")")
			got.WriteString(p.MediaType + "(")
			return nil
		}
		b, err := io.ReadAll(body)
		label := p.MediaType
		if p.Filename != "" {
			label = fmt.Sprintf("%q", p.Filename)
		}
		text := lf(b)
		if p.Root() && !strings.HasSuffix(want, `\n"`) { // a last line is completed
			text = strings.TrimSuffix(text, "\n")
		}
		fmt.Fprintf(&got, "%s %q", label, text)
		return err
	})
	if g := got.String() + strings.Repeat(")", len(ends)); err != nil || g != want {
		r.t.Errorf("got  %s, %v\nwant %s\nfrom\n%s", g, err, want, msg)
	}
	binary := bytes.Contains(msg, []byte("Transfer-Encoding: binary"))
	for line := range strings.SplitSeq(lf(msg), "\n") {
		if len(line) > 998 && !binary {
			r.t.Errorf("line of %d octets", len(line))
		}
	}
	err = Check(bytes.NewReader(msg), nil, func(f Finding) error {
		if f.ID != DefectFilenameUnsafe || !r.wild {
			r.t.Errorf("part %s: %v\n%s", f.Part, f.Defect, msg)
		}
		return nil
	})
	if err != nil || !utf8.ValidString(subject) {
		r.t.Error(err)
	}
}
