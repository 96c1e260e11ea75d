package imap

import "github.com/mail-toolkit/mail/pkg/imap/imapwire"

// Envelope is the header of a message as the server took it apart (RFC 9051
// §7.5.2). Texts are as in the header: RFC 2047 words are not decoded.
type Envelope struct {
	Date, Subject                      string
	From, Sender, ReplyTo, To, Cc, Bcc []Address
	InReplyTo, MessageID               string
}

// Address is one address of an [Envelope]. A group begins with an Address that
// has a Mailbox and no Host, and ends with one that has neither.
type Address struct{ Name, Mailbox, Host string }

// Addr is the address as it stands in a header: local@domain.
func (a Address) Addr() string {
	if a.Host == "" {
		return a.Mailbox
	}
	return a.Mailbox + "@" + a.Host
}

// newEnvelope makes sense of an ENVELOPE value. Missing or odd parts are left
// empty; ok is false when there are any.
func newEnvelope(v imapwire.Value) (env *Envelope, ok bool) {
	if v.Kind != imapwire.ListValue {
		return nil, false
	}
	r := &reader{items: v.List}
	env = &Envelope{Date: r.text(), Subject: r.text()}
	all := 0
	for _, list := range v.List {
		all += len(list.List)
	}
	room := make([]Address, 0, all)
	for _, list := range []*[]Address{&env.From, &env.Sender, &env.ReplyTo, &env.To, &env.Cc, &env.Bcc} {
		*list = r.addresses(&room)
	}
	env.InReplyTo, env.MessageID = r.text(), r.text()
	return env, !r.odd && len(r.items) == 0
}

// reader takes the items of a list one by one and notes what does not fit.
type reader struct {
	items []imapwire.Value
	odd   bool
}

func (r *reader) next() imapwire.Value {
	if len(r.items) == 0 {
		r.odd = true
		return imapwire.Value{}
	}
	v := r.items[0]
	r.items = r.items[1:]
	return v
}

// text takes a string or NIL.
func (r *reader) text() string {
	v := r.next()
	if v.Kind == imapwire.ListValue {
		r.odd = true
	}
	return v.Text
}

// list takes a list or NIL.
func (r *reader) list() []imapwire.Value {
	v := r.next()
	if v.Kind != imapwire.ListValue && v.Kind != imapwire.NilValue {
		r.odd = true
	}
	return v.List
}

// addresses takes a list of addresses, which are put behind those in room.
func (r *reader) addresses(room *[]Address) []Address {
	list := r.list()
	if len(list) == 0 {
		return nil
	}
	start := len(*room)
	for _, v := range list {
		a := reader{items: v.List}
		name := a.text()
		a.text() // source route, RFC 9051 §7.5.2
		*room = append(*room, Address{Name: name, Mailbox: a.text(), Host: a.text()})
		r.odd = r.odd || a.odd
	}
	return (*room)[start:len(*room):len(*room)]
}
