package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
)

// imapObject is one message in --json output; the names are those of JMAP (RFC 8621 §4.1).
type imapObject struct {
	UID           imap.UID        `json:"uid,omitempty"`
	Mailbox       string          `json:"mailbox,omitempty"`
	UIDValidity   uint32          `json:"uidValidity,omitempty"`
	NewUID        imap.UID        `json:"newUid,omitempty"`
	Size          int64           `json:"size,omitempty"`
	ReceivedAt    string          `json:"receivedAt,omitempty"`
	SentAt        string          `json:"sentAt,omitempty"`
	Keywords      map[string]bool `json:"keywords,omitempty"`
	MessageID     []string        `json:"messageId,omitempty"`
	InReplyTo     []string        `json:"inReplyTo,omitempty"`
	From          []imapAddress   `json:"from,omitempty"`
	Sender        []imapAddress   `json:"sender,omitempty"`
	ReplyTo       []imapAddress   `json:"replyTo,omitempty"`
	To            []imapAddress   `json:"to,omitempty"`
	Cc            []imapAddress   `json:"cc,omitempty"`
	Bcc           []imapAddress   `json:"bcc,omitempty"`
	Subject       *string         `json:"subject,omitempty"`
	BodyStructure *imapPart       `json:"bodyStructure,omitempty"`
	EmailID       string          `json:"emailId,omitempty"` // RFC 8474
	ThreadID      string          `json:"threadId,omitempty"`
	Labels        []string        `json:"labels,omitempty"` // Gmail's, with its ids
	GmailID       string          `json:"gmailMessageId,omitempty"`
	GmailThread   string          `json:"gmailThreadId,omitempty"`
	Path          string          `json:"path,omitempty"`
	DryRun        bool            `json:"dryRun,omitempty"`
}

// imapAddress is an EmailAddress of JMAP.
type imapAddress struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email"`
}

// imapPart is an EmailBodyPart of JMAP.
type imapPart struct {
	PartID      string      `json:"partId,omitempty"`
	Type        string      `json:"type"`
	Size        int64       `json:"size,omitempty"`
	Encoding    string      `json:"encoding,omitempty"`
	Charset     string      `json:"charset,omitempty"`
	Disposition string      `json:"disposition,omitempty"`
	Name        string      `json:"name,omitempty"`
	CID         string      `json:"cid,omitempty"`
	Language    []string    `json:"language,omitempty"`
	Location    string      `json:"location,omitempty"`
	SubParts    []*imapPart `json:"subParts,omitempty"`
}

// systemKeywords are the JMAP names of the system flags (RFC 8621 §4.1.1).
var systemKeywords = map[imap.Flag]string{
	imapwire.FlagSeen: "$seen", imapwire.FlagAnswered: "$answered", imapwire.FlagFlagged: "$flagged",
	imapwire.FlagDraft: "$draft", imapwire.FlagDeleted: "$deleted",
}

// jmapKeywords gives flags as JMAP does: in lower case, without \Recent.
func jmapKeywords(flags []imap.Flag) map[string]bool {
	words := make(map[string]bool, len(flags))
	for _, f := range flags {
		switch name, system := systemKeywords[f]; {
		case system:
			words[name] = true
		case f != imapwire.FlagRecent:
			words[valid(strings.ToLower(string(f)))] = true
		}
	}
	return words
}

// imapObjectOf describes a fetched message.
func imapObjectOf(m *imap.Message) imapObject {
	o := imapObject{UID: m.UID, Size: m.Size, Keywords: jmapKeywords(m.Flags)}
	if !m.InternalDate.IsZero() {
		o.ReceivedAt = m.InternalDate.UTC().Format(time.RFC3339)
	}
	o.EmailID, o.ThreadID = valid(m.EmailID), valid(m.ThreadID)
	for _, label := range m.Labels {
		o.Labels = append(o.Labels, valid(label))
	}
	if m.GmailID != 0 { // in text: they are beyond what JSON numbers hold
		o.GmailID, o.GmailThread = strconv.FormatUint(m.GmailID, 10), strconv.FormatUint(m.GmailThread, 10)
	}
	return o
}

