package server

import (
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapSelect is what the parameters of SELECT ask for (RFC 7162 §3.1.8, §3.2.5).
type imapSelect struct {
	name      string
	condstore bool
	qresync   bool
	validity  uint32
	since     uint64
	known     imapwire.UIDSet
	all       bool // no known UIDs were given
}

// maxTold bounds the keywords that SELECT tells.
const maxTold = 1000

// imapFlags are the flags that every message can have.
var imapFlags = []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}

// selectMailbox answers SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3). After a failure no mailbox is selected.
func (s *imapSession) selectMailbox(d *imapwire.Decoder) error {
	o, err := s.selectArgs(d)
	if err != nil {
		return err
	}
	if s.view != nil {
		s.deselect()
		if s.rev2() || s.has("QRESYNC") {
			if err := s.line("* OK [CLOSED] previous mailbox is closed"); err != nil {
				return err
			}
		}
	}
	box, err := s.account.Mailbox(o.name)
	if err != nil {
		return err
	}
	s.view = newIMAPView(box, s.name == "EXAMINE")
	s.state = imapSelected
	s.claim(0)
	if o.condstore || o.qresync {
		s.enabled["CONDSTORE"] = true
	}
	if err := s.tellMailbox(o.name); err != nil {
		return err
	}
	if o.qresync {
		if err := s.resync(o); err != nil {
			return err
		}
	}
	if s.view.readOnly {
		return imapOK("READ-ONLY", "")
	}
	return imapOK("READ-WRITE", "")
}

func (s *imapSession) selectArgs(d *imapwire.Decoder) (imapSelect, error) {
	var o imapSelect
	d.SP()
	o.name = s.mailboxArg(d)
	if d.Accept(' ') {
		for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
			switch word := d.Keyword(); {
			case word == "CONDSTORE" && s.has("CONDSTORE"):
				o.condstore = true
			case word == "QRESYNC" && s.enabled["QRESYNC"]:
				d.SP()
				o.qresyncArg(d)
			default:
				return o, imapBad("", "unknown parameter")
			}
		}
	}
	return o, s.finish(d)
}

// qresyncArg reads (uidvalidity modseq [known-uids] [(seqs uids)]). The sequence match data helps servers that have
// forgotten what was expunged; this one has not: it is read, checked and not used (RFC 7162 §3.2.5.2).
func (o *imapSelect) qresyncArg(d *imapwire.Decoder) {
	o.qresync, o.all = true, true
	if !d.OpenList() || !d.More(0) {
		return
	}
	o.validity = d.NZNumber()
	d.SP()
	o.since = d.ModSeq()
	more := d.More(1)
	if more && !d.Is('(') {
		o.known, o.all = d.UIDSet(), false
		if o.known.Dynamic() {
			d.Fail("* is no UID that is known")
		}
		more = d.More(2)
	}
	if more && d.OpenList() && d.More(0) {
		d.SeqSet()
		d.SP()
		d.UIDSet()
		d.More(1)
		d.Expect(')')
	}
}

// tellMailbox sends what a client must know of the mailbox just opened.
func (s *imapSession) tellMailbox(name string) error {
	v := s.view
	state := v.state
	if s.fault.lie == lieUIDValidity {
		state.UIDValidity++
	}
	all := v.allFlags()
	lasting := append(slices.Clone(all), `\*`)
	if v.readOnly {
		lasting = nil
	}
	unseen := 1 + slices.IndexFunc(v.msgs, func(m MessageInfo) bool { return !hasFlag(m.Flags, `\Seen`) })
	var err error
	tell := func(format string, args ...any) {
		if err == nil {
			err = s.untagged(format, args...)
		}
	}
	tell("FLAGS (%s)", strings.Join(all, " "))
	tell("OK [PERMANENTFLAGS (%s)] flags that are kept", strings.Join(lasting, " "))
	tell("%d EXISTS", len(v.msgs))
	if !s.rev2() {
		tell("%d RECENT", v.recentCount())
		if unseen > 0 {
			tell("OK [UNSEEN %d] first unseen message", unseen)
		}
	}
	tell("OK [UIDVALIDITY %d] UIDs are valid", state.UIDValidity)
	tell("OK [UIDNEXT %d] predicted next UID", state.UIDNext)
	if s.has("CONDSTORE") {
		tell("OK [HIGHESTMODSEQ %d] highest mod-sequence", state.HighestModSeq)
	} else {
		tell("OK [NOMODSEQ] no mod-sequences")
	}
	if s.has("OBJECTID") {
		tell("OK [MAILBOXID (%s)] object of the mailbox", state.ID)
	}
	if s.rev2() {
		tell(`LIST () "/" %s`, s.mailboxName(nil, name))
	}
	return err
}

