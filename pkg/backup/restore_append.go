package backup

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

// append appends what is not there.
func (b *restoring) append(ctx context.Context) error {
	var sent []*outgoing
	defer func() {
		for _, out := range sent {
			if out != nil {
				out.close()
			}
		}
	}()
	items := func(yield func(imap.AppendItem, error) bool) {
		for i := range b.refs {
			if b.fates[i] != todo || b.later != nil {
				continue
			}
			out, err := b.take(i)
			if err != nil {
				b.refuse(i, err)
				continue
			}
			sent = append(sent, out)
			b.sent = true
			if !yield(out.item(b.keep(out.m.Flags)), nil) {
				return
			}
		}
	}
	return b.link.c.AppendAll(ctx, b.name, items, func(n int, res imap.AppendResult) error {
		out := sent[n]
		sent[n] = nil
		out.close()
		b.outcome(out, res)
		return nil
	})
}

// take opens a message that is to be appended.
func (b *restoring) take(i int) (*outgoing, error) {
	m, err := b.rs.x.message(b.refs[i])
	if err != nil {
		return nil, err
	}
	sm, err := b.rs.r.sound(m)
	if err != nil {
		return nil, err
	}
	return &outgoing{r: b.rs.r, i: i, m: m, sm: sm}, nil
}

// outcome takes what became of a message that was sent.
func (b *restoring) outcome(out *outgoing, res imap.AppendResult) {
	var refused *imap.Error
	switch {
	case res.Err == nil:
		b.fates[out.i] = appended
		b.put++
		b.result.Size += out.m.Size
		b.wantLabels(out.i, res.UID)
		b.rs.tell(RestoreEvent{Kind: EventMessage, Mailbox: b.from.Name, Dest: b.name, UID: out.m.UID, UIDL: out.m.UIDL, Bytes: out.m.Size}, out.m)
	case errors.As(res.Err, &refused) && refused.Status != "BYE" && refused.Temporary():
		b.later, b.held[out.i] = res.Err, res.Err
	case b.link.c.Err() == nil, out.err != nil:
		b.refuse(out.i, res.Err)
	} // else the connection is lost, and it is not known or not there
}

// refuse reports a message that is not restored.
func (b *restoring) refuse(i int, err error) {
	b.fates[i] = refused
	m, merr := b.rs.x.message(b.refs[i])
	if merr != nil || len(b.result.Refused) >= maxMissing {
		return
	}
	b.result.Refused = append(b.result.Refused, Refused{UID: m.UID, UIDL: m.UIDL, File: m.File, Err: err})
	b.rs.tell(RestoreEvent{Kind: EventMessage, Mailbox: b.from.Name, Dest: b.name, UID: m.UID, UIDL: m.UIDL, Bytes: m.Size, Err: err})
}

// keep leaves out the flags that the mailbox cannot keep (PERMANENTFLAGS).
func (b *restoring) keep(flags []string) []imap.Flag {
	var list []imap.Flag
	for _, text := range flags {
		f := imap.Flag(text)
		if f.Equal(`\Recent`) {
			continue
		}
		if !isFlag(text) || !b.keeps(f) {
			if b.left == nil {
				b.left = map[string]bool{}
			}
			b.left[text] = true
			continue
		}
		list = append(list, f)
	}
	return list
}

// isFlag reports whether text can be sent as a flag: an atom, with a backslash before
// it or not (RFC 9051 §9).
func isFlag(text string) bool {
	name := strings.TrimPrefix(text, `\`)
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }
	return name != "" && strings.IndexFunc(name, bad) < 0
}

// keeps reports whether the mailbox can keep a flag. A server that does not tell can.
func (b *restoring) keeps(f imap.Flag) bool {
	if !b.sel.CanChange {
		return true
	}
	for _, p := range b.sel.PermanentFlags {
		if p.Equal(f) || p == `\*` && !strings.HasPrefix(string(f), `\`) {
			return true
		}
	}
	return false
}

// outgoing is a message that is being appended. It is open from when it was looked
// at until it was read, and opened again if it has to be sent again.
type outgoing struct {
	r    *Repo
	i    int
	m    *Message
	sm   *store.Message
	from io.Reader
	over bool
	err  error // of the file
}

// item is the message for AppendAll.
func (o *outgoing) item(flags []imap.Flag) imap.AppendItem {
	return imap.AppendItem{Size: o.m.Size, Body: o, Flags: flags, Date: o.m.Date}
}

// Read gives the message in wire form.
func (o *outgoing) Read(p []byte) (int, error) {
	if o.over {
		return 0, io.EOF
	}
	if o.from == nil {
		if o.sm == nil {
			if o.sm, o.err = o.r.sound(o.m); o.err != nil {
				return 0, o.err
			}
		}
		o.from = o.sm.Wire()
	}
	n, err := o.from.Read(p)
	if err != nil {
		o.over = err == io.EOF
		if !o.over {
			o.err = err
		}
		o.close()
	}
	return n, err
}

// Seek goes back to the beginning, and nowhere else.
func (o *outgoing) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	o.from, o.over = nil, false
	return 0, nil
}

// close releases the file.
func (o *outgoing) close() {
	if o.sm != nil {
		_ = o.sm.Close() // it was only read
	}
	o.sm, o.from = nil, nil
}