func (o *imapObject) addEnvelope(env *imap.Envelope) {
	if env == nil {
		return
	}
	if t, err := message.ParseDate(env.Date); err == nil && env.Date != "" {
		o.SentAt = t.Format(time.RFC3339)
	}
	o.MessageID, o.InReplyTo = messageIDs(env.MessageID), messageIDs(env.InReplyTo)
	o.From = imapAddresses(env.From)
	o.Sender, o.ReplyTo = o.From, o.From // they mostly are the same
	if !slices.Equal(env.Sender, env.From) {
		o.Sender = imapAddresses(env.Sender)
	}
	if !slices.Equal(env.ReplyTo, env.From) {
		o.ReplyTo = imapAddresses(env.ReplyTo)
	}
	o.To, o.Cc, o.Bcc = imapAddresses(env.To), imapAddresses(env.Cc), imapAddresses(env.Bcc)
	subject := message.DecodeWords(env.Subject)
	o.Subject = &subject
}

// columns are UID, date, sender and subject.
func (o *imapObject) columns() []string {
	date, subject := cmp.Or(o.SentAt, o.ReceivedAt), ""
	from := make([]string, len(o.From))
	for i, a := range o.From {
		if from[i] = a.Email; a.Name != "" {
			from[i] = a.Name + " <" + a.Email + ">"
		}
	}
	if o.Subject != nil {
		subject = *o.Subject
	}
	return []string{uidText(o.UID), date, strings.Join(from, ", "), subject}
}

// messageIDs takes the ids out of a field, without their angle brackets, whatever stands between them.
func messageIDs(field string) []string {
	var ids []string
	for _, word := range strings.FieldsFunc(field, func(r rune) bool { return r == '<' || r == '>' || r == ' ' || r == '\t' }) {
		ids = append(ids, valid(word))
	}
	return ids
}

// imapAddresses drops the marks of groups.
func imapAddresses(list []imap.Address) []imapAddress {
	out := make([]imapAddress, 0, len(list))
	for _, a := range list {
		if a.Host != "" {
			out = append(out, imapAddress{Name: message.DecodeWords(a.Name), Email: valid(a.Addr())})
		}
	}
	return out
}

func imapPartOf(b *imap.BodyStructure) *imapPart {
	p := &imapPart{
		PartID: b.Path, Type: valid(b.MediaType()), Size: b.Size, Encoding: valid(b.Encoding), Disposition: valid(b.Disposition),
		Name: message.DecodeWords(b.Filename()), CID: valid(strings.Trim(b.ID, "<>")), Location: valid(b.Location),
	}
	for _, param := range b.Params {
		if param.Name == "charset" {
			p.Charset = valid(param.Value)
		}
	}
	for _, l := range b.Language {
		p.Language = append(p.Language, valid(l))
	}
	if b.Multipart() {
		p.PartID, p.Encoding = "", ""
	}
	for _, sub := range b.Parts {
		p.SubParts = append(p.SubParts, imapPartOf(sub))
	}
	return p
}

// imapMailbox is a mailbox in --json output (RFC 8621 §2).
type imapMailbox struct {
	Name          string   `json:"name"`
	Role          string   `json:"role,omitempty"`
	Delimiter     string   `json:"delimiter,omitempty"`
	Attributes    []string `json:"attributes"`
	IsSubscribed  *bool    `json:"isSubscribed,omitempty"`
	ReadOnly      *bool    `json:"readOnly,omitempty"`
	TotalEmails   *uint32  `json:"totalEmails,omitempty"`
	UnreadEmails  *uint32  `json:"unreadEmails,omitempty"`
	Size          *int64   `json:"size,omitempty"`
	UIDValidity   uint32   `json:"uidValidity,omitempty"`
	UIDNext       imap.UID `json:"uidNext,omitempty"`
	HighestModSeq uint64   `json:"highestModSeq,omitempty"`
	MailboxID     string   `json:"mailboxId,omitempty"`
	Flags         []string `json:"flags,omitempty"`
	Permanent     []string `json:"permanentFlags,omitempty"`
}

func flagWords(flags []imap.Flag) []string {
	words := make([]string, 0, len(flags))
	for _, f := range flags {
		words = append(words, valid(string(f)))
	}
	return words
}

func (o *imapMailbox) addStatus(s *imap.StatusData) {
	if s == nil {
		return
	}
	if s.Has(imap.StatusMessages) {
		o.TotalEmails = &s.Messages
	}
	if s.Has(imap.StatusUnseen) {
		o.UnreadEmails = &s.Unseen
	}
	if s.Has(imap.StatusSize) {
		o.Size = &s.Size
	}
	o.UIDValidity, o.UIDNext, o.HighestModSeq, o.MailboxID = s.UIDValidity, s.UIDNext, s.HighestModSeq, valid(s.MailboxID)
}
