package server

import (
	"errors"
	"strconv"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// copyArgs reads the arguments of COPY and MOVE and finds what they name.
func (s *imapSession) copyArgs(d *imapwire.Decoder) (uids []uint32, to Mailbox, err error) {
	d.SP()
	set := s.setArg(d)
	name, err := s.nameArg(d)
	if err != nil {
		return nil, nil, err
	}
	list, err := s.resolve(set)
	if err != nil {
		return nil, nil, err
	}
	to, err = s.account.Mailbox(name)
	if errors.Is(err, ErrNoMailbox) {
		err = errIMAPTryCreate
	}
	if err == nil && !set.uid && !set.saved && !s.view.complete(list) {
		err = errIMAPGone
	}
	return s.view.uidsOf(list), to, err
}

var errIMAPTryCreate = imapNo("TRYCREATE", "no such mailbox")

// copyMessages answers COPY and UID COPY (RFC 9051 §6.4.7).
func (s *imapSession) copyMessages(d *imapwire.Decoder) error {
	uids, to, err := s.copyArgs(d)
	if err != nil {
		return err
	}
	copied, err := s.account.Copy(s.ctx, s.view.box, uids, to)
	if err != nil {
		return err
	}
	if len(copied) == 0 || !s.has("UIDPLUS") {
		return nil
	}
	return imapOK(copyUID(to, copied), "")
}

// moveMessages answers MOVE and UID MOVE (RFC 9051 §6.4.8): where the messages went is told before they are gone.
func (s *imapSession) moveMessages(d *imapwire.Decoder) error {
	uids, to, err := s.copyArgs(d)
	if err != nil {
		return err
	}
	if s.view.readOnly {
		return errIMAPReadOnly
	}
	moved, err := s.account.Move(s.ctx, s.view.box, uids, to)
	if err != nil {
		return err
	}
	if len(moved) > 0 && s.has("UIDPLUS") {
		if err := s.untagged("OK [%s] moved", copyUID(to, moved)); err != nil {
			return err
		}
	}
	if s.enabled["QRESYNC"] && len(moved) > 0 {
		return imapOK(s.highest(), "")
	}
	return nil
}

// copyUID is the response code of RFC 4315 §3: both sets have the same order.
func copyUID(to Mailbox, copied []CopiedUID) string {
	var from, dest imapRuns
	for _, c := range copied {
		from.add(c.From)
		dest.add(c.To)
	}
	return "COPYUID " + strconv.FormatUint(uint64(to.State().UIDValidity), 10) + " " + from.text() + " " + dest.text()
}

// imapRuns writes numbers in the order in which they come.
type imapRuns struct {
	b           []byte
	first, last uint32
}

func (r *imapRuns) add(n uint32) {
	if r.last != 0 && n == r.last+1 {
		r.last = n
		return
	}
	r.flush()
	r.first, r.last = n, n
}

func (r *imapRuns) flush() {
	if r.last == 0 {
		return
	}
	if len(r.b) > 0 {
		r.b = append(r.b, ',')
	}
	r.b = strconv.AppendUint(r.b, uint64(r.first), 10)
	if r.last != r.first {
		r.b = strconv.AppendUint(append(r.b, ':'), uint64(r.last), 10)
	}
}

func (r *imapRuns) text() string {
	r.flush()
	return string(r.b)
}