// allFlags lists the flags that every message can have and then those that some have.
func (v *imapView) allFlags() []string {
	known := make(map[string]bool)
	var more []string
	for _, m := range v.msgs {
		for _, f := range m.Flags {
			if !known[f] && !slices.Contains(imapFlags, f) && len(more) < maxTold {
				known[f], more = true, append(more, f)
			}
		}
	}
	slices.Sort(more)
	return slices.Concat(imapFlags, more)
}

// resync tells what has changed since the client was here (RFC 7162 §3.2.5).
func (s *imapSession) resync(o imapSelect) error {
	v := s.view
	if o.validity != v.state.UIDValidity {
		return nil
	}
	if err := s.vanishedEarlier(o.since, func(uid uint32) bool { return o.all || o.known.Contains(imapwire.UID(uid)) }); err != nil {
		return err
	}
	for i := range v.msgs {
		m := &v.msgs[i]
		if m.ModSeq > o.since && (o.all || o.known.Contains(imapwire.UID(m.UID))) {
			if err := s.flagsLine(i, imapFlagsLine{uid: true, flags: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// vanishedEarlier sends VANISHED (EARLIER) for messages expunged after a mod-sequence. What still has a number here is
// left out: VANISHED without EARLIER will tell of it (RFC 7162 §3.2.10).
func (s *imapSession) vanishedEarlier(since uint64, wanted func(uid uint32) bool) error {
	var gone imapwire.UIDSet
	for _, uid := range s.view.box.Vanished(since) {
		if _, numbered := s.view.find(uid); !numbered && wanted(uid) {
			gone.Add(imapwire.UID(uid))
		}
	}
	if gone.Empty() {
		return nil
	}
	return s.untagged("VANISHED (EARLIER) %s", gone.String())
}

// condstore switches mod-sequences on; a mailbox that is already open must be told of (RFC 7162 §3.1).
func (s *imapSession) condstore() error {
	if s.enabled["CONDSTORE"] || !s.has("CONDSTORE") {
		return nil
	}
	s.enabled["CONDSTORE"] = true
	if s.view == nil {
		return nil
	}
	return s.untagged("OK [HIGHESTMODSEQ %d] mod-sequences are told from now on", s.view.state.HighestModSeq)
}

// closeMailbox answers CLOSE (RFC 9051 §6.4.1): messages marked \Deleted go, without a word, unless the mailbox was
// opened by EXAMINE.
func (s *imapSession) closeMailbox(d *imapwire.Decoder) error {
	if err := s.finish(d); err != nil {
		return err
	}
	v := s.view
	if !v.readOnly {
		if _, err := v.box.Expunge(deletedUIDs(v.box.Messages())); err != nil {
			return err
		}
	}
	s.deselect()
	return nil
}

// unselect answers UNSELECT (RFC 9051 §6.4.2).
func (s *imapSession) unselect(d *imapwire.Decoder) error {
	if err := s.finish(d); err != nil {
		return err
	}
	s.deselect()
	return nil
}

// deletedUIDs lists the messages marked \Deleted.
func deletedUIDs(msgs []MessageInfo) []uint32 {
	var uids []uint32
	for i := range msgs {
		if hasFlag(msgs[i].Flags, `\Deleted`) {
			uids = append(uids, msgs[i].UID)
		}
	}
	return uids
}

// expunge answers EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9). The client learns what is gone as after every
// other command.
func (s *imapSession) expunge(d *imapwire.Decoder) error {
	var set imapSet
	named := s.name == "UID EXPUNGE"
	if named {
		d.SP()
		set = s.setArg(d)
	}
	if err := s.finish(d); err != nil {
		return err
	}
	if s.view.readOnly {
		return errIMAPReadOnly
	}
	uids := deletedUIDs(s.view.box.Messages())
	if named {
		list, err := s.resolve(set)
		if err != nil {
			return err
		}
		chosen := imapUIDSet(s.view.uidsOf(list))
		uids = slices.DeleteFunc(uids, func(uid uint32) bool { return !chosen.Contains(imapwire.UID(uid)) })
	}
	if _, err := s.view.box.Expunge(uids); err != nil {
		return err
	}
	if s.enabled["QRESYNC"] {
		return imapOK(s.highest(), "")
	}
	return nil
}
