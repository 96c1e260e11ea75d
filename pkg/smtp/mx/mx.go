// Package mx finds the hosts that take the mail of a domain: the MX look-up of RFC 5321 §5.1, with null MX (RFC 7505)
// and address literals. It asks the DNS and connects to nothing.
//
// What an answer means is settled here once: a name that does not exist, or that takes no mail, is a permanent *Error;
// a server that fails or does not answer is a temporary one, because mail must never bounce for that.
package mx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// Resolver is the part of *net.Resolver that is used.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// NewResolver asks the DNS server at address ("192.0.2.1:53") instead of the system's.
func NewResolver(address string) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}
}

// The caps on what a domain can make us try.
const (
	maxHosts     = 20 // hosts of a domain
	maxAddresses = 10 // addresses of a host
)

// profile maps names as look-ups do (RFC 5891 §5), and lets names with underscores pass, which the DNS has.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule())

// Error is a domain that mail cannot be sent to.
type Error struct {
	Domain   string
	Enhanced string // enhanced status code, RFC 3463: "5.1.2" no such domain, "5.1.10" null MX, "4.4.3" DNS failure
	Err      error  // of the resolver; nil for null MX
}

// Temporary is true when a later attempt may get further.
func (e *Error) Temporary() bool { return e.Enhanced == dnsFailure }

func (e *Error) Error() string {
	switch {
	case e.Enhanced == nullMX:
		return fmt.Sprintf("the domain %s takes no mail (null MX)", e.Domain)
	case e.Temporary():
		return fmt.Sprintf("looking up the domain %s: %v", e.Domain, e.Err)
	}
	return fmt.Sprintf("the domain %s has neither MX nor address", e.Domain)
}

func (e *Error) Unwrap() error { return e.Err }

const (
	noDomain   = "5.1.2"
	nullMX     = "5.1.10"
	dnsFailure = "4.4.3"
)

// Host is a place to deliver to.
type Host struct {
	Name       string     // as in the DNS, without the last dot; the address itself for an address literal
	Preference uint16     // lower comes first
	literal    netip.Addr // of an address literal
}

// Hosts gives the hosts of domain in the order in which they are to be tried, at least one: by preference, those of
// equal preference in random order. A domain without MX is its own host (RFC 5321 §5.1). Errors: *Error, the
// context's.
func Hosts(ctx context.Context, r Resolver, domain string) ([]Host, error) {
	if inner, ok := strings.CutPrefix(domain, "["); ok {
		return literal(domain, inner)
	}
	name, err := profile.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil || slices.Contains(strings.Split(name, "."), "") {
		return nil, &Error{Domain: domain, Enhanced: noDomain, Err: err}
	}
	records, err := r.LookupMX(ctx, name+".")
	if len(records) == 0 && err != nil { // with records, err is about others that cannot be used
		if err = classify(ctx, domain, err); !notFound(err) {
			return nil, err
		}
	}
	if len(records) == 0 {
		return []Host{{Name: name}}, nil
	}
	hosts := inOrder(records)
	if len(hosts) == 0 {
		return nil, &Error{Domain: domain, Enhanced: nullMX}
	}
	return hosts, nil
}

// inOrder leaves out records without a name, which in a domain with other records mean nothing.
func inOrder(records []*net.MX) []Host {
	var hosts []Host
	for _, mx := range records {
		if name := strings.TrimSuffix(mx.Host, "."); name != "" {
			hosts = append(hosts, Host{Name: name, Preference: mx.Pref})
		}
	}
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Preference, b.Preference) })
	return hosts[:min(len(hosts), maxHosts)]
}

// literal is an address such as [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 §4.1.3).
func literal(domain, inner string) ([]Host, error) {
	inner = strings.TrimSuffix(inner, "]")
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner = inner[5:]
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil {
		return nil, &Error{Domain: domain, Enhanced: noDomain, Err: err}
	}
	return []Host{{Name: addr.String(), literal: addr}}, nil
}

// Addresses gives the addresses of h in the order in which they are to be tried, at least one. Errors: *Error, the
// context's.
func (h Host) Addresses(ctx context.Context, r Resolver) ([]netip.Addr, error) {
	if h.literal.IsValid() {
		return []netip.Addr{h.literal}, nil
	}
	addrs, err := r.LookupNetIP(ctx, "ip", h.Name+".")
	if err != nil {
		return nil, classify(ctx, h.Name, err)
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	if len(addrs) == 0 {
		return nil, &Error{Domain: h.Name, Enhanced: noDomain}
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

func classify(ctx context.Context, domain string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return &Error{Domain: domain, Enhanced: noDomain, Err: err}
	}
	return &Error{Domain: domain, Enhanced: dnsFailure, Err: err}
}

func notFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.Temporary()
}
