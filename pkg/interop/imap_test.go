package interop

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapMechanisms adds IMAP's own LOGIN.
func imapMechanisms() []struct{ mech, shown string } {
	out := []struct{ mech, shown string }{{"login-command", "LOGIN"}}
	for _, s := range saslMechanisms {
		out = append(out, struct{ mech, shown string }{s.mech, "AUTHENTICATE " + s.shown})
	}
	return out
}

func TestIMAPAuth(t *testing.T) {
	d := Dovecot(t)
	for _, m := range d.imapModes() {
		for _, s := range imapMechanisms() {
			t.Run(m.name+"/"+s.mech, func(t *testing.T) {
				t.Parallel()
				u := d.AddUser(t)
				var tr tracer
				c := dialIMAP(t, endpoint(t, wire.IMAP, m.addr, m.sec), imap.Options{Wire: &wire.Config{Trace: tr.add}}, d.CA)
				if err := c.Auth(limit(t), credentials(u, s.mech)); err != nil {
					t.Fatalf("%v\n%s", err, tr.String())
				}
				if data, err := c.Select(limit(t), "INBOX", nil); err != nil || data.Exists != 0 || data.UIDValidity == 0 {
					t.Errorf("got %+v, %v, want an empty inbox", data, err)
				}
				shown := m.shown(s.mech, s.shown)
				if got := tr.String(); !strings.Contains(got, shown) || strings.Contains(got, u.Password) {
					t.Errorf("want %s and no password in the trace:\n%s", shown, got)
				}
				if (c.Conn().TLS() != nil) != (m.sec != wire.Cleartext) {
					t.Errorf("got TLS %v in mode %s", c.Conn().TLS() != nil, m.name)
				}
			})
		}
	}
}

func TestIMAPAuthRefused(t *testing.T) {
	d := Dovecot(t)
	for _, s := range imapMechanisms() {
		t.Run(s.mech, func(t *testing.T) {
			t.Parallel()
			u := d.AddUser(t)
			u.Password = "wrong"
			c := dialIMAP(t, endpoint(t, wire.IMAP, d.IMAPS, wire.ImplicitTLS), imap.Options{}, d.CA)
			wantAuthError(t, c.Auth(limit(t), credentials(u, s.mech)))
		})
	}
}

// TestIMAPAuthPasswords tries passwords that need quoting or a literal.
func TestIMAPAuthPasswords(t *testing.T) {
	d := Dovecot(t)
	for _, password := range []string{`a"b\c`, "grüße", " spaces ", "{5}", strings.Repeat("x", 200)} {
		for _, mech := range []string{"login-command", "plain"} {
			c := dialIMAP(t, endpoint(t, wire.IMAP, d.IMAPS, wire.ImplicitTLS), imap.Options{}, d.CA)
			if err := c.Auth(limit(t), credentials(d.AddUser(t, password), mech)); err != nil {
				t.Errorf("%s with %.12q: %v", mech, password, err)
			}
		}
	}
}

func TestT7_IMAPUnknownAuthority(t *testing.T) {
	d := Dovecot(t)
	for _, m := range d.imapModes()[1:] {
		_, err := imap.Dial(limit(t), endpoint(t, wire.IMAP, m.addr, m.sec), nil)
		if e, ok := errors.AsType[*wire.TLSError](err); !ok || !e.Certificate() {
			t.Errorf("%s: got %v (%T), want a *TLSError about the certificate", m.name, err, err)
		}
	}
}

// openIMAP logs in.
func openIMAP(t *testing.T, d *DovecotServer, u User, o imap.Options) *imap.Client {
	t.Helper()
	c := dialIMAP(t, endpoint(t, wire.IMAP, d.IMAPS, wire.ImplicitTLS), o, d.CA)
	if err := c.Auth(limit(t), credentials(u, "")); err != nil {
		t.Fatal(err)
	}
	return c
}

// do fails the test unless every step went well.
func do(t *testing.T, steps ...error) {
	t.Helper()
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
}

