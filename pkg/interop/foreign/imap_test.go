package foreign

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"github.com/mail-toolkit/mail/pkg/server"
)

// thread is a conversation of three letters and another one; the last has parts.
var thread = []string{
	"From: Bob <bob@example.org>\r\nTo: Alice <alice@example.org>\r\nSubject: lunch\r\nDate: Mon, 02 Nov 2026 12:00:00 +0100\r\n" +
		"Message-ID: <1@example.org>\r\n\r\nShall we?\r\n",
	"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nTo: alice@example.org\r\nSubject: Re: lunch\r\nDate: Mon, 02 Nov 2026 13:00:00 +0100\r\n" +
		"Message-ID: <2@example.org>\r\nIn-Reply-To: <1@example.org>\r\nReferences: <1@example.org>\r\n\r\nYes.\r\n",
	"From: Carol <carol@example.org>\r\nTo: alice@example.org\r\nCc: dave@example.org\r\nSubject: a report\r\nDate: Mon, 02 Nov 2026 11:00:00 +0100\r\n" +
		"Message-ID: <3@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n" +
		"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n" +
		"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a b.bin\"\r\n\r\nAAECAwQF\r\n" +
		"--b--\r\n",
	"From: Bob <bob@example.org>\r\nTo: alice@example.org\r\nSubject: Re: lunch\r\nDate: Mon, 02 Nov 2026 14:00:00 +0100\r\n" +
		"Message-ID: <4@example.org>\r\nReferences: <1@example.org> <2@example.org>\r\n\r\nAt noon.\r\n",
}

// open connects over TLS and logs in as alice. The client library writes UTF-8 as soon as IMAP4rev2 is announced, so it
// is enabled (RFC 9051 appendix A).
func (s *system) open(handler *imapclient.UnilateralDataHandler) *imapclient.Client {
	s.t.Helper()
	c, err := imapclient.DialTLS(s.Addr("imaps"), &imapclient.Options{TLSConfig: s.tls, UnilateralDataHandler: handler})
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	must(s.t, c.Login("alice", "sesame").Wait())
	if c.Caps().Has(imap.CapIMAP4rev2) {
		_, err := c.Enable(imap.CapIMAP4rev2).Wait()
		must(s.t, err)
	}
	return c
}

// inbox is open with the INBOX selected and the thread in it.
func inbox(t *testing.T, without ...string) (*system, *imapclient.Client) {
	t.Helper()
	s := start(t, func(o *server.Options) { o.Without = without })
	s.put("alice", "INBOX", thread...)
	c := s.open(nil)
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	return s, c
}

func TestIMAPLogin(t *testing.T) {
	s := start(t, nil)
	ways := []struct {
		name string
		try  func(c *imapclient.Client, secret string) error
	}{
		{"LOGIN", func(c *imapclient.Client, secret string) error { return c.Login("alice", secret).Wait() }},
		{"PLAIN", func(c *imapclient.Client, secret string) error {
			return c.Authenticate(sasl.NewPlainClient("", "alice", secret))
		}},
		{"OAUTHBEARER", func(c *imapclient.Client, secret string) error {
			return c.Authenticate(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: "alice", Token: secret}))
		}},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			c, err := imapclient.DialStartTLS(s.Addr("imap"), &imapclient.Options{TLSConfig: s.tls})
			must(t, err)
			t.Cleanup(func() { _ = c.Close() })
			var refused *imap.Error
			err = way.try(c, "open")
			if bearer := new(sasl.OAuthBearerError); errors.As(err, &bearer) { // the library leaves the exchange without an answer
				c, err = imapclient.DialStartTLS(s.Addr("imap"), &imapclient.Options{TLSConfig: s.tls})
				must(t, err)
				t.Cleanup(func() { _ = c.Close() })
			} else if !errors.As(err, &refused) || refused.Type != imap.StatusResponseTypeNo || refused.Code != imap.ResponseCodeAuthenticationFailed {
				t.Errorf("wrong secret: got %v, want NO [AUTHENTICATIONFAILED]", err)
			}
			must(t, way.try(c, "sesame"))
			equal(t, "state", c.State(), imap.ConnStateAuthenticated)
			must(t, c.Logout().Wait())
		})
	}
}

