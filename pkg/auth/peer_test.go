package auth

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// peer is a Transport whose server is a list of replies. It records what it was sent.
type peer struct {
	replies []reply
	log     []string
	err     error // returned by every Respond
}

type reply struct {
	data string
	more bool
	err  error
}

func challenge(s string) reply         { return reply{data: s, more: true} }
func success() reply                   { return reply{} }
func refusal(text string) reply        { return reply{err: &Error{Text: text}} }
func temporary(text string) reply      { return reply{err: &Error{Text: text, Temp: true}} }
func (p *peer) say(s string)           { p.log = append(p.log, s) }
func (p *peer) Cancel() error          { p.say("*"); return nil }
func (p *peer) Respond(b []byte) error { p.say("> " + string(b)); return p.err }

func (p *peer) Start(mech string, ir []byte) error {
	if ir == nil {
		p.say("AUTH " + mech)
	} else {
		p.say("AUTH " + mech + " > " + string(ir))
	}
	return nil
}

var errGone = errors.New("connection closed by the test")

func (p *peer) Challenge() ([]byte, bool, error) {
	if len(p.replies) == 0 {
		return nil, false, errGone
	}
	r := p.replies[0]
	p.replies = p.replies[1:]
	return []byte(r.data), r.more, r.err
}

// wantLog compares what the client sent.
func (p *peer) wantLog(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(p.log, want) {
		t.Errorf("client sent\n%q, want\n%q", p.log, want)
	}
}

// choose picks a mechanism over a loopback channel.
func choose(t *testing.T, offered []string, cr *Credentials) Mechanism {
	t.Helper()
	m, err := Choose(context.Background(), offered, cr, Channel{Host: "server.example.com", Port: 143, Protocol: "imap", Loopback: true})
	if err != nil {
		t.Fatalf("Choose: %v", err)
	}
	return m
}

func creds(mech string) *Credentials {
	return &Credentials{User: "alice", Password: Literal("sesame"), Mechanism: mech}
}
