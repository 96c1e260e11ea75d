package message

import (
	"crypto/rand"
	"strings"
	"time"
)

// Envelope takes the sender and the recipients from the header.
//
// The sender is Sender, else From when it names one mailbox; it is "" when there
// is neither. The recipients are those of all To, Cc and Bcc fields, without
// duplicates, in order. When the message was resent (RFC 5322 §3.6.6), only the
// most recent block of Resent- fields counts, for both. Every address passes
// [CheckAddress]; the first that does not, or a list that can be read in two
// ways, makes an *Error. No recipients is not an error.
func Envelope(h *Header) (from string, rcpt []string, err error) {
	fields, prefix := h.Fields, ""
	if block := resentBlock(h.Fields); block != nil {
		fields, prefix = block, "Resent-"
	}
	if from, err = sender(fields, prefix); err != nil {
		return "", nil, err
	}
	seen := map[string]bool{}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		list, err := addresses(fields, prefix+name)
		if err != nil {
			return "", nil, err
		}
		for _, addr := range list {
			if key := envelopeKey(addr); !seen[key] {
				seen[key] = true
				rcpt = append(rcpt, addr)
			}
		}
	}
	return from, rcpt, nil
}

// sender applies the Sender and From rule of RFC 5322 §3.6.2.
func sender(fields []Field, prefix string) (string, error) {
	for _, name := range []string{prefix + "Sender", prefix + "From"} {
		list, err := addresses(fields, name)
		switch {
		case err != nil:
			return "", err
		case len(list) == 1:
			return list[0], nil
		case len(list) > 1:
			return "", &Error{Field: name, Msg: "more than one address, and no Sender says which one sends"}
		}
	}
	return "", nil
}

// addresses returns the checked addresses of all fields with that name.
func addresses(fields []Field, name string) ([]string, error) {
	var out []string
	for _, f := range fields {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		list, err := ParseAddressList(f.Value())
		if err != nil {
			return nil, inField(err, f.Name)
		}
		for _, a := range list {
			if err := CheckAddress(a.Addr); err != nil {
				return nil, inField(err, f.Name)
			}
			out = append(out, a.Addr)
		}
	}
	return out, nil
}

// inField names the field in an error of this package.
func inField(err error, name string) error {
	if e, ok := err.(*Error); ok {
		e.Field = name
	}
	return err
}

// envelopeKey is the same for addresses that are the same mailbox (RFC 5321
// §2.4: the case of the domain does not matter, that of the local part does).
func envelopeKey(addr string) string {
	local, domain, _ := splitAddress(addr)
	return local + "@" + strings.ToLower(domain)
}

// resentBlock returns the fields of the most recent resending, which stands on
// top, or nil. The block ends at a trace field, since each hop puts those above
// what was there, or where a field that it has already comes again. (Two equal
// fields side by side are one obsolete list of RFC 5322 §4.5.6.)
func resentBlock(fields []Field) []Field {
	var block []Field
	seen := map[string]bool{}
	last := ""
	for _, f := range fields {
		name := strings.ToLower(f.Name)
		if !strings.HasPrefix(name, "resent-") {
			if len(block) > 0 && (name == "received" || name == "return-path") {
				break
			}
			last = ""
			continue
		}
		if seen[name] && name != last {
			break
		}
		seen[name], last = true, name
		block = append(block, f)
	}
	return block
}

// CompleteOptions says what [Complete] may add.
type CompleteOptions struct {
	From Address   // the author when there is no From; zero: a missing From stays missing
	Date time.Time // the date when there is no Date
	Host string    // right side of a new Message-ID
}

// Complete prepares the header of a message for sending: an mbox "From " line,
// Bcc and Resent-Bcc go, missing From, Date and Message-ID are put on top. The
// octets of all other fields stay as they are. Take the envelope first.
func Complete(h *Header, o CompleteOptions) error {
	h.DropFromLine()
	StripBcc(h)
	// Each goes on top of the one before.
	if !h.Has("Message-ID") {
		if err := h.Prepend("Message-ID", NewMessageID(o.Host)); err != nil {
			return err
		}
	}
	if !h.Has("Date") {
		if err := h.Prepend("Date", FormatDate(o.Date)); err != nil {
			return err
		}
	}
	if !h.Has("From") && o.From.Addr != "" {
		return h.Prepend("From", FormatAddress(o.From))
	}
	return nil
}

// NewMessageID returns a new msg-id with angle brackets (RFC 5322 §3.6.4), not
// guessable and unique without a clock. A host that is no domain name is replaced
// by "localhost".
func NewMessageID(host string) string {
	if CheckDomain(host) != nil {
		host = "localhost"
	}
	return "<" + strings.ToLower(rand.Text()) + "@" + host + ">"
}