// names lists all mailboxes, sorted.
func names(t *testing.T, c *imap.Client, o imap.ListOptions) []string {
	t.Helper()
	boxes, err := c.List(limit(t), &o)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range boxes {
		out = append(out, b.Name)
	}
	slices.Sort(out)
	return out
}

// TestI4_IMAPMailboxes makes, lists, renames and removes mailboxes with awkward names.
func TestI4_IMAPMailboxes(t *testing.T) {
	d := Dovecot(t)
	c := openIMAP(t, d, d.AddUser(t), imap.Options{})
	odd := []string{`quo"te`, `back\slash`, "Entwürfe & Co", "日本語", "a b", "Archive/2026/November", "per%cent", "star*", "&-", "{5}", "tilde~", "NIL", "[x]"}
	for _, name := range odd {
		do(t, c.Create(limit(t), name))
	}
	got := names(t, c, imap.ListOptions{})
	for _, name := range append(odd, "INBOX", "Drafts", "Sent", "Trash", "Archive", "Archive/2026") {
		if !slices.Contains(got, name) {
			t.Errorf("got mailboxes %q, want %q among them", got, name)
		}
	}
	do(t, c.Subscribe(limit(t), "日本語"), c.Rename(limit(t), "Entwürfe & Co", "Entwürfe/ßß"), c.Subscribe(limit(t), "a b"), c.Unsubscribe(limit(t), "a b"))
	if got, want := names(t, c, imap.ListOptions{Subscribed: true}), []string{"Sent", "Trash", "日本語"}; !slices.Equal(got, want) {
		t.Errorf("got subscriptions %q, want %q", got, want)
	}
	for _, name := range odd {
		if name != "Entwürfe & Co" {
			do(t, c.Delete(limit(t), name))
		}
	}
	err := c.Delete(limit(t), "no such mailbox")
	if e, ok := errors.AsType[*imap.Error](err); !ok || !e.NotFound() {
		t.Errorf("got %v, want an *Error that the mailbox does not exist", err)
	}
}

// TestIMAPListStatus compares counts of a listing with what was stored.
func TestIMAPListStatus(t *testing.T) {
	d := Dovecot(t)
	for _, depth := range []int{0, 1} {
		c := openIMAP(t, d, d.AddUser(t), imap.Options{Depth: depth})
		appendNotes(t, c, "Sent", 3)
		boxes, err := c.List(limit(t), &imap.ListOptions{Status: imap.StatusMessages | imap.StatusUnseen | imap.StatusUIDNext | imap.StatusSize})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range boxes {
			want := uint32(0)
			if b.Name == "Sent" {
				want = 3
			}
			if b.Status == nil || b.Status.Messages != want || b.Status.Unseen != want || b.Status.UIDNext != imap.UID(want+1) || (b.Status.Size > 0) != (want > 0) {
				t.Errorf("%s: got %+v, want %d messages", b.Name, b.Status, want)
			}
			if b.Name == "Sent" && b.Role() != "sent" {
				t.Errorf("got role %q of Sent", b.Role())
			}
		}
	}
}

