package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "C4nary-Zzq9-passw0rd"

// leaks reports whether s shows the canary, as it is, in base64 at any offset, or in hex.
func leaks(s string) bool {
	for _, form := range canaryForms(canary) {
		if strings.Contains(strings.ToLower(s), strings.ToLower(form)) {
			return true
		}
	}
	return false
}

// canaryForms lists how a secret can look. Of each base64 alignment only the part that does not depend on neighbours
// is taken.
func canaryForms(c string) []string {
	forms := []string{c, fmt.Sprintf("%x", c), fmt.Sprintf("%v", []byte(c))}
	for pad := range 3 {
		e := base64.StdEncoding.EncodeToString(append(make([]byte, pad), c...))
		forms = append(forms, e[4:len(e)-4])
	}
	return forms
}

func TestO3_LeaksFindsEveryForm(t *testing.T) {
	for _, s := range []string{canary, "x" + canary, base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + canary)), base64.StdEncoding.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte("ab" + canary + "xyz"))} {
		if !leaks(s) {
			t.Errorf("the search does not find the secret in %q", s)
		}
	}
	if leaks("nothing [secret] here") {
		t.Error("the search finds what is not there")
	}
}

func TestO3_SecretDoesNotPrint(t *testing.T) {
	s := NewSecret(canary)
	type inner struct{ s Secret }
	type outer struct {
		Public Secret
		hidden inner
		ptr    *inner
		list   []inner
		m      map[string]Secret
	}
	values := []any{s, &s, inner{s}, &inner{s}, []Secret{s}, map[string]Secret{"a": s}, outer{s, inner{s}, &inner{s}, []inner{{s}}, map[string]Secret{"b": s}}, any(s), fmt.Errorf("wrapped: %v", s)}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s", "%-5v", "%p", "%T", "%b", "%c", "%U", "%e", "% x", "%#q"}
	for i, v := range values {
		for _, verb := range verbs {
			if got := fmt.Sprintf(verb, v); leaks(got) {
				t.Errorf("value %d with %s shows the secret: %s", i, verb, got)
			}
		}
		if got := fmt.Sprintln(v); leaks(got) {
			t.Errorf("value %d: Println shows the secret", i)
		}
	}
	if got := fmt.Sprintf("%s %v %d", s, s, s); got != "[secret] [secret] [secret]" {
		t.Errorf("got %q, want [secret] three times", got)
	}
}

func TestO3_SecretDoesNotEncode(t *testing.T) {
	s := NewSecret(canary)
	j, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": struct{ S Secret }{s}})
	if want := `{"a":"[secret]","b":"[secret]","c":{"S":"[secret]"}}`; err != nil || string(j) != want {
		t.Errorf("json: got %s, %v, want %s", j, err, want)
	}
	type doc struct{ S Secret }
	x, err := xml.Marshal(doc{s})
	if err != nil || leaks(string(x)) || !strings.Contains(string(x), shownSecret) {
		t.Errorf("xml: got %s, %v", x, err)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(struct{ S Secret }{s}); err != nil || leaks(b.String()) {
		t.Errorf("gob: got %q, %v", b.String(), err)
	}
	b.Reset()
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("m", "s", s, "p", &s, "in", struct{ S Secret }{s}, slog.Group("g", "s", s))
	}
	if leaks(b.String()) || strings.Count(b.String(), shownSecret) < 4 {
		t.Errorf("slog: got %s", b.String())
	}
}

func TestSecretZero(t *testing.T) {
	var s Secret
	if !s.IsZero() || s.Reveal() != "" || !NewSecret("").IsZero() || NewSecret("x").IsZero() {
		t.Error("IsZero is wrong")
	}
	if got := NewSecret("a\x00b").Reveal(); got != "a\x00b" {
		t.Errorf("Reveal gives %q, want a NUL in the middle", got)
	}
}

// Nothing this package hands out shows the secret: credentials, mechanisms, errors of every failing exchange.
func TestO3_NothingPrintsSecret(t *testing.T) {
	st := tlsPair(t, 0).client
	for _, mech := range preference {
		t.Run(mech, func(t *testing.T) {
			cr := &Credentials{User: "alice", Password: Literal(canary), Mechanism: mech}
			ch := Channel{Host: "h", Port: 1, Protocol: "imap", TLS: &st}
			m, err := Choose(context.Background(), []string{mech}, cr, ch)
			if err != nil {
				t.Fatal(err)
			}
			for _, replies := range [][]reply{
				{refusal("no " + canary)},
				{challenge(canary), refusal("no")},
				{challenge(""), challenge(canary), challenge(canary), refusal("no " + canary)},
				{challenge("e=" + canary), refusal("no")},
				{challenge(`{"status":"` + canary + `","scope":"` + canary + `"}`), refusal("no")},
				{challenge(canary), success()},
			} {
				p := &peer{replies: replies}
				err := Exchange(context.Background(), m, p, true)
				for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
					if s := fmt.Sprintf(verb, err); leaks(s) {
						t.Errorf("error with %s shows the secret: %s", verb, s)
					}
					if s := fmt.Sprintf(verb+verb+verb, m, cr, *cr); leaks(s) {
						t.Errorf("mechanism or credentials with %s show the secret: %s", verb, s)
					}
				}
				m, _ = Choose(context.Background(), []string{mech}, cr, ch)
			}
			if j, _ := json.Marshal(m); leaks(string(j)) {
				t.Errorf("json of the mechanism shows the secret: %s", j)
			}
		})
	}
}
