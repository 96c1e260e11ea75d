package server

import (
	"github.com/mail-toolkit/mail/pkg/message"
)

// What stands for the half of an address that is missing: NIL would make it the begin or the end of a group (RFC 9051
// §7.5.2). The words are those of Dovecot.
const (
	missingMailbox = "MISSING_MAILBOX"
	missingDomain  = "MISSING_DOMAIN"
)

// imapEnvelope writes the header of a message as the value of ENVELOPE (RFC 9051 §7.5.2). Texts are as they stand in
// the header, unfolded; what is broken in an address field costs no more than the address it is in.
func imapEnvelope(b Body) ([]byte, error) {
	h, err := quickHeader(b)
	if err != nil {
		return nil, err
	}
	var w dataWriter
	w.envelope(h)
	return w.out, nil
}

// envelope writes the envelope of a header.
func (w *dataWriter) envelope(h *message.Header) {
	w.raw("(")
	w.envelopeText(h, "Date")
	w.raw(" ")
	w.envelopeText(h, "Subject")
	from := headerMailboxes(h, "From")
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc"} {
		list := from
		if name != "From" {
			list = headerMailboxes(h, name)
		}
		if len(list) == 0 && (name == "Sender" || name == "Reply-To") {
			list = from
		}
		w.raw(" ")
		w.mailboxes(list)
	}
	w.raw(" ")
	w.envelopeText(h, "In-Reply-To")
	w.raw(" ")
	w.envelopeText(h, "Message-ID")
	w.raw(")")
}

func (w *dataWriter) envelopeText(h *message.Header, name string) {
	v, ok := h.Get(name)
	w.optional(v, ok)
}

// mailboxes writes a list of addresses, or NIL when it is empty.
func (w *dataWriter) mailboxes(list []mailboxEntry) {
	if len(list) == 0 {
		w.raw("NIL")
		return
	}
	w.raw("(")
	for _, m := range list {
		w.mailbox(m)
	}
	w.raw(")")
}

// mailbox writes one address: (name route mailbox host).
func (w *dataWriter) mailbox(m mailboxEntry) {
	w.raw("(")
	switch m.kind {
	case groupStart:
		w.raw("NIL NIL ")
		w.text(m.mailbox)
		w.raw(" NIL")
	case groupEnd:
		w.raw("NIL NIL NIL NIL")
	default:
		w.optional(m.name, m.name != "")
		w.raw(" ")
		w.optional(m.route, m.route != "")
		w.raw(" ")
		w.text(orElse(m.mailbox, missingMailbox))
		w.raw(" ")
		w.text(orElse(m.host, missingDomain))
	}
	w.raw(")")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
