package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// dialIMAP connects the client engine, logged in by a mechanism.
func dialIMAP(t testing.TB, srv *Server, mechanism string) *imap.Client {
	t.Helper()
	_, port, _ := net.SplitHostPort(srv.Addr("imap"))
	n, _ := strconv.Atoi(port)
	ep := wire.Endpoint{Protocol: wire.IMAP, Host: "127.0.0.1", Port: n, Security: wire.Cleartext}
	ctx := context.Background()
	c, err := imap.Dial(ctx, ep, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	cr := &auth.Credentials{User: "alice", Password: auth.Literal("secret"), Mechanism: mechanism}
	if strings.HasSuffix(mechanism, "bearer") || mechanism == "xoauth2" {
		cr.Token = auth.Literal("tok")
	}
	if err := c.Auth(ctx, cr); err != nil {
		t.Fatalf("auth %q: %v", mechanism, err)
	}
	return c
}

func TestIMAPClientMechanisms(t *testing.T) {
	srv := imapServer(t, Options{})
	for _, name := range []string{"", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "xoauth2", "oauthbearer", "login-command"} {
		t.Run(name, func(t *testing.T) { dialIMAP(t, srv, name) })
	}
}

// TestIMAPClientModes runs everything the client engine has against the server with and without the extensions that
// change what it sends.
func TestIMAPClientModes(t *testing.T) {
	modes := [][]string{nil, {"LITERAL+"}, {"LITERAL+", "LITERAL-"}, {"ESEARCH"}, {"MOVE"}, {"UIDPLUS"}, {"LIST-STATUS", "LIST-EXTENDED"},
		{"CONDSTORE"}, {"IMAP4rev2"}, {"IMAP4rev1"}, {"ENABLE"}, {"UTF8=ACCEPT"}, {"SASL-IR"}, {"UNSELECT"}, {"NAMESPACE"},
		{"SPECIAL-USE"}, {"BINARY"}, {"OBJECTID"}, {"PREVIEW"}, {"ID"}, {"STATUS=SIZE"}}
	for _, without := range modes {
		t.Run("without "+strings.Join(without, " "), func(t *testing.T) {
			srv := imapServer(t, Options{Without: without}, plainMessage, plainMessage, plainMessage)
			clientTour(t, dialIMAP(t, srv, ""), strings.Join(without, " "))
		})
	}
}

// TestIMAPClientMaildir is the tour over a store on disk.
func TestIMAPClientMaildir(t *testing.T) {
	store, err := OpenMaildir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	srv := imapServer(t, Options{Store: store}, plainMessage, plainMessage, plainMessage)
	clientTour(t, dialIMAP(t, srv, ""), "")
}

// clientTour is one long session.
func clientTour(t *testing.T, c *imap.Client, without string) {
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.ID(ctx, []imap.IDField{{Name: "name", Value: "test"}})
	if without != "ID" {
		must(err)
	}
	_, err = c.Namespace(ctx)
	must(err)
	must(c.Create(ctx, "Entwürfe/neu & alt"))
	must(c.Rename(ctx, "Entwürfe/neu & alt", "Entwürfe/\"x\" y"))
	must(c.Subscribe(ctx, "Entwürfe/\"x\" y"))
	all, err := c.List(ctx, &imap.ListOptions{Status: imap.StatusMessages | imap.StatusUnseen})
	must(err)
	names := ""
	for _, m := range all {
		names += m.Name + "\n"
		if m.Selectable() && m.Status == nil {
			t.Errorf("%s: no status", m.Name)
		}
	}
	if !strings.HasPrefix(names, "INBOX\n") || !strings.Contains(names, "Entwürfe/\"x\" y\n") {
		t.Errorf("got %q, want INBOX first and the new mailbox", names)
	}
	sel, err := c.Select(ctx, "INBOX", nil)
	must(err)
	if sel.Exists != 3 {
		t.Errorf("exists: got %d, want 3", sel.Exists)
	}
	big := "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 20000)
	_, err = c.Append(ctx, "INBOX", int64(len(big)), strings.NewReader(big), &imap.AppendOptions{Flags: []imap.Flag{imapwire.FlagSeen}})
	must(err)
	must(c.Noop(ctx))
	uids, err := c.Search(ctx, imap.SearchFlag(imapwire.FlagSeen))
	must(err)
	if got := uids.String(); got != "4" {
		t.Errorf("search: got %q, want 4", got)
	}
	set, _ := imapwire.ParseUIDSet("1:*")
	var sizes []int64
	_, err = c.Fetch(ctx, set, &imap.FetchOptions{Flags: true, InternalDate: true, Size: true, Envelope: true, Structure: true,
		ModSeq: true, ObjectID: true, Preview: true, Sections: []imap.Section{{}, {Spec: "HEADER"}, {Part: []int{1}}}},
		func(m *imap.Message) error {
			if m.Envelope == nil || m.Structure == nil {
				t.Errorf("uid %d: no envelope or structure", m.UID)
			}
			for {
				b, err := m.Next()
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				n, err := io.Copy(io.Discard, b)
				if err != nil {
					return err
				}
				sizes = append(sizes, n)
			}
		})
	must(err)
	if want := []int64{148, 137, 11, 148, 137, 11, 148, 137, 11, int64(len(big)), 16, int64(len(big)) - 16}; fmt.Sprint(sizes) != fmt.Sprint(want) {
		t.Errorf("sizes: got %v, want %v", sizes, want)
	}
	must(c.Store(ctx, imapwire.SetOf[imapwire.UID](1, 2), imap.AddFlags, []imap.Flag{"\\Flagged", "$Work"}))
	_, err = c.Copy(ctx, imapwire.SetOf[imapwire.UID](1), "Archive")
	must(err)
	moved, err := c.Move(ctx, imapwire.SetOf[imapwire.UID](2, 3), "Entwürfe/\"x\" y")
	if without != "UIDPLUS" {
		must(err)
		if got := moved.UIDs(); got.String() != "2:3" {
			t.Errorf("moved: got %q, want 2:3", got.String())
		}
	}
	st, err := c.Status(ctx, "Entwürfe/\"x\" y", imap.StatusMessages)
	must(err)
	if st.Messages != 2 {
		t.Errorf("status: got %d, want 2", st.Messages)
	}
	must(c.Unselect(ctx))
	if _, err := c.Examine(ctx, "Archive", nil); err != nil {
		t.Fatal(err)
	}
	must(c.CloseMailbox(ctx))
	must(c.Delete(ctx, "Entwürfe/\"x\" y"))
	if q := c.Quirks(); q != 0 {
		t.Errorf("the client met defects: %v", q)
	}
	must(c.Logout(ctx))
}

// TestIMAPManySessions runs sessions side by side on one mailbox.
func TestIMAPManySessions(t *testing.T) {
	srv := imapServer(t, Options{}, plainMessage)
	errs := make(chan error, 8)
	for k := range 8 {
		c := dialIMAP(t, srv, "plain")
		go func() {
			errs <- func() error {
				ctx := context.Background()
				if _, err := c.Select(ctx, "INBOX", nil); err != nil {
					return err
				}
				for i := range 20 {
					data, err := c.Append(ctx, "INBOX", int64(len(plainMessage)), strings.NewReader(plainMessage), nil)
					if err != nil {
						return err
					}
					own := imapwire.SetOf(data.UID)
					if err := c.Store(ctx, own, imap.AddFlags, []imap.Flag{`\Seen`}); err != nil {
						return err
					}
					if (i+k)%2 == 0 {
						if _, err := c.Move(ctx, own, "Archive"); err != nil {
							return err
						}
					}
				}
				return c.Logout(ctx)
			}()
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	account, _ := srv.store.Account("alice")
	inbox, _ := account.Mailbox("INBOX")
	archive, _ := account.Mailbox("Archive")
	if a, b := inbox.State().Messages, archive.State().Messages; a != 81 || b != 80 {
		t.Errorf("got %d in INBOX and %d in Archive, want 81 and 80", a, b)
	}
}

// TestIMAPAppendCut: an APPEND cut at any octet stores nothing.
func TestIMAPAppendCut(t *testing.T) {
	srv := imapServer(t, Options{})
	full := "2 APPEND INBOX (\\Seen) {9+}\r\nA: b\r\n\r\nc {3+}\r\nxyz\r\n"
	for n := range len(full) {
		c := talk(t, srv).login()
		_, _ = io.WriteString(c.nc, full[:n])
		_ = c.nc.(*net.TCPConn).CloseWrite()
		if rest, _ := io.ReadAll(c.r); bytes.Contains(rest, []byte("OK")) {
			t.Errorf("cut at %d: got %q", n, rest)
		}
		c.nc.Close()
	}
	account, _ := srv.store.Account("alice")
	if box, _ := account.Mailbox("INBOX"); box.State().Messages != 0 {
		t.Errorf("got %d messages, want 0", box.State().Messages)
	}
}

// FuzzIMAPCommands sends arbitrary octets to a session that is logged in with a mailbox selected.
func FuzzIMAPCommands(f *testing.F) {
	for _, seed := range []string{"1 FETCH 1:* (BODY[1.MIME]<0.5> BINARY.SIZE[1])\r\n", "1 SEARCH RETURN (MIN SAVE) OR (SEEN) NOT FROM {1+}\r\nx\r\n",
		"1 STORE $ (UNCHANGEDSINCE 1) -FLAGS.SILENT (\\Seen a)\r\n", "1 APPEND INBOX (\\Seen) {3+}\r\nabc {2+}\r\nxx\r\n", "1 IDLE\r\nDONE\r\n",
		"1 LIST (SUBSCRIBED) \"\" (* %) RETURN (STATUS (SIZE))\r\n", "1 AUTHENTICATE PLAIN\r\n*\r\n", "1 SELECT INBOX (QRESYNC (1 1 1:2 (1 1)))\r\n",
		"1 UID MOVE 1 Trash\r\n1 EXPUNGE\r\n", "1 SORT (REVERSE DATE) UTF-8 ALL\r\n1 THREAD REFERENCES UTF-8 ALL\r\n", "1 LOGIN {0+}\r\n {0+}\r\n\r\n",
		"1 ENABLE QRESYNC IMAP4rev2\r\n1 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\r\n", "1 ID (\"a\" NIL)\r\n", "1 CREATE \"a/&-b\" (USE (\\Sent))\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		client, peer := net.Pipe()
		srv, err := newServer(context.Background(), Options{Users: []User{{Name: "alice", Password: "x"}}, MaxMessage: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		imapFill(t, srv, "INBOX", plainMessage, plainMessage)
		s := newSession(srv, &listener{proto: "imap", name: "imap"}, peer, 1)
		if err := s.login("alice"); err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = client.SetDeadline(time.Now().Add(60 * time.Second))
			go func() { _, _ = io.Copy(io.Discard, client) }()
			_, _ = io.WriteString(client, "0 SELECT INBOX\r\n")
			_, _ = client.Write(data)
			_ = client.Close()
		}()
		session := &imapSession{session: s, c: newIMAPStream(s.conn), state: imapKnown, enabled: map[string]bool{}}
		for session.state != imapGone && session.step() == nil {
		}
		session.deselect()
		_ = peer.Close()
		s.cancel()
		srv.cancel()
	})
}

// BenchmarkIMAPFetch measures the octets of bodies over plaintext loopback.
func BenchmarkIMAPFetch(b *testing.B) {
	const size = 16 << 20
	srv := imapServer(b, Options{}, "Subject: x\r\n\r\n"+strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef\r\n", size/50))
	c := talk(b, srv).login().selectInbox()
	_ = c.nc.SetDeadline(time.Time{})
	buf := make([]byte, 256<<10)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		fmt.Fprintf(c.nc, "1 FETCH 1 BODY.PEEK[]\r\n")
		line, err := c.r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(line, "{")
		left, _ := strconv.Atoi(strings.TrimSuffix(rest, "}\r\n"))
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(c.r, int64(left)), buf); err != nil {
			b.Fatal(err)
		}
		c.play("S: )\nS: 1 OK *")
	}
}
