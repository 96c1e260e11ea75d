package server

import (
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapList is a LIST command (RFC 5258, RFC 5819, RFC 6154).
type imapList struct {
	reference                      string
	patterns                       []string
	subscribed, recursive, special bool // selection
	retSubscribed, retChildren     bool // return
	statusItems                    []string
	extended                       bool
	parents                        map[string]bool // see withBelow
}

// maxPatterns bounds the patterns of one command.
const maxPatterns = 100

// list answers LIST (RFC 9051 §6.3.9).
func (s *imapSession) list(d *imapwire.Decoder) error {
	var o imapList
	d.SP()
	if s.has("LIST-EXTENDED") && d.Is('(') {
		if err := o.selection(s, d); err != nil {
			return err
		}
		d.SP()
	}
	o.reference = s.referenceArg(d)
	d.SP()
	s.patternArgs(d, &o)
	if s.has("LIST-EXTENDED") && d.Accept(' ') {
		if err := o.returns(s, d); err != nil {
			return err
		}
	}
	if err := s.finish(d); err != nil {
		return err
	}
	if !o.extended && len(o.patterns) == 1 && o.patterns[0] == "" {
		return s.untagged(`LIST (\Noselect) "/" ""`)
	}
	all := s.account.List()
	if o.subscribed {
		all = s.withLost(all)
	}
	if o.recursive {
		o.parents = o.withBelow(all)
	}
	for _, m := range all {
		if err := s.listed(&o, m); err != nil {
			return err
		}
	}
	return nil
}

// referenceArg reads the reference name, which may be empty.
func (s *imapSession) referenceArg(d *imapwire.Decoder) string {
	name, _ := d.Mailbox()
	return name
}

func (s *imapSession) patternArgs(d *imapwire.Decoder, o *imapList) {
	if s.has("LIST-EXTENDED") && d.Is('(') {
		o.extended = true
		for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
			if n >= maxPatterns {
				d.Fail("more than %d patterns", maxPatterns)
			}
			o.patterns = append(o.patterns, s.pattern(d))
		}
		return
	}
	o.patterns = []string{s.pattern(d)}
}

// pattern reads a mailbox pattern; one that is no valid name matches nothing.
func (s *imapSession) pattern(d *imapwire.Decoder) string {
	text := d.ListMailbox()
	if len(text) > 1000 {
		d.Fail("pattern is too long")
	}
	if s.plainNames() {
		return text
	}
	if name, ok := imapwire.DecodeUTF7(text); ok {
		return name
	}
	return "\x00"
}

// selection reads the selection options.
func (o *imapList) selection(s *imapSession, d *imapwire.Decoder) error {
	o.extended = true
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		switch word := d.Keyword(); {
		case word == "SUBSCRIBED":
			o.subscribed, o.retSubscribed = true, true
		case word == "REMOTE":
		case word == "RECURSIVEMATCH":
			o.recursive = true
		case word == "SPECIAL-USE" && s.has("SPECIAL-USE"):
			o.special = true
		default:
			return imapBad("", "unknown selection option")
		}
	}
	if o.recursive && !o.subscribed && !o.special {
		return imapBad("", "RECURSIVEMATCH needs another option")
	}
	return d.Err()
}

// returns reads the return options.
func (o *imapList) returns(s *imapSession, d *imapwire.Decoder) error {
	o.extended = true
	if d.Keyword() != "RETURN" {
		return imapBad("", "RETURN expected")
	}
	d.SP()
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		switch word := d.Keyword(); {
		case word == "SUBSCRIBED":
			o.retSubscribed = true
		case word == "CHILDREN":
			o.retChildren = true
		case word == "SPECIAL-USE" && s.has("SPECIAL-USE"): // it comes in any case, RFC 6154 §2
		case word == "STATUS" && s.has("LIST-STATUS"):
			d.SP()
			items, err := s.statusItems(d)
			if err != nil {
				return err
			}
			o.statusItems = items
		default:
			return imapBad("", "unknown return option")
		}
	}
	return d.Err()
}

// listed sends the response for one mailbox, if it is wanted.
func (s *imapSession) listed(o *imapList, m MailboxInfo) error {
	if !o.matches(m.Name) {
		return nil
	}
	below := o.parents[m.Name]
	if (o.subscribed && !m.Subscribed || o.special && m.SpecialUse == "") && !below {
		return nil
	}
	b := append([]byte("* LIST ("), s.attributes(o, m)...)
	b = append(s.mailboxName(append(b, `) "/" `...), m.Name), childInfo(below, o)...)
	if _, err := s.c.Write(append(b, "\r\n"...)); err != nil {
		return err
	}
	if o.statusItems == nil || m.NoSelect {
		return nil
	}
	box, err := s.account.Mailbox(m.Name)
	if err != nil {
		return nil // it went meanwhile
	}
	return s.statusLine(m.Name, box, o.statusItems)
}