// appendNotes stores n notes, s0, s1 and so on; it returns their texts.
func appendNotes(t *testing.T, c *imap.Client, mailbox string, n int) []string {
	t.Helper()
	var out []string
	for i := range n {
		text := note("s" + string(rune('0'+i)))
		if _, err := c.Append(limit(t), mailbox, int64(len(text)), strings.NewReader(text), nil); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

// TestIMAPAppend stores flags and date with a message.
func TestIMAPAppend(t *testing.T) {
	d := Dovecot(t)
	c := openIMAP(t, d, d.AddUser(t), imap.Options{})
	text := note("append")
	date := time.Date(2001, 2, 3, 4, 5, 6, 0, time.FixedZone("", 5*3600+1800))
	o := &imap.AppendOptions{Flags: []imap.Flag{`\Seen`, `\Flagged`, "$Forwarded", "keyword"}, Date: date}
	data, err := c.Append(limit(t), "INBOX", int64(len(text)), strings.NewReader(text), o)
	if err != nil || data.UID == 0 || data.UIDValidity == 0 {
		t.Fatalf("got %+v, %v, want a UID", data, err)
	}
	sel, err := c.Select(limit(t), "INBOX", nil)
	if err != nil || sel.Exists != 1 || sel.UIDNext != data.UID+1 || sel.UIDValidity != data.UIDValidity {
		t.Errorf("got %+v, %v, want the message of %+v", sel, err, data)
	}
	m := fetchOne(t, c, data.UID, &imap.FetchOptions{Flags: true, InternalDate: true, Size: true, Envelope: true, Structure: true})
	for _, f := range o.Flags {
		if !slices.Contains(m.Flags, f) {
			t.Errorf("got flags %v, want %s among them", m.Flags, f)
		}
	}
	if !m.InternalDate.Equal(date) || m.Size != int64(len(text)) {
		t.Errorf("got date %v and size %d, want %v and %d", m.InternalDate, m.Size, date, len(text))
	}
	if m.Envelope == nil || m.Envelope.Subject != "append" || m.Envelope.From[0].Addr() != sender || m.Structure == nil || m.Structure.MediaType() != "text/plain" {
		t.Errorf("got envelope %+v and structure %+v", m.Envelope, m.Structure)
	}
	_, err = c.Append(limit(t), "Nowhere", 3, strings.NewReader("x\r\n"), nil)
	if e, ok := errors.AsType[*imap.Error](err); !ok || e.Code != "TRYCREATE" {
		t.Errorf("got %v, want TRYCREATE", err)
	}
	do(t, c.Noop(limit(t)))
}

// fetchOne fetches one message without sections.
func fetchOne(t *testing.T, c *imap.Client, uid imap.UID, o *imap.FetchOptions) imap.Message {
	t.Helper()
	var out imap.Message
	missing, err := c.Fetch(limit(t), imapwire.SetOf(uid), o, func(m *imap.Message) error {
		out = *m
		return nil
	})
	if err != nil || !missing.Empty() {
		t.Fatalf("fetch %d: %v, missing %s", uid, err, missing)
	}
	return out
}

const multipart = "Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nfirst\r\n--b\r\nContent-Type: application/octet-stream; name=x.bin\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n"

// TestIMAPSections fetches pieces of a message, several at once, and sets no \Seen.
func TestIMAPSections(t *testing.T) {
	d := Dovecot(t)
	c := openIMAP(t, d, d.AddUser(t), imap.Options{})
	data, err := c.Append(limit(t), "INBOX", int64(len(multipart)), strings.NewReader(multipart), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Select(limit(t), "INBOX", nil)
	do(t, err)
	want := map[string]string{"HEADER": multipart[:strings.Index(multipart, "--b")], "1": "first", "2": "aGVsbG8=",
		"2.MIME": "Content-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n", "TEXT": multipart[strings.Index(multipart, "--b"):], "": multipart}
	o := &imap.FetchOptions{Flags: true, Structure: true}
	for _, text := range []string{"HEADER", "1", "2", "2.MIME", "TEXT", ""} {
		s, err := imapwire.ParseSection(text)
		do(t, err)
		o.Sections = append(o.Sections, s)
	}
	seen := 0
	_, err = c.Fetch(limit(t), imapwire.SetOf(data.UID), o, func(m *imap.Message) error {
		if part := m.Structure.Find("2"); part == nil || part.Filename() != "x.bin" {
			t.Errorf("got part 2 %+v, want x.bin", part)
		}
		for {
			b, err := m.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			got, err := io.ReadAll(b)
			if err != nil {
				return err
			}
			seen++
			if string(got) != want[b.Section.String()] {
				t.Errorf("section %q: got %q, want %q", b.Section, got, want[b.Section.String()])
			}
		}
	})
	if err != nil || seen != len(want) {
		t.Errorf("got %d sections, %v, want %d", seen, err, len(want))
	}
	if m := fetchOne(t, c, data.UID, &imap.FetchOptions{Flags: true}); slices.Contains(m.Flags, `\Seen`) {
		t.Errorf("got flags %v, want no \\Seen", m.Flags)
	}
}

// TestIMAPSearchAndChange goes through searching, flags, copying, moving and expunging.
func TestIMAPSearchAndChange(t *testing.T) {
	d := Dovecot(t)
	c := openIMAP(t, d, d.AddUser(t), imap.Options{})
	appendNotes(t, c, "INBOX", 6) // UIDs 1 to 6
	_, err := c.Select(limit(t), "INBOX", nil)
	do(t, err)
	search := func(want string, keys ...imap.SearchKey) {
		t.Helper()
		got, err := c.Search(limit(t), keys...)
		if err != nil || got.String() != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	search("1:6")
	search("3", imap.SearchSubject("s2"))
	search("", imap.SearchSubject("grüße"))
	search("2:6", imap.SearchNot(imap.SearchHeader("Message-ID", "<s0@example.org>")))
	search("4:5", imap.SearchSeq(imapwire.SetOf[imapwire.SeqNum](4, 5)))
	do(t, c.Store(limit(t), uids(t, "1:2"), imap.AddFlags, []imap.Flag{`\Flagged`, "todo"}))
	search("1:2", imap.SearchFlag(`\Flagged`), imap.SearchFlag("todo"))
	do(t, c.Store(limit(t), uids(t, "1"), imap.RemoveFlags, []imap.Flag{"todo"}))
	search("2", imap.SearchFlag("todo"))

	copied, err := c.Copy(limit(t), uids(t, "1:2"), "Sent")
	do(t, err)
	if copied.UIDs().String() != "1:2" {
		t.Errorf("got copies of %s, want 1:2", copied.UIDs())
	}
	moved, err := c.Move(limit(t), uids(t, "3:4"), "Trash")
	do(t, err)
	if moved.UIDs().String() != "3:4" {
		t.Errorf("got moved %s, want 3:4", moved.UIDs())
	}
	search("1:2,5:6")
	do(t, c.Store(limit(t), uids(t, "1,5"), imap.AddFlags, []imap.Flag{`\Deleted`}))
	if n, err := c.UIDExpunge(limit(t), uids(t, "5:6")); n != 1 || err != nil {
		t.Errorf("got %d expunged, %v, want 1", n, err)
	}
	search("1:2,6")
	do(t, c.Unselect(limit(t)))
	for box, want := range map[string]uint32{"INBOX": 3, "Sent": 2, "Trash": 2} {
		if st, err := c.Status(limit(t), box, imap.StatusMessages); err != nil || st.Messages != want {
			t.Errorf("%s: got %+v, %v, want %d messages", box, st, err, want)
		}
	}
	do(t, c.Logout(limit(t)))
}

// TestIMAPManyMessages fetches a mailbox of many messages, stored by another way.
func TestIMAPManyMessages(t *testing.T) {
	d := Dovecot(t)
	u := d.AddUser(t)
	messages := fill(t, d, u, 60)
	got := fetchAll(t, openIMAP(t, d, u, imap.Options{}), "INBOX")
	for i, want := range messages {
		if m := got[imap.UID(i+1)]; !bytes.Equal(m, want) {
			t.Errorf("uid %d: got %d octets, want %d", i+1, len(m), len(want))
		}
	}
	if len(got) != len(messages) {
		t.Errorf("got %d messages, want %d", len(got), len(messages))
	}
}

// TestIMAPMissing names what is not there.
func TestIMAPMissing(t *testing.T) {
	d := Dovecot(t)
	u := d.AddUser(t)
	fill(t, d, u, 3)
	c := openIMAP(t, d, u, imap.Options{})
	_, err := c.Select(limit(t), "Nowhere", nil)
	if e, ok := errors.AsType[*imap.Error](err); !ok || !e.NotFound() {
		t.Errorf("got %v, want an *Error that the mailbox does not exist", err)
	}
	_, err = c.Select(limit(t), "INBOX", nil)
	do(t, err)
	var got []imap.UID
	missing, err := c.Fetch(limit(t), uids(t, "2,9"), &imap.FetchOptions{Size: true}, func(m *imap.Message) error {
		got = append(got, m.UID)
		return nil
	})
	if err != nil || missing.String() != "9" || !slices.Equal(got, []imap.UID{2}) {
		t.Errorf("got %v, missing %s, %v, want 2 and missing 9", got, missing, err)
	}
}