func TestIMAPMailboxes(t *testing.T) {
	s := start(t, nil)
	s.put("alice", "INBOX", thread...)
	c := s.open(nil)
	id, err := c.ID(&imap.IDData{Name: "foreign", Version: "1"}).Wait()
	must(t, err)
	if id.Name == "" {
		t.Errorf("ID: got %+v, want a name", id)
	}
	ns, err := c.Namespace().Wait()
	must(t, err)
	equal(t, "namespace", fmt.Sprint(ns.Personal), "[{ 47}]")

	must(t, c.Create("Entwürfe/neu & alt", nil).Wait())
	must(t, c.Create("Fotos", &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttrArchive}}).Wait())
	must(t, c.Rename("Entwürfe/neu & alt", `Entwürfe/"x"`, nil).Wait())
	must(t, c.Subscribe(`Entwürfe/"x"`).Wait())
	list, err := c.List("", "%", &imap.ListOptions{ReturnChildren: true, ReturnSubscribed: true, ReturnSpecialUse: true,
		ReturnStatus: &imap.StatusOptions{NumMessages: true, UIDNext: true, NumUnseen: true, Size: true}}).Collect()
	must(t, err)
	var names []string
	for _, m := range list {
		names = append(names, m.Mailbox)
		if m.Mailbox == "INBOX" {
			if st := m.Status; st == nil || st.NumMessages == nil || *st.NumMessages != 4 || *st.NumUnseen != 4 || *st.Size != int64(len(strings.Join(thread, ""))) || st.UIDNext != 5 {
				t.Errorf("status of INBOX: got %+v", st)
			}
		}
		if m.Mailbox == "Fotos" && !slices.Contains(m.Attrs, imap.MailboxAttrArchive) {
			t.Errorf("attributes of Fotos: got %v, want \\Archive", m.Attrs)
		}
		if m.Mailbox == "Entwürfe" && !slices.Contains(m.Attrs, imap.MailboxAttrHasChildren) {
			t.Errorf("attributes of Entwürfe: got %v, want \\HasChildren", m.Attrs)
		}
	}
	slices.Sort(names)
	equal(t, "list", strings.Join(names, ","), "Archive,Drafts,Entwürfe,Fotos,INBOX,Junk,Sent,Trash")
	list, err = c.List("", "*", &imap.ListOptions{SelectSubscribed: true}).Collect()
	must(t, err)
	if !slices.ContainsFunc(list, func(m *imap.ListData) bool { return m.Mailbox == `Entwürfe/"x"` }) {
		t.Errorf("subscribed: got %v, want the new mailbox", list)
	}
	must(t, c.Unsubscribe(`Entwürfe/"x"`).Wait())
	st, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true, UIDValidity: true, HighestModSeq: true}).Wait()
	must(t, err)
	if *st.NumMessages != 4 || st.UIDValidity == 0 || st.HighestModSeq == 0 {
		t.Errorf("status: got %+v", st)
	}
	must(t, c.Delete(`Entwürfe/"x"`).Wait())
	var refused *imap.Error
	if err := c.Delete(`Entwürfe/"x"`).Wait(); !errors.As(err, &refused) || refused.Code != imap.ResponseCodeNonExistent {
		t.Errorf("deleting again: got %v, want [NONEXISTENT]", err)
	}
	if _, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		t.Error(err)
	}
	must(t, c.Unselect().Wait())
	equal(t, "state", c.State(), imap.ConnStateAuthenticated)
}

func TestIMAPEnable(t *testing.T) {
	s := start(t, nil)
	c, err := imapclient.DialTLS(s.Addr("imaps"), &imapclient.Options{TLSConfig: s.tls})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.Login("alice", "sesame").Wait())
	got, err := c.Enable(imap.CapUTF8Accept, imap.CapIMAP4rev2).Wait()
	must(t, err)
	if !got.Caps.Has(imap.CapUTF8Accept) || !got.Caps.Has(imap.CapIMAP4rev2) {
		t.Errorf("enabled %v, want both", got.Caps)
	}
	must(t, c.Create("Grüße", nil).Wait())
	s.mailbox("alice", "Grüße")
	data, err := c.Select("Grüße", nil).Wait()
	must(t, err)
	if data.List == nil || data.List.Mailbox != "Grüße" {
		t.Errorf("SELECT in IMAP4rev2: got %+v, want a LIST response", data.List)
	}
}

