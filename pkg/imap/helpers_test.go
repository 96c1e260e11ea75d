package imap

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "s3kret canary"

func alice() *auth.Credentials {
	return &auth.Credentials{User: "alice", Password: auth.Literal(canary)}
}

// within is a context that ends before the scripted peer's time-out.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func endpointOf(t testing.TB, addr string, sec wire.Security) wire.Endpoint {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Endpoint{Protocol: wire.IMAP, Host: host, Port: n, Security: sec}
}

func trusting(t testing.TB) *Options {
	return &Options{Wire: &wire.Config{RootCAs: wiretest.CA(t).Pool}}
}

// dial plays script and dials it.
func dial(t testing.TB, script string, sec wire.Security, o *Options) (*Client, error) {
	t.Helper()
	c, err := Dial(within(t), endpointOf(t, wiretest.Serve(t, script), sec), o)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// allCaps is a server that offers what this engine knows.
const allCaps = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE NAMESPACE SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE " +
	"UIDPLUS MOVE CONDSTORE ESEARCH UNSELECT OBJECTID PREVIEW"

// session plays script behind a PREAUTH greeting that offers caps.
func session(t testing.TB, caps, script string) *Client {
	t.Helper()
	c, err := dial(t, "S: * PREAUTH [CAPABILITY "+caps+"] ready\n"+script+"\nC? * LOGOUT\n", wire.Cleartext, nil)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return c
}

// inbox is the script of selecting INBOX, which selected does.
const inbox = `
C: $s SELECT INBOX
S: * 300000 EXISTS
S: * OK [UIDVALIDITY 7] ok
S: * OK [UIDNEXT 10] ok
S: ${s} OK [READ-WRITE] done
`

// selected is a session with INBOX selected before script.
func selected(t testing.TB, caps, script string) *Client {
	t.Helper()
	c := session(t, caps, inbox+script)
	if _, err := c.Select(within(t), "INBOX", nil); err != nil {
		t.Fatalf("select: %v", err)
	}
	return c
}

func uids(t testing.TB, text string) UIDSet {
	t.Helper()
	s, err := imapwire.ParseUIDSet(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantProtocol checks for an error that ends the connection with exit code 76.
func wantProtocol(t testing.TB, err error) {
	t.Helper()
	var p *wire.ProtocolError
	if !errors.As(err, &p) {
		t.Errorf("got %v (%T), want a protocol error", err, err)
	}
}

// wantRefusal checks for a refusal with a status and code.
func wantRefusal(t testing.TB, err error, status, code string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code {
		t.Errorf("got %v (%T), want %s [%s]", err, err, status, code)
	}
}

// bodies fetches and returns what came, "uid:section=octets".
func bodies(c *Client, ctx context.Context, set UIDSet, o *FetchOptions) (got []string, missing UIDSet, err error) {
	missing, err = c.Fetch(ctx, set, o, func(m *Message) error {
		one := strconv.Itoa(int(m.UID)) + ":"
		for {
			b, err := m.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			raw, err := io.ReadAll(b)
			if err != nil {
				return err
			}
			one += b.Section.String() + "=" + string(raw) + ";"
		}
		got = append(got, one)
		return nil
	})
	return got, missing, err
}

func whole() *FetchOptions { return &FetchOptions{Sections: []Section{{}}} }
