package mx_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/smtp/mx"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestHosts(t *testing.T) {
	r := mx.NewResolver(wiretest.DNS(t, wiretest.Zone{
		"crepes.fr":           {"MX 20 mx2.crepes.fr", "MX 10 mx1.crepes.fr", "A 127.0.0.9"},
		"hamburger.edu":       {"A 127.0.0.3"},
		"xn--bcher-kva.test":  {"MX 5 mx.example.org"},
		"null.test":           {"MX 0 ."},
		"null-and-more.test":  {"MX 0 .", "MX 10 mx.example.org"},
		"broken.test":         {"SERVFAIL"},
		"nothing-at-all.test": {},
	}))
	for _, tc := range []struct {
		domain string
		hosts  []string
		err    string // enhanced status code
		temp   bool
	}{
		{"crepes.fr", []string{"mx1.crepes.fr", "mx2.crepes.fr"}, "", false},
		{"CREPES.FR.", []string{"mx1.crepes.fr", "mx2.crepes.fr"}, "", false},
		{"hamburger.edu", []string{"hamburger.edu"}, "", false},
		{"bücher.test", []string{"mx.example.org"}, "", false},
		{"Bücher.test", []string{"mx.example.org"}, "", false},
		{"null.test", nil, "5.1.10", false},
		{"null-and-more.test", []string{"mx.example.org"}, "", false},
		{"broken.test", nil, "4.4.3", true},
		{"nothing-at-all.test", []string{"nothing-at-all.test"}, "", false},
		{"no-such.test", []string{"no-such.test"}, "", false}, // Addresses finds out
		{"[192.0.2.1]", []string{"192.0.2.1"}, "", false},
		{"[IPv6:2001:db8::1]", []string{"2001:db8::1"}, "", false},
		{"[999.1.1.1]", nil, "5.1.2", false},
		{"a..b", nil, "5.1.2", false},
		{"", nil, "5.1.2", false},
	} {
		t.Run(tc.domain, func(t *testing.T) {
			hosts, err := mx.Hosts(t.Context(), r, tc.domain)
			var names []string
			for _, h := range hosts {
				names = append(names, h.Name)
			}
			if !slices.Equal(names, tc.hosts) {
				t.Errorf("hosts %q, want %q", names, tc.hosts)
			}
			var e *mx.Error
			if tc.err == "" && err != nil || tc.err != "" && (!errors.As(err, &e) || e.Enhanced != tc.err || e.Temporary() != tc.temp) {
				t.Errorf("error %v, want status %q, temporary %v", err, tc.err, tc.temp)
			}
		})
	}
}

func TestHostsOfEqualPreference(t *testing.T) {
	r := mx.NewResolver(wiretest.DNS(t, wiretest.Zone{"equal.test": {"MX 10 a.test", "MX 10 b.test", "MX 5 first.test"}}))
	second := map[string]bool{}
	for range 64 {
		hosts, err := mx.Hosts(t.Context(), r, "equal.test")
		if err != nil || len(hosts) != 3 || hosts[0].Name != "first.test" {
			t.Fatalf("hosts %v, error %v: want first.test and two others", hosts, err)
		}
		second[hosts[1].Name] = true
	}
	if len(second) != 2 {
		t.Errorf("second of 64 look-ups: %v, want either of the two sometimes", second)
	}
}

func TestAddresses(t *testing.T) {
	zone := wiretest.Zone{
		"both.test":   {"A 127.0.0.2", "AAAA ::1", "MX 1 both.test"},
		"broken.test": {"SERVFAIL"},
		"empty.test":  {"MX 1 empty.test"},
		"many.test":   nil,
	}
	for i := range 30 {
		zone["many.test"] = append(zone["many.test"], fmt.Sprintf("A 127.0.1.%d", i))
	}
	r := mx.NewResolver(wiretest.DNS(t, zone))
	for _, tc := range []struct {
		domain string
		n      int
		err    string
	}{
		{"both.test", 2, ""},
		{"many.test", 10, ""},
		{"broken.test", 0, "4.4.3"},
		{"empty.test", 0, "5.1.2"},
		{"[127.0.0.7]", 1, ""},
		{"no-such.test", 0, "5.1.2"},
	} {
		t.Run(tc.domain, func(t *testing.T) {
			host := mx.Host{Name: tc.domain}
			if hosts, err := mx.Hosts(t.Context(), r, tc.domain); err == nil {
				host = hosts[0]
			}
			addrs, err := host.Addresses(t.Context(), r)
			var e *mx.Error
			if len(addrs) != tc.n || tc.err == "" && err != nil || tc.err != "" && (!errors.As(err, &e) || e.Enhanced != tc.err) {
				t.Errorf("addresses %v, error %v; want %d, status %q", addrs, err, tc.n, tc.err)
			}
		})
	}
}

func TestLookupEndsWithContext(t *testing.T) {
	r := mx.NewResolver(wiretest.DNS(t, wiretest.Zone{"silent.test": {"DROP"}}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := mx.Hosts(ctx, r, "silent.test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that of the context", err)
	}
}
