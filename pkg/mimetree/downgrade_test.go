package mimetree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// opens is an Opener of octets.
func opens(b []byte) Opener {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// downgraded converts a message; the reason is that of a refusal.
func downgraded(t *testing.T, msg string) (out string, reason DowngradeReason) {
	t.Helper()
	r, err := Downgrade(opens([]byte(msg)))
	var refused *DowngradeError
	if errors.As(err, &refused) {
		return "", refused.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	return written(t, r), ""
}

func TestD10_Downgrade(t *testing.T) {
	latin := strings.Repeat("word ", 30) + "caf\xe9\n"
	signed := "Content-Type: multipart/signed; boundary=b\n\n--b\n"
	tests := []struct {
		name, in, want string
		reason         DowngradeReason
	}{
		{"7bit", "Content-Transfer-Encoding: 8bit\n\nhello\n", "Content-Transfer-Encoding: 8bit\n\nhello\n", ""},
		{"text", "MIME-Version: 1.0\ncontent-transfer-encoding:\n 8bit\nSubject: x\n\ncafé\n",
			"MIME-Version: 1.0\ncontent-transfer-encoding: quoted-printable\nSubject: x\n\ncaf=C3=A9\n", ""},
		{"no fields", "Subject: x\n\ncafé\n", "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9\n", ""},
		{"two fields", "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: 7bit\n\né\nhello\n",
			"MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\nhello\n", ""},
		{"mostly 8bit", "MIME-Version: 1.0\n\nééé\n", "MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\nw6nDqcOpCg==\n", ""},
		{"long lines of text", "MIME-Version: 1.0\n\n" + latin, "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n" +
			strings.Repeat("word ", 15) + "=\n" + strings.Repeat("word ", 15) + "=\ncaf=E9\n", ""},
		{"parts", "Content-Transfer-Encoding: 8bit\n" + head + "pre\n--b\nContent-Transfer-Encoding: 8bit\n\nhi\n--b\nContent-Type: image/png\n" +
			"Content-Transfer-Encoding: binary\n\n\xff\xfe\n--b\nContent-Transfer-Encoding: base64\n\naGk=\n\n--b--\nepi\n",
			"Content-Transfer-Encoding: 7bit\n" + head + "pre\n--b\nContent-Transfer-Encoding: 7bit\n\nhi\n--b\nContent-Type: image/png\n" +
				"Content-Transfer-Encoding: base64\n\n//4=\n--b\nContent-Transfer-Encoding: base64\n\naGk=\n\n--b--\nepi\n", ""},
		{"message inside", "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nMIME-Version: 1.0\n\ncafé\n",
			"Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9\n", ""},
		{"header without its end", head + "--b\nContent-Type: text/html\nhello é\n--b--\n",
			head + "--b\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\nhello =C3=A9\n--b--\n", ""},
		{"row that becomes a delimiter", "Content-Type: multipart/mixed; boundary=\"b=C3\"\n\n--b=C3\n\ncafe\n--b\xc3\n--b=C3--\n",
			"Content-Type: multipart/mixed; boundary=\"b=C3\"\n\n--b=C3\nContent-Transfer-Encoding: quoted-printable\n\ncafe\n=2D-b=C3\n--b=C3--\n", ""},
		{"qp with 8bit data", "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n=E9\xe9\n",
			"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n6ekK\n", ""},
		{"line too long", "MIME-Version: 1.0\n\n" + strings.Repeat("x", 1001) + "\n",
			"MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat(strings.Repeat("x", 75)+"=\n", 13) + strings.Repeat("x", 26) + "\n", ""},
		{"signed, 7bit inside", "Content-Transfer-Encoding: 8bit\n" + head + "--b\n" + strings.ReplaceAll(signed, "b\n", "c\n") +
			"Content-Transfer-Encoding: 8bit\n\nhi\n--c--\n--b\n\né and more\n--b--\n",
			"Content-Transfer-Encoding: 7bit\n" + head + "--b\n" + strings.ReplaceAll(signed, "b\n", "c\n") +
				"Content-Transfer-Encoding: 8bit\n\nhi\n--c--\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9 and more\n--b--\n", ""},
		{"signed", signed + "\né\n--b--\n", "", DowngradeSigned},
		{"deep in what is signed", signed + "Content-Type: message/rfc822\n\nSubject: x\n\né\n--b--\n", "", DowngradeSigned},
		{"encrypted", strings.Replace(signed, "signed", "encrypted", 1) + "\né\n--b--\n", "", DowngradeSigned},
		{"S/MIME", "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: binary\n\n\xff\n", "", DowngradeSigned},
		{"DKIM", "DKIM-Signature: v=1\n\né\n", "", DowngradeSigned},
		{"ARC", "ARC-Message-Signature: i=1\n\né\n", "", DowngradeSigned},
		{"DKIM, 7bit", "DKIM-Signature: v=1\n\nhello\n", "DKIM-Signature: v=1\n\nhello\n", ""},
		{"header", "Subject: é\n\nhello\n", "", DowngradeHeader},
		{"header of a part", head + "--b\nContent-Description: é\n\nx\n--b--\n", "", DowngradeHeader},
		{"preamble", head + "é\n--b\n\nx\n--b--\n", "", DowngradeOutside},
		{"epilogue", head + "--b\n\nx\n--b--\né\n", "", DowngradeOutside},
		{"preamble and text", head + "é\n--b\n\né\n--b--\n", "", DowngradeOutside},
		{"unknown encoding", "Content-Transfer-Encoding: x-zip\n\né\n", "", DowngradeStructure},
		{"multipart without boundary", "Content-Type: multipart/mixed\n\né\n", "", DowngradeStructure},
		{"partial", "Content-Type: message/partial\n\né\n", "", DowngradeStructure},
		{"too deep", strings.Repeat("Content-Type: message/rfc822\n\n", 102) + "é\n", "", DowngradeStructure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, eol := range []string{"\n", "\r\n"} {
				in, want := strings.ReplaceAll(tt.in, "\n", eol), strings.ReplaceAll(tt.want, "\n", eol)
				if eol == "\r\n" {
					want = strings.NewReplacer("w6nDqcOpCg==", "w6nDqcOpDQo=", "6ekK", "6ekNCg==").Replace(want)
				}
				got, reason := downgraded(t, in)
				if got != want || reason != tt.reason {
					t.Errorf("line end %q: got %q, reason %q\nwant %q, reason %q", eol, got, reason, want, tt.reason)
				}
			}
		})
	}
}

// checkDowngrade converts a message, when it can be, and holds that nothing in it changed but the encodings. done tells that it was converted.
func checkDowngrade(t *testing.T, name string, data []byte) (done bool) {
	t.Helper()
	r, err := Downgrade(opens(data))
	var refused *DowngradeError
	if errors.As(err, &refused) {
		return false
	}
	tree, leaves, parts, werr := shape(data)
	if err != nil {
		if werr == nil {
			t.Errorf("%s: %v", name, err)
		}
		return false
	}
	out := []byte(written(t, r))
	if !isASCII(out) {
		t.Errorf("%s: octets above 127 in %s", name, clip(out))
	}
	outTree, outLeaves, outParts, err := shape(out)
	if err != nil || outTree != tree {
		t.Fatalf("%s: %s became %s, %v", name, tree, outTree, err)
	}
	at := 0
	for i, p := range outParts {
		q := parts[i]
		if p.ID != q.ID || p.MediaType != q.MediaType || p.Filename != q.Filename || fmt.Sprint(p.Params) != fmt.Sprint(q.Params) {
			t.Errorf("%s: part %s %s %q became %s %s %q", name, q.ID, q.MediaType, q.Filename, p.ID, p.MediaType, p.Filename)
		}
		body := out[p.BodyOffset : p.BodyOffset+p.Size]
		if !p.Container {
			if !bytes.Equal(leaves[at], outLeaves[at]) {
				t.Errorf("%s: part %s %s %s became %s %s", name, p.ID, q.Encoding, clip(leaves[at]), p.Encoding, clip(outLeaves[at]))
			}
			at++
			checkRows(t, name, p, body, p.Encoding != q.Encoding)
		}
	}
	again, err := Downgrade(opens(out))
	if err != nil {
		t.Fatalf("%s: a second time: %v", name, err)
	}
	if second := written(t, again); second != string(out) {
		t.Errorf("%s: not the same a second time\n%s\n%s", name, clip(out), clip([]byte(second)))
	}
	return !bytes.Equal(out, data)
}

// checkRows holds the length of the lines of a body.
func checkRows(t *testing.T, name string, p *Part, body []byte, encoded bool) {
	t.Helper()
	most := 998
	if encoded && !isIdentity(p.Encoding) {
		most = 76
	}
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) > most {
			t.Errorf("%s: part %s: line of %d octets", name, p.ID, len(line))
		}
	}
}

