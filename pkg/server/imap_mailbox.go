package server

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// nameArg reads a command whose only argument is a mailbox.
func (s *imapSession) nameArg(d *imapwire.Decoder) (string, error) {
	d.SP()
	name := s.mailboxArg(d)
	return name, s.finish(d)
}

// create answers CREATE (RFC 9051 §6.3.4) with USE (RFC 6154 §3).
func (s *imapSession) create(d *imapwire.Decoder) error {
	d.SP()
	name := s.mailboxArg(d)
	use := ""
	if d.Accept(' ') {
		if !s.has("CREATE-SPECIAL-USE") {
			return imapBad("", "parameters are not known here")
		}
		d.OpenList()
		d.More(0)
		if d.Keyword() != "USE" {
			return imapBad("", "unknown parameter")
		}
		d.SP()
		uses := d.Flags()
		d.Expect(')')
		if len(uses) > 1 {
			return imapNo("USEATTR", "one special use for each mailbox")
		}
		if len(uses) == 1 {
			use = string(uses[0])
		}
	}
	if err := s.finish(d); err != nil {
		return err
	}
	if err := s.account.Create(name, use); err != nil {
		return err
	}
	if box, err := s.account.Mailbox(name); err == nil && s.has("OBJECTID") {
		return imapOK("MAILBOXID ("+box.State().ID+")", "")
	}
	return nil
}

func (s *imapSession) deleteMailbox(d *imapwire.Decoder) error {
	name, err := s.nameArg(d)
	if err != nil {
		return err
	}
	return s.account.Delete(name)
}

func (s *imapSession) rename(d *imapwire.Decoder) error {
	d.SP()
	from := s.mailboxArg(d)
	to, err := s.nameArg(d)
	if err != nil {
		return err
	}
	return s.account.Rename(from, to)
}

func (s *imapSession) subscribe(d *imapwire.Decoder) error {
	name, err := s.nameArg(d)
	if err != nil {
		return err
	}
	return s.account.Subscribe(name, true)
}

func (s *imapSession) unsubscribe(d *imapwire.Decoder) error {
	name, err := s.nameArg(d)
	if err != nil {
		return err
	}
	return s.account.Subscribe(name, false)
}

// namespace answers NAMESPACE (RFC 2342): one personal namespace.
func (s *imapSession) namespace(d *imapwire.Decoder) error {
	if err := s.finish(d); err != nil {
		return err
	}
	return s.untagged(`NAMESPACE (("" "/")) NIL NIL`)
}

// status answers STATUS (RFC 9051 §6.3.11).
func (s *imapSession) status(d *imapwire.Decoder) error {
	d.SP()
	name := s.mailboxArg(d)
	d.SP()
	items, err := s.statusItems(d)
	if err != nil {
		return err
	}
	if err := s.finish(d); err != nil {
		return err
	}
	box, err := s.account.Mailbox(name)
	if err != nil {
		return err
	}
	return s.statusLine(name, box, items)
}

// statusNeeds are the items of STATUS, with the extension that brings each.
var statusNeeds = map[string]string{
	"MESSAGES": "", "UIDNEXT": "", "UIDVALIDITY": "", "UNSEEN": "", "RECENT": "",
	"DELETED": "IMAP4rev2 QUOTA=RES-MESSAGE", "SIZE": "STATUS=SIZE", "HIGHESTMODSEQ": "CONDSTORE", "APPENDLIMIT": "APPENDLIMIT",
	"MAILBOXID": "OBJECTID", "DELETED-STORAGE": "QUOTA=RES-STORAGE",
}

func (s *imapSession) statusItems(d *imapwire.Decoder) ([]string, error) {
	var items []string
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		item := d.Keyword()
		needs, known := statusNeeds[item]
		if d.Err() == nil && (!known || !s.offers(needs) || n > 20) {
			return nil, imapBad("", "unknown status item")
		}
		items = append(items, item)
	}
	if len(items) == 0 && d.Err() == nil {
		return nil, imapBad("", "no status item")
	}
	return items, d.Err()
}

func (s *imapSession) statusLine(name string, box Mailbox, items []string) error {
	state := box.State()
	b := append(s.mailboxName([]byte("* STATUS "), name), " ("...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, item...), ' ')
		switch item {
		case "MAILBOXID":
			b = append(append(append(b, '('), state.ID...), ')')
		case "HIGHESTMODSEQ":
			if err := s.condstore(); err != nil {
				return err
			}
			b = strconv.AppendUint(b, state.HighestModSeq, 10)
		default:
			b = strconv.AppendInt(b, s.statusNumber(item, box, state), 10)
		}
	}
	_, err := s.c.Write(append(b, ")\r\n"...))
	return err
}

func (s *imapSession) statusNumber(item string, box Mailbox, state MailboxState) int64 {
	switch item {
	case "MESSAGES":
		return int64(state.Messages)
	case "UIDNEXT":
		return int64(state.UIDNext)
	case "UIDVALIDITY":
		return int64(state.UIDValidity)
	case "UNSEEN":
		return int64(state.Unseen)
	case "DELETED":
		return int64(state.Deleted)
	case "SIZE":
		return state.Size
	case "APPENDLIMIT":
		return s.appendLimit()
	}
	first := s.srv.recent.from(state.ID)
	total := int64(0)
	for _, m := range box.Messages() {
		switch {
		case item == "DELETED-STORAGE" && hasFlag(m.Flags, `\Deleted`):
			total += m.Size
		case item == "RECENT" && m.UID >= first:
			total++
		}
	}
	return total
}

// getQuota answers GETQUOTA (RFC 9208 §4.2). There is one root, "", and its limits are as good as none.
func (s *imapSession) getQuota(d *imapwire.Decoder) error {
	d.SP()
	root := d.AString()
	if err := s.finish(d); err != nil {
		return err
	}
	if root != "" {
		return imapNo("NONEXISTENT", "no such quota root")
	}
	return s.quotaLine()
}

// getQuotaRoot answers GETQUOTAROOT (RFC 9208 §4.3).
func (s *imapSession) getQuotaRoot(d *imapwire.Decoder) error {
	name, err := s.nameArg(d)
	if err != nil {
		return err
	}
	if _, err := s.account.Mailbox(name); err != nil {
		return err
	}
	if _, err := s.c.Write(append(s.mailboxName([]byte("* QUOTAROOT "), name), " \"\"\r\n"...)); err != nil {
		return err
	}
	return s.quotaLine()
}

// The limits told: no mail is refused because of them.
const (
	quotaStorage  = 1 << 30 // units of 1024 octets
	quotaMessages = 1<<32 - 1
)

func (s *imapSession) quotaLine() error {
	octets, messages := s.account.Usage()
	var list []string
	if s.has("QUOTA=RES-STORAGE") {
		list = append(list, fmt.Sprintf("STORAGE %d %d", (octets+1023)/1024, quotaStorage))
	}
	if s.has("QUOTA=RES-MESSAGE") {
		list = append(list, fmt.Sprintf("MESSAGE %d %d", messages, int64(quotaMessages)))
	}
	return s.untagged(`QUOTA "" (%s)`, strings.Join(list, " "))
}

// setQuota answers SETQUOTA (RFC 9208 §4.1.3): the limits belong to the server.
func (s *imapSession) setQuota(d *imapwire.Decoder) error {
	d.SP()
	_ = d.AString()
	d.SP()
	d.List(func() {
		d.Keyword()
		d.SP()
		d.Number64()
	})
	if err := s.finish(d); err != nil {
		return err
	}
	return imapNo("NOPERM", "quotas are fixed")
}
