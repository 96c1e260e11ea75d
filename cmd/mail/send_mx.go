package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/mail-toolkit/mail/pkg/smtp"
	"github.com/mail-toolkit/mail/pkg/smtp/mx"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// exchanges are the open connections to the mail exchangers of domains (--mx), most recently used last.
type exchanges []*exchange

// exchange is a connection to a host that takes the mail of a domain.
type exchange struct {
	domain string
	client *smtp.Client
}

// maxExchanges bounds the connections that one worker keeps open.
const maxExchanges = 8

func (x *exchanges) close() {
	for _, one := range *x {
		_ = one.client.Close()
	}
	*x = nil
}

// take removes the connection of a domain and gives it, or nil.
func (x *exchanges) take(domain string) *smtp.Client {
	for i, one := range *x {
		if one.domain == domain {
			*x = append((*x)[:i], (*x)[i+1:]...)
			return one.client
		}
	}
	return nil
}

// keep takes a connection back. One that has ended, or takes no more messages, is closed.
func (x *exchanges) keep(domain string, client *smtp.Client) {
	if client.Conn().Err() != nil || client.Remaining() == 0 {
		_ = client.Close()
		return
	}
	if len(*x) == maxExchanges {
		_ = (*x)[0].client.Close()
		*x = (*x)[1:]
	}
	*x = append(*x, &exchange{domain, client})
}

// deliverDirectly sends a message to the mail exchangers of its recipients' domains, one domain after the other. What
// goes wrong with one domain says nothing about the others: its error is one of the output or the configuration.
func (w *worker) deliverDirectly(ctx context.Context, j *job) error {
	w.target = j.m.route.target
	if err := w.report.ready(w.target); err != nil {
		w.feed.putBack(j)
		return err
	}
	w.up()
	defer j.m.close()
	all := &smtp.Result{}
	j.m.servers = map[string]string{}
	for _, group := range byDomain(j.m.envelope.Rcpt) {
		for left := group.rcpt; len(left) > 0; {
			place, r := w.toDomain(ctx, group.domain, j.m.to(left))
			left, r, _ = tooMany(r, nil)
			all.Rcpt = append(all.Rcpt, r.Rcpt...)
			all.Reply = r.Reply
			for _, one := range r.Rcpt {
				j.m.servers[one.Addr] = place
			}
		}
	}
	return w.report.outcome(ctx, j.m, all, summary(all))
}

// domainGroup is the recipients of one domain.
type domainGroup struct {
	domain string
	rcpt   []string
}

// byDomain groups addresses, in order of first appearance. Domains are compared without regard to case.
func byDomain(rcpt []string) []*domainGroup {
	var groups []*domainGroup
	at := map[string]*domainGroup{}
	for _, addr := range rcpt {
		domain := strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:])
		if at[domain] == nil {
			at[domain] = &domainGroup{domain: domain}
			groups = append(groups, at[domain])
		}
		at[domain].rcpt = append(at[domain].rcpt, addr)
	}
	return groups
}

// summary is the error that Send would have given for a result.
func summary(r *smtp.Result) error {
	accepted, refused := r.Accepted(), r.Refused()
	switch {
	case len(refused) == 0:
		return nil
	case len(accepted) == 0:
		return &smtp.NoRecipientError{Refused: refused}
	}
	return &smtp.PartialError{Accepted: accepted, Refused: refused}
}

// toDomain sends m, whose recipients are all of one domain: to the hosts of the domain in order, until one has answered
// for the message (RFC 5321 §5.1).
func (w *worker) toDomain(ctx context.Context, domain string, m *outgoing) (place string, r *smtp.Result) {
	if client := w.direct.take(domain); client != nil {
		if r, err := w.handOver(ctx, domain, client, m); !connectionLost(err) {
			return client.Endpoint().Address(), r
		}
	}
	hosts, err := mx.Hosts(ctx, w.o.resolver, domain)
	if err != nil {
		return domain, failed(m, "connect", err)
	}
	var last error
	for _, host := range hosts {
		addrs, err := host.Addresses(ctx, w.o.resolver)
		if err != nil {
			last = worse(last, err)
			continue
		}
		for _, addr := range addrs {
			client, err := w.dialExchange(ctx, host, addr)
			if err == nil {
				if r, err = w.handOver(ctx, domain, client, m); !connectionLost(err) {
					return host.Name, r
				}
			}
			last = worse(last, fmt.Errorf("%s: %w", host.Name, err))
			if ctx.Err() != nil {
				return domain, failed(m, "connect", ctx.Err())
			}
		}
	}
	return domain, failed(m, "connect", last)
}

// handOver sends m over the connection and keeps it for the next message.
func (w *worker) handOver(ctx context.Context, domain string, client *smtp.Client, m *outgoing) (*smtp.Result, error) {
	defer func() { w.direct.keep(domain, client) }()
	form, err := m.fit(client, w.o.noChunking)
	if err != nil {
		return failed(m, "", err), err
	}
	body := &lazyReader{open: form.open}
	defer body.close()
	r, err := client.Send(ctx, form.envelope, w.report.bar.counting(body))
	return r, err
}

// worse keeps the error that leaves hope: only when every host refused for good, the domain does.
func worse(a, b error) error {
	if a == nil || exitCode(a) != exitTemporary {
		return b
	}
	return a
}

// failed is the result of a message that was not sent, because of an error in one step.
func failed(m *outgoing, step string, err error) *smtp.Result {
	refusal := &smtp.Error{Command: step, Phase: smtp.PhaseOf(err), Cause: err}
	var domain *mx.Error
	if errors.As(err, &domain) {
		refusal.Enhanced, refusal.Text, refusal.Command = domain.Enhanced, domain.Error(), "look-up"
	}
	r := &smtp.Result{}
	for _, addr := range m.envelope.Rcpt {
		r.Rcpt = append(r.Rcpt, smtp.RcptResult{Addr: addr, Err: refusal, Reply: refusal.Reply()})
	}
	return r
}

// dialExchange connects to a mail exchanger. TLS is used where it is offered; the certificate proves nothing, as the
// name came from the DNS (RFC 7435), unless --require-tls asks for it. When TLS fails, cleartext is tried, as it would
// be without TLS on offer.
func (w *worker) dialExchange(ctx context.Context, host mx.Host, addr netip.Addr) (*smtp.Client, error) {
	ep := wire.Endpoint{Protocol: wire.SMTP, Host: addr.String(), Port: cmp.Or(w.o.mxPort, 25), Security: wire.OpportunisticTLS}
	if w.o.requireTLS {
		ep.Security = wire.StartTLS
	}
	cfg := w.target.Wire
	cfg.ServerName = host.Name
	o := &smtp.Options{Wire: &cfg, LocalName: w.o.localName(), NoChunking: w.o.noChunking}
	client, err := smtp.Dial(ctx, ep, o)
	var tls *wire.TLSError
	if errors.As(err, &tls) && ep.Security == wire.OpportunisticTLS && ctx.Err() == nil {
		ep.Security = wire.Cleartext
		client, err = smtp.Dial(ctx, ep, o)
	}
	return client, err
}

// localName is what we call ourselves to other people's servers.
func (o *sendOptions) localName() string {
	if o.helo != "" {
		return o.helo
	}
	name, err := os.Hostname()
	if err != nil || !strings.Contains(name, ".") {
		return "localhost.localdomain"
	}
	return name
}
