package wiretest

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone is what the server of DNS answers: for a name in lower case without its last dot, the records. "MX 10
// mx1.example.org", "MX 0 ." (null MX), "A 127.0.0.1", "AAAA ::1". A name with the one record "SERVFAIL" makes the
// server fail, one with "DROP" gets no answer. Names that are not in the zone do not exist.
type Zone map[string][]string

// DNS starts a DNS server on a loopback address (UDP) and gives that address. It ends with the test.
func DNS(t testing.TB, zone Zone) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, peer, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			if reply := zone.answer(t, buf[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, peer)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func (z Zone) answer(t testing.TB, query []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	records, exists := z[strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	switch {
	case !exists:
		reply.RCode = dnsmessage.RCodeNameError
	case len(records) == 1 && records[0] == "SERVFAIL":
		reply.RCode = dnsmessage.RCodeServerFailure
	case len(records) == 1 && records[0] == "DROP":
		return nil
	default:
		for _, record := range records {
			if body := resource(t, record); body != nil && typeOf(body) == question.Type {
				reply.Answers = append(reply.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: dnsmessage.ClassINET, TTL: 60}, Body: body})
			}
		}
	}
	packed, err := reply.Pack()
	if err != nil {
		t.Errorf("packing the answer for %s: %v", question.Name, err)
		return nil
	}
	return packed
}

func typeOf(body dnsmessage.ResourceBody) dnsmessage.Type {
	switch body.(type) {
	case *dnsmessage.MXResource:
		return dnsmessage.TypeMX
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	}
	return dnsmessage.TypeAAAA
}

// resource reads a record of a Zone.
func resource(t testing.TB, record string) dnsmessage.ResourceBody {
	words := strings.Fields(record)
	switch {
	case len(words) == 3 && words[0] == "MX":
		name, err := dnsmessage.NewName(strings.TrimSuffix(words[2], ".") + ".")
		pref := uint16(0)
		for _, digit := range words[1] {
			pref = pref*10 + uint16(digit-'0')
		}
		if err == nil {
			return &dnsmessage.MXResource{Pref: pref, MX: name}
		}
	case len(words) == 2:
		addr, err := netip.ParseAddr(words[1])
		if err == nil && addr.Is4() && words[0] == "A" {
			return &dnsmessage.AResource{A: addr.As4()}
		}
		if err == nil && addr.Is6() && words[0] == "AAAA" {
			return &dnsmessage.AAAAResource{AAAA: addr.As16()}
		}
	}
	t.Errorf("the zone has a record that cannot be read: %q", record)
	return nil
}