func TestIMAPAppendFetch(t *testing.T) {
	s, c := inbox(t)
	large := "Subject: large\r\n\r\n" + strings.Repeat("0123456789\xe9\r\n", 100_000)
	for i, text := range []string{"", "Subject: x\r\n\r\nbody", large} {
		cmd := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, "$Work"}, Time: date})
		_, err := io.WriteString(cmd, text)
		must(t, err)
		must(t, cmd.Close())
		data, err := cmd.Wait()
		if text == "" {
			if err == nil {
				t.Error("an empty message was taken")
			}
			continue
		}
		must(t, err)
		equal(t, "APPENDUID", data.UID, imap.UID(4+i))
	}
	if got := s.texts("alice", "INBOX"); len(got) != 6 || got[5] != large {
		t.Errorf("got %d messages, want 6, the last with %d octets", len(got), len(large))
	}
	all := &imap.FetchItemBodySection{Peek: true}
	got, err := c.Fetch(imap.UIDSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true, ModSeq: true,
		BodySection: []*imap.FetchItemBodySection{all}}).Collect()
	must(t, err)
	texts := s.texts("alice", "INBOX")
	equal(t, "messages", len(got), len(texts))
	for i, m := range got {
		equal(t, "UID", m.UID, imap.UID(i+1))
		equal(t, "size", m.RFC822Size, int64(len(texts[i])))
		if !m.InternalDate.Equal(date) || m.ModSeq == 0 {
			t.Errorf("message %d: date %v, modseq %d", i+1, m.InternalDate, m.ModSeq)
		}
		if body := m.FindBodySection(all); string(body) != texts[i] {
			t.Errorf("message %d: got %.200q, want %.200q", i+1, body, texts[i])
		}
	}
	equal(t, "flags", fmt.Sprint(got[0].Flags, got[4].Flags), `[] [$Work \Seen]`)
}

func TestIMAPFetchParts(t *testing.T) {
	_, c := inbox(t)
	sections := []struct {
		item imap.FetchItemBodySection
		want string
	}{
		{imap.FetchItemBodySection{Part: []int{1}}, "Gr=C3=BC=C3=9Fe"},
		{imap.FetchItemBodySection{Part: []int{2}}, "AAECAwQF"},
		{imap.FetchItemBodySection{Part: []int{2}, Partial: &imap.SectionPartial{Offset: 2, Size: 3}}, "ECA"},
		{imap.FetchItemBodySection{Part: []int{2}, Specifier: imap.PartSpecifierMIME}, "Content-Type: application/octet-stream\r\n" +
			"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a b.bin\"\r\n\r\n"},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader}, thread[2][:strings.Index(thread[2], "preamble")]},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, thread[2][strings.Index(thread[2], "preamble"):]},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject", "Cc"}}, "Cc: dave@example.org\r\nSubject: a report\r\n\r\n"},
		{imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFieldsNot: []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"}},
			"Cc: dave@example.org\r\n\r\n"},
	}
	o := &imap.FetchOptions{UID: true, Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BinarySection:     []*imap.FetchItemBinarySection{{Part: []int{1}, Peek: true}, {Part: []int{2}, Peek: true}},
		BinarySectionSize: []*imap.FetchItemBinarySectionSize{{Part: []int{2}}}}
	for i := range sections {
		sections[i].item.Peek = true
		o.BodySection = append(o.BodySection, &sections[i].item)
	}
	got, err := c.Fetch(imap.SeqSetNum(3), o).Collect()
	must(t, err)
	equal(t, "messages", len(got), 1)
	m := got[0]
	for _, section := range sections {
		if body := m.FindBodySection(&section.item); string(body) != section.want {
			t.Errorf("section %+v: got %q, want %q", section.item, body, section.want)
		}
	}
	equal(t, "binary text", string(m.FindBinarySection(o.BinarySection[0])), "Grüße")
	equal(t, "binary file", string(m.FindBinarySection(o.BinarySection[1])), "\x00\x01\x02\x03\x04\x05")
	size, _ := m.FindBinarySectionSize([]int{2})
	equal(t, "binary size", size, 6)
	equal(t, "envelope", fmt.Sprint(m.Envelope.Subject, m.Envelope.From, m.Envelope.To, m.Envelope.Cc, m.Envelope.MessageID, m.Envelope.Date.UTC()),
		"a report[{Carol carol example.org}] [{ alice example.org}] [{ dave example.org}]3@example.org2026-11-02 10:00:00 +0000 UTC")
	var shape []string
	m.BodyStructure.Walk(func(path []int, part imap.BodyStructure) bool {
		text := fmt.Sprintf("%v %s", path, part.MediaType())
		if single, ok := part.(*imap.BodyStructureSinglePart); ok {
			text += fmt.Sprintf(" %s %d %s", single.Encoding, single.Size, single.Filename())
		}
		shape = append(shape, text)
		return true
	})
	equal(t, "structure", strings.ToLower(strings.Join(shape, "; ")), "[] multipart/mixed; [1] text/plain quoted-printable 15 ; [2] application/octet-stream base64 8 a b.bin")

	got, err = c.Fetch(imap.SeqSetNum(2), &imap.FetchOptions{Envelope: true}).Collect()
	must(t, err)
	equal(t, "decoded name", got[0].Envelope.From[0].Name, "Jörg")
	equal(t, "in reply to", fmt.Sprint(got[0].Envelope.InReplyTo), "[1@example.org]")
}

