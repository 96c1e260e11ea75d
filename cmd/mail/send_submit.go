package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/store"
)

// maxSubmitRcpt is how many recipients a message may have in an SMTP session on standard input: what every server must
// take (RFC 5321 §4.5.3.1.8). Clients send to the others in a transaction of their own.
const maxSubmitRcpt = 100

// submissions is SMTP on standard input and output (sendmail -bs). A message is acknowledged when it was sent to all of
// its recipients.
func (c *call) submissions(ctx context.Context, o *sendOptions) error {
	return server.ServeSMTP(ctx, c.stdin, c.stdout, server.Options{
		Hostname: cmp.Or(localHost(), "localhost"),
		Without:  []string{"CHUNKING", "DSN", "LIMITS", "HELP"},
		MaxRcpt:  maxSubmitRcpt,
		Submit:   func(ctx context.Context, s *server.Submission) error { return c.submit(ctx, o, s) },
	})
}

// submit sends one message. One reply has to tell what became of all recipients, and a client sends again to all of them
// or to none: so the message goes to all or to none where the server can do that.
func (c *call) submit(ctx context.Context, base *sendOptions, s *server.Submission) error {
	var words bytes.Buffer
	one, o := *c, *base
	env := *c.env
	env.stderr, env.stderrTTY = &words, false
	one.env, one.args = &env, s.Rcpt
	o.sender, o.senderGiven, o.headerRcpt, o.onPartial = s.From, true, false, "abort"
	t := &submitted{}
	router, err := newRouter(c, &o) // what -v shows goes to the real standard error
	if err == nil {
		err = one.sendSubmission(ctx, &preparer{c: &one, o: &o, router: router}, s, t)
	}
	one.report(err)
	_, _ = c.stderr.Write(words.Bytes())
	return t.reply(exitCode(err), words.String())
}

func (c *call) sendSubmission(ctx context.Context, p *preparer, s *server.Submission, t *submitted) error {
	spool, err := store.NewSpool(s.Body)
	if err != nil {
		return err
	}
	m, err := p.prepare(1, spool)
	if err != nil {
		return err
	}
	source := oneMessage(m)
	defer source.stop()
	return c.deliver(ctx, p.o, source, t.add)
}

// submitted gathers what became of the recipients of one message.
type submitted struct {
	accepted, refused, deferred int
	enhanced                    []string
}

func (t *submitted) add(line sentJSON) {
	switch line.Status {
	case "accepted":
		t.accepted++
	case "refused":
		t.refused++
	default:
		t.deferred++
	}
	t.enhanced = append(t.enhanced, line.Enhanced)
}

// reply is what the client is told; nil is the 250. What is wrong here, or with the connection, is put off.
func (t *submitted) reply(code int, words string) error {
	r := &server.Refusal{Code: 451, Enhanced: "4.3.0", Text: strings.ReplaceAll("\n"+words, "\nmail: ", "\n")[1:]}
	switch {
	case t.accepted > 0 && t.refused+t.deferred == 0:
		return nil
	case t.accepted > 0:
		r.Code, r.Enhanced = 554, "5.0.0"
		r.Text += fmt.Sprintf("sent to %d of %d recipients: do not send it to all again\n", t.accepted, t.accepted+t.refused+t.deferred)
	case t.refused > 0, code == exitUsage, code == exitData:
		r.Code, r.Enhanced = 554, "5.0.0"
	}
	if t.accepted == 0 { // the server's code, of the first recipient that decided
		same := func(code string) bool { return code != "" && code[0] == r.Enhanced[0] }
		if i := slices.IndexFunc(t.enhanced, same); i >= 0 {
			r.Enhanced = t.enhanced[i]
		}
	}
	return r
}
