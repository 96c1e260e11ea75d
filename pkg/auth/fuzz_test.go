package auth

import (
	"context"
	"strings"
	"testing"
)

// FuzzNetrc feeds the parser; it must end, keep its caps, and give back what was quoted into it.
func FuzzNetrc(f *testing.F) {
	for _, s := range []string{"machine h login a password b", "default login a\npassword \"b\\\"c\"", "macdef x\ny\n\nmachine h", "# c\nmachine h # d\npassword #", "machine \"\\", "\"\\n"} {
		f.Add(s)
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	f.Fuzz(func(t *testing.T, s string) {
		entries, err := parseNetrc(s)
		if err == nil && len(entries) > len(s) {
			t.Errorf("%d entries out of %d bytes", len(entries), len(s))
		}
		entries, err = parseNetrc("machine h login alice password \"" + quote.Replace(s) + "\"\nmachine i password end")
		if err != nil || len(entries) != 2 || entries[0].password.Reveal() != s || entries[1].password.Reveal() != "end" {
			t.Errorf("quoted %q came back as %v, %v", s, entries, err)
		}
	})
}

// FuzzChallenges lets a server say anything to every mechanism: no panic, no endless exchange, no secret in the
// error, and success only if the server may have earned it.
func FuzzChallenges(f *testing.F) {
	f.Add("", "", "", uint8(0))
	f.Add("r=abcdef,s=c2FsdA==,i=4096", "v=AAAA", "", uint8(2))
	f.Add("r=abcdef,s=c2FsdA==,i=4096", "e=other-error", "", uint8(3))
	f.Add(`{"status":"401","scope":"x"}`, "", "x", uint8(1))
	f.Add("<1.2@h>", "x", "y", uint8(4))
	f.Fuzz(func(t *testing.T, a, b, c string, which uint8) {
		if strings.Contains(a, "i=") && len(a) > 100 {
			return // long counts are tested elsewhere; they cost time here
		}
		secret := Literal(canary)
		cr := &Credentials{User: "alice", Password: secret, Token: secret}
		cr.Mechanism = preference[int(which)%len(preference)]
		if isPlus(cr.Mechanism) {
			return
		}
		m := choose2(t, cr)
		p := &peer{replies: []reply{challenge(a), challenge(b), challenge(c), success()}}
		err := Exchange(context.Background(), m, p, which&0x80 != 0)
		if err != nil && leaks(err.Error()) {
			t.Errorf("error shows the secret: %v", err)
		}
		if err == nil && strings.HasPrefix(m.Name(), "SCRAM") {
			t.Errorf("%s succeeded against a server without the password", m.Name())
		}
		if len(p.log) > maxRounds+2 {
			t.Errorf("%d lines sent", len(p.log))
		}
	})
}

// choose2 makes the mechanism that cr names; the nonce of SCRAM is fixed so that the fuzzer can extend it.
func choose2(t *testing.T, cr *Credentials) Mechanism {
	if strings.HasPrefix(cr.Mechanism, "SCRAM") {
		m, err := newScram(scramOptions{name: cr.Mechanism, user: cr.User, password: NewSecret(canary), nonce: "abc"})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	return choose(t, []string{cr.Mechanism}, cr)
}
