package server

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/message"
)

// gmailExtension is the capability of Gmail's own items and search keys
// (https://developers.google.com/workspace/gmail/imap/imap-extensions). It is there where mailboxes are labels.
const gmailExtension = "X-GM-EXT-1"

// maxLabels bounds the labels of one STORE.
const maxLabels = 1000

// gmailNumber makes an id of Gmail's of a text: 64 bits, of which the first is never set, and never 0.
func gmailNumber(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return max(binary.BigEndian.Uint64(sum[:])&^(1<<63), 1)
}

// gmailThread is the id of the conversation of a message: that of the first message it refers to, by References or
// In-Reply-To, or else its own. Gmail, which compares subjects too, takes the X-GM-MSGID of the first message.
func gmailThread(id string, h *message.Header) uint64 {
	in := newThreadInput(0, h, time.Time{})
	switch {
	case len(in.refs) > 0:
		return gmailNumber(in.refs[0])
	case in.id != "":
		return gmailNumber(in.id)
	}
	return gmailNumber(id)
}

// imapThreadID is X-GM-THRID as FETCH writes it.
func imapThreadID(id string, b Body) ([]byte, error) {
	h, err := quickHeader(b)
	if err != nil {
		return nil, err
	}
	return strconv.AppendUint(nil, gmailThread(id, h), 10), nil
}

// appendLabels writes the labels of a message, but for that of the mailbox that is selected.
func (s *imapSession) appendLabels(b []byte, id string) []byte {
	own := s.view.box.(*labelBox)
	b = append(b, '(')
	start := len(b)
	for _, name := range s.account.(*labelAccount).Labels(id) {
		if name == own.Name() {
			continue
		}
		b = imapSpace(b, start)
		if label := labelOf(name); label != "" {
			b = append(b, label...)
			continue
		}
		coded, err := imapwire.EncodeUTF7(name)
		if s.plainNames() || err != nil || strings.EqualFold(coded, "NIL") {
			b = s.mailboxName(b, name)
		} else {
			b = appendAString(b, coded)
		}
	}
	return append(b, ')')
}

// labelArg reads a label and returns the name of its mailbox. Those of the system begin with a backslash, also in a
// string.
func (s *imapSession) labelArg(d *imapwire.Decoder) string {
	text := ""
	if d.Is('\\') {
		text = string(d.Flag())
	} else {
		text = s.mailboxArg(d)
	}
	if !strings.HasPrefix(text, `\`) {
		return text
	}
	name, ok := labelMailbox(text)
	if !ok && d.Err() == nil {
		d.Fail("unknown system label")
	}
	return name
}

// labelArgs reads the labels of STORE, in parentheses or one without.
func (s *imapSession) labelArgs(d *imapwire.Decoder) []string {
	var names []string
	add := func() {
		if names = append(names, s.labelArg(d)); len(names) > maxLabels {
			d.Fail("more than %d labels", maxLabels)
		}
	}
	if d.Is('(') {
		d.List(add)
	} else {
		add()
	}
	return names
}

// storeLabels is STORE with X-GM-LABELS.
func (s *imapSession) storeLabels(o imapStore, list []int) error {
	v := s.view
	box := v.box.(*labelBox)
	var refused []uint32
	change := labelChange{op: o.op, names: o.labels}
	if o.unchanged {
		change.unless = func(m MessageInfo) bool {
			if m.ModSeq > o.since {
				refused = append(refused, m.UID)
			}
			return m.ModSeq > o.since
		}
	}
	chosen, err := s.account.(*labelAccount).SetLabels(s.ctx, box, v.uidsOf(list), change)
	if err != nil {
		return err
	}
	if err := s.labelLines(o, box, chosen); err != nil {
		return err
	}
	switch {
	case len(refused) > 0:
		return imapOK("MODIFIED "+s.refusedSet(o, refused), "some messages had changed")
	case len(chosen) < len(list) && !o.set.uid:
		return errIMAPGone
	}
	return nil
}

// labelLines tells the new labels or, for clients that asked for silence and know mod-sequences, those alone.
func (s *imapSession) labelLines(o imapStore, box *labelBox, chosen []MessageInfo) error {
	uids := make([]uint32, len(chosen))
	for i, m := range chosen {
		uids[i] = m.UID
	}
	for _, m := range box.messages(uids) {
		i, ok := s.view.find(m.UID)
		if !ok {
			continue
		}
		known := &s.view.msgs[i]
		news := known.ModSeq != m.ModSeq
		if slices.Equal(known.Flags, m.Flags) { // other flags are told behind the command
			*known = m
		}
		if o.silent && !(news && s.enabled["CONDSTORE"]) {
			continue
		}
		if err := s.labelLine(i, m, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *imapSession) labelLine(i int, m MessageInfo, o imapStore) error {
	b := strconv.AppendInt(append(s.buf[:0], "* "...), int64(i+1), 10)
	b = append(b, " FETCH ("...)
	start := len(b)
	if o.set.uid {
		b = strconv.AppendUint(append(b, "UID "...), uint64(m.UID), 10)
	}
	if !o.silent {
		b = s.appendLabels(append(imapSpace(b, start), "X-GM-LABELS "...), m.ID)
	}
	if s.enabled["CONDSTORE"] {
		b = append(strconv.AppendUint(append(imapSpace(b, start), "MODSEQ ("...), m.ModSeq, 10), ')')
	}
	s.buf = append(b, ")\r\n"...)
	_, err := s.c.Write(s.buf)
	return err
}

// labelsOf is for searches: the labels of a message by the names of their mailboxes.
func (s *imapSession) labelsOf(id string) []string {
	if a, ok := s.account.(*labelAccount); ok {
		return a.Labels(id)
	}
	return nil
}