func TestDowngradeCorpora(t *testing.T) {
	done, all := 0, 0
	for _, name := range corpusFiles(t) {
		data := readFile(t, name)
		wire := []byte(strings.ReplaceAll(lf(data), "\n", "\r\n"))
		for form, in := range map[string][]byte{" as it is": data, " in wire form": wire} {
			if all++; checkDowngrade(t, name+form, in) {
				done++
			}
		}
	}
	t.Logf("%d of %d converted", done, all)
	if done < 50 {
		t.Errorf("only %d converted", done)
	}
}

// TestDowngradePacked packs random drafts for the best server and converts them for the worst.
func TestDowngradePacked(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	done := 0
	for range 500 {
		d := Draft{Wire: true, Target: Encoding(1 + rng.IntN(2)), Text: TextOf(scrap(rng, 20, "")), HTML: TextOf(scrap(rng, 20, ""))}
		for range rng.IntN(3) {
			d.Attach = append(d.Attach, content("a.bin", scrap(rng, 30, "")))
		}
		if checkDowngrade(t, "draft", []byte(packed(t, &d))) {
			done++
		}
	}
	if done < 100 {
		t.Errorf("only %d converted", done)
	}
}

// TestDowngradeChanged: a source that is not the same when it is read again is an error, not another message.
func TestDowngradeChanged(t *testing.T) {
	const msg = "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncafé café\r\n"
	for name, second := range map[string]string{"shorter": msg[:len(msg)-2], "longer": msg + "x", "empty": ""} {
		calls := 0
		r, err := Downgrade(func() (io.ReadCloser, error) {
			if calls++; calls <= 2 {
				return io.NopCloser(strings.NewReader(msg)), nil
			}
			return io.NopCloser(strings.NewReader(second)), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.WriteTo(io.Discard); err == nil {
			t.Errorf("%s: %d octets and no error", name, n)
		}
	}
	broken := errors.New("broken")
	if _, err := Downgrade(func() (io.ReadCloser, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func FuzzDowngrade(f *testing.F) {
	f.Add([]byte("Content-Transfer-Encoding: 8bit\n" + head + "pre\n--b\n\ncaf\xc3\xa9\n--b\nContent-Type: message/rfc822\n\nA: b\n\n\xff\n--b--\nepilogue\n"))
	f.Add([]byte("MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\xe9 " + strings.Repeat("-", 100) + "\r\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"b=C3\"\n\n--b=C3\n\n--b\xc3\n--b=C3--\n"))
	f.Fuzz(func(t *testing.T, in []byte) { checkDowngrade(t, "input", in) })
}