func childInfo(below bool, o *imapList) string {
	switch {
	case below && o.subscribed:
		return ` ("CHILDINFO" ("SUBSCRIBED"))`
	case below:
		return ` ("CHILDINFO" ("SPECIAL-USE"))`
	}
	return ""
}

// withLost adds the names that are subscribed to and are no mailboxes (RFC 5258 §3.1, RFC 3501 §6.3.9).
func (s *imapSession) withLost(all []MailboxInfo) []MailboxInfo {
	known := make(map[string]bool, len(all))
	for _, m := range all {
		known[m.Name] = true
	}
	for _, name := range s.account.Subscribed() {
		if !known[name] {
			all = append(all, MailboxInfo{Name: name, Subscribed: true, NoSelect: true, Lost: true})
		}
	}
	slices.SortFunc(all, func(a, b MailboxInfo) int { return compareNames(a.Name, b.Name) })
	return all
}

// withBelow names the mailboxes that have one below them which fits the selection, for RECURSIVEMATCH (RFC 5258 §3.5).
func (o *imapList) withBelow(all []MailboxInfo) map[string]bool {
	parents := make(map[string]bool)
	for _, m := range all {
		if o.subscribed && !m.Subscribed || o.special && m.SpecialUse == "" {
			continue
		}
		for at := strings.LastIndexByte(m.Name, '/'); at > 0; at = strings.LastIndexByte(m.Name[:at], '/') {
			parents[m.Name[:at]] = true
		}
	}
	return parents
}

func (s *imapSession) attributes(o *imapList, m MailboxInfo) string {
	var list []string
	add := func(attr string, on bool) {
		if on {
			list = append(list, attr)
		}
	}
	add(`\NonExistent`, m.Lost)
	add(`\Noselect`, m.NoSelect && !m.Lost)
	children := s.has("CHILDREN") || o.retChildren || s.rev2()
	add(`\HasChildren`, children && m.HasChildren)
	add(`\HasNoChildren`, children && !m.HasChildren)
	add(`\Subscribed`, o.retSubscribed && m.Subscribed)
	add(m.SpecialUse, m.SpecialUse != "" && s.has("SPECIAL-USE"))
	return strings.Join(list, " ")
}

func (o *imapList) matches(name string) bool {
	for _, p := range o.patterns {
		if matchMailbox(o.reference+p, name) {
			return true
		}
	}
	return false
}

// matchMailbox tells if a pattern fits a name: "*" stands for anything, "%" for anything without the separator. INBOX
// is the same in any case, also as the first part of a name. It takes time in proportion to both lengths.
func matchMailbox(pattern, name string) bool {
	if first, _, _ := strings.Cut(name, "/"); first == "INBOX" && len(pattern) >= 5 && strings.EqualFold(pattern[:5], first) {
		pattern = first + pattern[5:]
	}
	// reach[i] tells if the pattern so far can stand for name[:i].
	reach := make([]bool, len(name)+1)
	reach[0] = true
	for k := 0; k < len(pattern); k++ {
		c := pattern[k]
		if c == '*' || c == '%' {
			for i := 1; i <= len(name); i++ {
				reach[i] = reach[i] || reach[i-1] && (c == '*' || name[i-1] != '/')
			}
			continue
		}
		for i := len(name); i > 0; i-- {
			reach[i] = reach[i-1] && name[i-1] == c
		}
		reach[0] = false
	}
	return reach[len(name)]
}

// lsub answers LSUB (RFC 3501 §6.3.9).
func (s *imapSession) lsub(d *imapwire.Decoder) error {
	var o imapList
	d.SP()
	o.reference = s.referenceArg(d)
	d.SP()
	o.patterns = []string{s.pattern(d)}
	if err := s.finish(d); err != nil {
		return err
	}
	all := s.withLost(s.account.List())
	o.subscribed = true
	below := o.withBelow(all)
	for _, m := range all {
		// a name above one that "%" hides stands for that one
		stands := below[m.Name] && strings.Contains(o.patterns[0], "%")
		if !o.matches(m.Name) || !m.Subscribed && !stands {
			continue
		}
		attr := ""
		if m.NoSelect || !m.Subscribed {
			attr = `\Noselect`
		}
		b := append([]byte("* LSUB ("), attr...)
		if _, err := s.c.Write(append(s.mailboxName(append(b, `) "/" `...), m.Name), "\r\n"...)); err != nil {
			return err
		}
	}
	return nil
}
