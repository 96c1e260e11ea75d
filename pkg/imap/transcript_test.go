package imap

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
	"github.com/mail-toolkit/mail/pkg/wire/wiretest"
)

// transcript is what a real server said, with our tag in the place of its
// client's, as a script that sends it after the command.
func transcript(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "corpora", "mailkit-sample", "Imap", "Resources", name)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("no test data: %v", err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(raw), "A########", "T1"), "\n", "\r\n")
}

// replay answers one command with a transcript.
func replay(t *testing.T, caps, name, command string) *Client {
	t.Helper()
	addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1 "+caps+"] hi\nC: "+command+"\nSEND reply\nC? * LOGOUT",
		wiretest.Var("reply", transcript(t, name)))
	c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), &Options{Tag: "T"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestGreetingsOfRealServers(t *testing.T) {
	for name, preauth := range map[string]bool{"courier/greeting.txt": false, "domino/greeting.txt": false, "exchange/greeting.txt": false,
		"exchange/greeting-2003.txt": false, "exchange/greeting-2007.txt": false, "lowercase/greeting.txt": false, "uw/greeting.txt": false,
		"uw/preauth-greeting.txt": true, "zoho/greeting.txt": false} {
		t.Run(name, func(t *testing.T) {
			addr := wiretest.Serve(t, "SEND greeting\nC? * LOGOUT", wiretest.Var("greeting", transcript(t, name)))
			c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.Preauthenticated() != preauth {
				t.Errorf("authenticated is %v, want %v", c.Preauthenticated(), preauth)
			}
		})
	}
}

func TestCapabilitiesOfRealServers(t *testing.T) {
	for name, want := range map[string]string{"acl/capability.txt": "SASL-IR", "courier/capability.txt": "THREAD=REFERENCES", "domino/capability.txt": "LITERAL+",
		"exchange/capability-preauth.txt": "auth=xoauth2", "exchange/capability-postauth.txt": "MOVE", "lowercase/capability.txt": "SPECIAL-USE", "zoho/capability.txt": "APPENDLIMIT=10485760"} {
		t.Run(name, func(t *testing.T) {
			addr := wiretest.Serve(t, "S: * OK hi\nC: T1 CAPABILITY\nSEND reply\nC? * LOGOUT", wiretest.Var("reply", transcript(t, name)))
			c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), &Options{Tag: "T"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			caps, err := c.Capability(within(t))
			if err != nil || !caps.Has(want) {
				t.Errorf("got %v, %v, want %s in it", caps, err, want)
			}
		})
	}
}

func TestListingsOfRealServers(t *testing.T) {
	for name, want := range map[string][]string{
		"domino/list-inbox.txt": {`INBOX \ inbox`},
		"lowercase/list.txt":    {"INBOX / inbox", "Trash / trash"},
		"zoho/list-inbox.txt":   {"INBOX / inbox"},
	} {
		t.Run(name, func(t *testing.T) {
			c := replay(t, "", name, `T1 LIST "" "\*"`)
			list, err := c.List(within(t), nil)
			var got []string
			for _, m := range list {
				got = append(got, m.Name+" "+m.Delim+" "+m.Role())
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestNamespacesOfRealServers(t *testing.T) {
	for name, want := range map[string]*Namespaces{
		"domino/namespace.txt": {Personal: []Namespace{{"", `\`}}, OtherUsers: []Namespace{{`Other\`, `\`}}, Shared: []Namespace{{`Shared\`, `\`}}},
		"zoho/namespace.txt":   {Personal: []Namespace{{"", "/"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := replay(t, "NAMESPACE", name, "T1 NAMESPACE").Namespace(within(t))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestZohoExamine(t *testing.T) {
	c := replay(t, "CONDSTORE", "zoho/examine-gesendet.txt", "T1 EXAMINE Gesendet (CONDSTORE)")
	got, err := c.Examine(within(t), "Gesendet", &SelectOptions{CondStore: true})
	if err != nil || got.Exists != 5348 || got.UIDValidity != 2 || got.UIDNext != 6212 || got.HighestModSeq != 1706092971947030001 || !got.ReadOnly || !got.CanChange || len(got.PermanentFlags) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// fetchTranscript runs a fetch whose answer is a transcript.
func fetchTranscript(t *testing.T, caps, name, set, items string, o *FetchOptions, each func(*Message)) (*Client, UIDSet, error) {
	t.Helper()
	reply := strings.ReplaceAll(transcript(t, name), "T1", "T2")
	addr := wiretest.Serve(t, "S: * PREAUTH [CAPABILITY IMAP4rev1 "+caps+"] hi\nC: T1 SELECT INBOX\nS: T1 OK done\nC: T2 UID FETCH "+set+" "+items+"\nSEND reply\nC? * LOGOUT",
		wiretest.Var("reply", reply))
	c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), &Options{Tag: "T"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Select(within(t), "INBOX", nil); err != nil {
		t.Fatal(err)
	}
	missing, err := c.Fetch(within(t), uids(t, set), o, func(m *Message) error { each(m); return nil })
	return c, missing, err
}

func TestDominoExtraParens(t *testing.T) {
	n := 0
	c, missing, err := fetchTranscript(t, "", "domino/fetch-extra-parens.txt", "14934:14962", "(UID ENVELOPE BODYSTRUCTURE)",
		&FetchOptions{Envelope: true, Structure: true}, func(m *Message) {
			n++
			if m.Envelope == nil || m.Structure == nil || m.Structure.MediaType() != "text/plain" {
				t.Errorf("got %+v", m)
			}
		})
	if err != nil || n != 29 || missing.Count() != 0 || !c.Quirks().Has(imapwire.ExtraParens) {
		t.Errorf("got %d, missing %v, %v, quirks %v", n, missing, err, c.Quirks())
	}
}

func TestZohoNegativeModSeq(t *testing.T) {
	n, good := 0, 0
	c, _, err := fetchTranscript(t, "CONDSTORE", "zoho/fetch-negative-modseq-values.txt", "1:800", "(UID FLAGS MODSEQ)",
		&FetchOptions{Flags: true, ModSeq: true}, func(m *Message) {
			n++
			if m.ModSeq > 1 {
				good++
			}
		})
	if err != nil || n != 74 || good != 4 || !c.Quirks().Has(imapwire.BadModSeq) {
		t.Errorf("got %d, %d with a mod-sequence, %v, quirks %v", n, good, err, c.Quirks())
	}
}

func TestLoginsOfRealServers(t *testing.T) {
	for name, want := range map[string]string{"acl/authenticate.txt": "X-GM-EXT-1", "zoho/authenticate.txt": "WITHIN"} {
		t.Run(name, func(t *testing.T) {
			addr := wiretest.Serve(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\nC: T1 AUTHENTICATE PLAIN *\nSEND reply\nC? * LOGOUT", wiretest.Var("reply", transcript(t, name)))
			c, err := Dial(within(t), endpointOf(t, addr, wire.Cleartext), &Options{Tag: "T"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Auth(within(t), alice()); err != nil {
				t.Fatal(err)
			}
			if caps, err := c.Capability(within(t)); err != nil || !caps.Has(want) {
				t.Errorf("got %v, %v, want %s in it", caps, err, want)
			}
		})
	}
}

func TestErrorWords(t *testing.T) {
	tests := []struct {
		err  *Error
		want string
		temp bool
	}{
		{&Error{Command: `select "x"`, Status: "NO", Code: "NONEXISTENT", Text: "no such mailbox"}, `select "x": NO [NONEXISTENT] no such mailbox`, false},
		{&Error{Command: "noop", Status: "BAD"}, "noop: BAD", false},
		{&Error{Command: "noop", Status: "NO", Text: "a\x1b]0;evil\x07\nb"}, `noop: NO a\x1b]0;evil\a\nb`, false},
		{&Error{Command: "login", Status: "NO", Code: "UNAVAILABLE", Text: "later"}, "login: NO [UNAVAILABLE] later", true},
		{&Error{Command: "fetch", Status: "NO", Text: "Request is throttled. Suggested Backoff Time: 299 milliseconds"}, "fetch: NO Request is throttled. Suggested Backoff Time: 299 milliseconds", true},
		{&Error{Command: "noop", Status: "BYE", Text: "bye"}, "noop: BYE bye", true},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want || tt.err.Temporary() != tt.temp {
			t.Errorf("got %q, temporary %v, want %q, %v", got, tt.err.Temporary(), tt.want, tt.temp)
		}
	}
	for text, want := range map[string]bool{"Mailbox doesn't exist: x (0.001 secs).": true, "Mailbox does not exist": true, "[NONEXISTENT] Unknown Mailbox: x": true, "Permission denied": false} {
		if e := (&Error{Status: "NO", Text: text}); e.NotFound() != want {
			t.Errorf("%q: NotFound is %v, want %v", text, e.NotFound(), want)
		}
	}
	long := newError("x", "NO", imapwire.Text{Text: strings.Repeat("y", 5000)})
	if n := len(long.Error()); n > 600 {
		t.Errorf("an error of %d octets", n)
	}
	var e *Error
	if !errors.As(error(long), &e) {
		t.Error("not an *Error")
	}
}
