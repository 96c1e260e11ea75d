package server

import (
	"slices"
	"strconv"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

var (
	errIMAPReadOnly = imapNo("READ-ONLY", "the mailbox was opened for reading only")
	errIMAPGone     = imapNo("EXPUNGEISSUED", "some messages are gone")
)

// imapStore is a STORE command (RFC 9051 §6.4.6, RFC 7162 §3.1.3).
type imapStore struct {
	set       imapSet
	unchanged bool // UNCHANGEDSINCE was given
	since     uint64
	op        byte // '+', '-', or '=' for replacing
	silent    bool
	flags     []string
	labelled  bool     // it is about X-GM-LABELS
	labels    []string // names of mailboxes
}

// store answers STORE and UID STORE.
func (s *imapSession) store(d *imapwire.Decoder) error {
	o, err := s.storeArgs(d)
	if err != nil {
		return err
	}
	if s.view.readOnly {
		return errIMAPReadOnly
	}
	if o.unchanged {
		if err := s.condstore(); err != nil {
			return err
		}
	}
	list, err := s.resolve(o.set)
	if err != nil {
		return err
	}
	if o.labelled {
		return s.storeLabels(o, list)
	}
	v := s.view
	var refused []uint32
	applied := make(map[uint32]bool, len(list))
	stored, err := v.box.SetFlags(v.uidsOf(list), func(m MessageInfo) ([]string, bool) {
		if o.unchanged && m.ModSeq > o.since {
			refused = append(refused, m.UID)
			return nil, false
		}
		applied[m.UID] = true
		return o.apply(m.Flags), true
	})
	if err != nil {
		return err
	}
	v.take(stored)
	if err := s.storeLines(o, list, applied, stored); err != nil {
		return err
	}
	switch {
	case len(refused) > 0:
		return imapOK("MODIFIED "+s.refusedSet(o, refused), "some messages had changed")
	case len(applied) < len(list) && !o.set.uid:
		return errIMAPGone
	}
	return nil
}

func (s *imapSession) storeArgs(d *imapwire.Decoder) (imapStore, error) {
	o := imapStore{op: '='}
	d.SP()
	o.set = s.setArg(d)
	d.SP()
	if d.Is('(') {
		d.OpenList()
		d.More(0)
		if d.Keyword() != "UNCHANGEDSINCE" || !s.has("CONDSTORE") {
			return o, imapBad("", "unknown modifier")
		}
		d.SP()
		o.since, o.unchanged = uint64(d.Number64()), true
		d.Expect(')')
		d.SP()
	}
	switch {
	case d.Accept('+'):
		o.op = '+'
	case d.Accept('-'):
		o.op = '-'
	}
	item, silent := strings.CutSuffix(d.Keyword(), ".SILENT")
	o.silent, o.labelled = silent, item == "X-GM-LABELS" && s.has(gmailExtension)
	if item != "FLAGS" && !o.labelled {
		return o, imapBad("", "FLAGS expected")
	}
	d.SP()
	if o.labelled {
		o.labels = s.labelArgs(d)
		return o, s.finish(d)
	}
	var err error
	o.flags, err = flagArgs(d, false)
	if err != nil {
		return o, err
	}
	return o, s.finish(d)
}

// flagArgs reads flags in parentheses or, for STORE, without them (RFC 3501 §9, store-att-flags).
func flagArgs(d *imapwire.Decoder, listOnly bool) ([]string, error) {
	var flags []string
	add := func() {
		f := d.Flag()
		switch {
		case f == imapwire.FlagWildcard:
			d.Fail("\\* is no flag")
		case f == imapwire.FlagRecent:
			d.Fail("\\Recent cannot be changed")
		case strings.HasPrefix(string(f), `\`) && !slices.Contains(imapFlags, string(f)):
			d.Fail("unknown system flag")
		case strings.ContainsAny(string(f), `*%]`) || len(f) > 200 || len(flags) >= 200:
			d.Fail("bad keyword")
		}
		flags = append(flags, string(f))
	}
	if listOnly || d.Is('(') {
		d.List(add)
		return flags, d.Err()
	}
	add()
	for d.Accept(' ') {
		add()
	}
	return flags, d.Err()
}

// apply changes a list of flags.
func (o *imapStore) apply(have []string) []string {
	if o.op == '=' {
		return o.flags
	}
	named := func(f string) bool {
		return slices.ContainsFunc(o.flags, func(g string) bool { return strings.EqualFold(f, g) })
	}
	rest := slices.DeleteFunc(slices.Clone(have), named)
	if o.op == '-' {
		return rest
	}
	for _, f := range o.flags { // a keyword keeps the case in which it came first
		if i := slices.IndexFunc(have, func(g string) bool { return strings.EqualFold(f, g) }); i >= 0 {
			f = have[i]
		}
		rest = append(rest, f)
	}
	return rest
}

// storeLines tells the new flags, or for clients that asked for silence and know mod-sequences those alone.
func (s *imapSession) storeLines(o imapStore, list []int, applied map[uint32]bool, stored []MessageInfo) error {
	if o.silent && !s.enabled["CONDSTORE"] {
		return nil
	}
	changed := make(map[uint32]bool, len(stored))
	for _, m := range stored {
		changed[m.UID] = true
	}
	for _, i := range list {
		uid := s.view.msgs[i].UID
		if !applied[uid] || o.silent && !changed[uid] {
			continue
		}
		if err := s.flagsLine(i, imapFlagsLine{uid: o.set.uid || s.enabled["QRESYNC"], flags: !o.silent}); err != nil {
			return err
		}
	}
	return nil
}

// refusedSet names the messages that were not stored because they had changed, as the command did.
func (s *imapSession) refusedSet(o imapStore, refused []uint32) string {
	if o.set.uid {
		return imapUIDSet(refused).String()
	}
	var seqs imapwire.SeqSet
	for _, i := range s.view.indexes(refused) {
		seqs.Add(imapwire.SeqNum(i + 1))
	}
	return seqs.String()
}

// highest is the response code of RFC 7162 §3.1.2.1.
func (s *imapSession) highest() string {
	return "HIGHESTMODSEQ " + strconv.FormatUint(s.view.box.State().HighestModSeq, 10)
}