func TestIMAPSearch(t *testing.T) {
	for _, without := range [][]string{nil, {"ESEARCH", "IMAP4rev2"}, {"IMAP4rev2"}} {
		t.Run("without "+strings.Join(without, " "), func(t *testing.T) {
			s, c := inbox(t, without...)
			s.put("alice", "INBOX", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nx\r\n")
			must(t, c.Noop().Wait())
			must(t, c.Store(imap.UIDSetNum(4), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close())
			day := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
			for _, q := range []struct {
				name     string
				criteria imap.SearchCriteria
				want     string
			}{
				{"all", imap.SearchCriteria{}, "[1 2 3 4 5]"},
				{"header", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "LUNCH"}}}, "[1 2 4]"},
				{"encoded header", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "grüße"}}}, "[5]"},
				{"encoded body", imap.SearchCriteria{Body: []string{"Grüße"}}, "[3]"},
				{"quoting", imap.SearchCriteria{Text: []string{`a "report\`}}, "[]"},
				{"flag", imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}, NotFlag: []imap.Flag{imap.FlagSeen}}, "[4]"},
				{"size", imap.SearchCriteria{Larger: 400}, "[3]"},
				{"dates", imap.SearchCriteria{Since: day, Before: day.AddDate(0, 0, 1), SentSince: day, SentBefore: day.AddDate(0, 0, 1)}, "[1 2 3 4]"},
				{"uid and or", imap.SearchCriteria{UID: []imap.UIDSet{imap.UIDSetNum(1, 2, 3)},
					Or: [][2]imap.SearchCriteria{{{Body: []string{"yes"}}, {Text: []string{"carol"}}}}}, "[2 3]"},
				{"not", imap.SearchCriteria{Not: []imap.SearchCriteria{{Header: []imap.SearchCriteriaHeaderField{{Key: "References"}}}}}, "[1 3 5]"},
				{"modseq", imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: 1}}, "[1 2 3 4 5]"},
			} {
				t.Run(q.name, func(t *testing.T) {
					data, err := c.UIDSearch(&q.criteria, nil).Wait()
					must(t, err)
					equal(t, "UIDs", fmt.Sprint(data.AllUIDs()), q.want)
					if q.name == "modseq" && data.ModSeq == 0 {
						t.Error("no MODSEQ in the response")
					}
				})
			}
			if len(without) == 2 {
				return
			}
			data, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "lunch"}}},
				&imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnAll: true, ReturnCount: true}).Wait()
			must(t, err)
			equal(t, "ESEARCH", fmt.Sprint(data.Min, data.Max, data.Count, data.AllUIDs()), "1 4 3 [1 2 4]")
		})
	}
}

func TestIMAPSortThread(t *testing.T) {
	_, c := inbox(t)
	for _, q := range []struct {
		criteria []imapclient.SortCriterion
		want     string
	}{
		{[]imapclient.SortCriterion{{Key: imapclient.SortKeyDate}}, "[3 1 2 4]"},
		{[]imapclient.SortCriterion{{Key: imapclient.SortKeyArrival, Reverse: true}}, "[1 2 3 4]"}, // all at once
		{[]imapclient.SortCriterion{{Key: imapclient.SortKeySize, Reverse: true}}, "[3 2 4 1]"},
		{[]imapclient.SortCriterion{{Key: imapclient.SortKeySubject}, {Key: imapclient.SortKeyDate, Reverse: true}}, "[3 4 2 1]"},
		{[]imapclient.SortCriterion{{Key: imapclient.SortKeyFrom}, {Key: imapclient.SortKeySize, Reverse: true}}, "[4 1 3 2]"},
	} {
		got, err := c.UIDSort(&imapclient.SortOptions{SearchCriteria: &imap.SearchCriteria{}, SortCriteria: q.criteria}).Wait()
		must(t, err)
		equal(t, fmt.Sprint(q.criteria), fmt.Sprint(got), q.want)
	}
	for _, q := range []struct {
		algorithm imap.ThreadAlgorithm
		want      string
	}{{imap.ThreadReferences, "[{[3] []} {[1 2 4] []}]"}, {imap.ThreadOrderedSubject, "[{[3] []} {[1] [{[2] []} {[4] []}]}]"}} {
		got, err := c.UIDThread(&imapclient.ThreadOptions{Algorithm: q.algorithm, SearchCriteria: &imap.SearchCriteria{}}).Wait()
		must(t, err)
		equal(t, string(q.algorithm), fmt.Sprint(got), q.want)
	}
}

func TestIMAPStore(t *testing.T) {
	s, c := inbox(t)
	set := imap.UIDSetNum(1, 2)
	for _, step := range []struct {
		op    imap.StoreFlagsOp
		flags []imap.Flag
		want  string
	}{
		{imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen, "$Work"}, `[$Work \Seen]`},
		{imap.StoreFlagsDel, []imap.Flag{imap.FlagSeen}, `[$Work]`},
		{imap.StoreFlagsSet, []imap.Flag{imap.FlagAnswered}, `[\Answered]`},
		{imap.StoreFlagsSet, nil, `[]`},
	} {
		got, err := c.Store(set, &imap.StoreFlags{Op: step.op, Flags: step.flags}, nil).Collect()
		must(t, err)
		equal(t, "responses", len(got), 2)
		for _, m := range got {
			slices.Sort(m.Flags)
			equal(t, "flags", fmt.Sprint(m.Flags), step.want)
		}
		equal(t, "flags in the store", fmt.Sprint(s.mailbox("alice", "INBOX").Messages()[1].Flags), step.want)
	}
	got, err := c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDraft}}, nil).Collect()
	must(t, err)
	equal(t, "responses to .SILENT", len(got), 0)
}

// TestIMAPCondStore stores conditionally and asks for changes.
func TestIMAPCondStore(t *testing.T) {
	s := start(t, nil)
	s.put("alice", "INBOX", thread...)
	c := s.open(nil)
	data, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	must(t, err)
	before := data.HighestModSeq
	if before == 0 {
		t.Fatal("no HIGHESTMODSEQ")
	}
	flagged := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}
	got, err := c.Store(imap.UIDSetNum(2), flagged, &imap.StoreOptions{UnchangedSince: before}).Collect()
	must(t, err)
	if len(got) != 1 || got[0].ModSeq <= before {
		t.Fatalf("got %+v, want a higher MODSEQ than %d", got, before)
	}
	if _, err := c.Store(imap.UIDSetNum(1, 2), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{imap.FlagSeen}},
		&imap.StoreOptions{UnchangedSince: before}).Collect(); err != nil {
		t.Error(err)
	}
	messages := s.mailbox("alice", "INBOX").Messages()
	equal(t, "flags", fmt.Sprint(messages[0].Flags, messages[1].Flags), `[\Seen] [\Flagged]`)
	changed, err := c.Fetch(imap.UIDSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{UID: true, Flags: true, ChangedSince: before}).Collect()
	must(t, err)
	equal(t, "changed", len(changed), 2)
}

func TestIMAPCopyMoveExpunge(t *testing.T) {
	for _, without := range [][]string{nil, {"MOVE"}, {"MOVE", "UIDPLUS", "IMAP4rev2"}} {
		t.Run("without "+strings.Join(without, " "), func(t *testing.T) {
			s, c := inbox(t, without...)
			copied, err := c.Copy(imap.UIDSetNum(1, 3), "Archive").Wait()
			must(t, err)
			uidplus := len(without) < 3
			if uidplus {
				equal(t, "COPYUID", copied.SourceUIDs.String()+" "+copied.DestUIDs.String(), "1,3 1:2")
			}
			moved, err := c.Move(imap.UIDSetNum(2), "Archive").Wait()
			must(t, err)
			if without == nil {
				equal(t, "COPYUID of MOVE", moved.SourceUIDs.String()+" "+moved.DestUIDs.String(), "2 3")
			}
			equal(t, "archive", strings.Join(s.texts("alice", "Archive"), "|"), thread[0]+"|"+thread[2]+"|"+thread[1])
			equal(t, "left", len(s.texts("alice", "INBOX")), 3)

			must(t, c.Store(imap.UIDSetNum(1, 3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
			if uidplus {
				gone, err := c.UIDExpunge(imap.UIDSetNum(3, 4)).Collect()
				must(t, err)
				equal(t, "expunged", fmt.Sprint(gone), "[2]")
				equal(t, "left", strings.Join(s.texts("alice", "INBOX"), "|"), thread[0]+"|"+thread[3])
			}
			if _, err := c.Expunge().Collect(); err != nil {
				t.Error(err)
			}
			equal(t, "left", strings.Join(s.texts("alice", "INBOX"), "|"), thread[3])
			equal(t, "messages known", c.Mailbox().NumMessages, 1)
			must(t, c.UnselectAndExpunge().Wait())
		})
	}
}

// TestIMAPIdle waits for what another session does.
func TestIMAPIdle(t *testing.T) {
	s := start(t, nil)
	s.put("alice", "INBOX", thread...)
	events := make(chan string, 16)
	c := s.open(&imapclient.UnilateralDataHandler{
		Expunge: func(n uint32) { events <- fmt.Sprint("expunge ", n) },
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				events <- fmt.Sprint("exists ", *d.NumMessages)
			}
		},
		Fetch: func(m *imapclient.FetchMessageData) {
			got, err := m.Collect()
			events <- fmt.Sprintf("fetch %d %v %v", m.SeqNum, got.Flags, err)
		},
	})
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	other := s.open(nil)
	_, err = other.Select("INBOX", nil).Wait()
	must(t, err)

	idle, err := c.Idle()
	must(t, err)
	wait := func(want string) {
		t.Helper()
		timeout := time.After(60 * time.Second)
		for {
			select {
			case got := <-events:
				if got == want {
					return
				}
				t.Logf("passed over %q", got)
			case <-timeout:
				t.Fatalf("%q did not come", want)
			}
		}
	}
	s.put("alice", "INBOX", thread[0])
	wait("exists 5")
	must(t, other.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, imap.FlagDeleted}}, nil).Close())
	wait(`fetch 2 [\Deleted \Seen] <nil>`)
	must(t, other.Expunge().Close())
	wait("expunge 2")
	must(t, idle.Close())
	must(t, idle.Wait())
	must(t, c.Noop().Wait())
	equal(t, "messages", c.Mailbox().NumMessages, 4)
}
