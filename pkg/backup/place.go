package backup

import (
	"cmp"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// place is where a mailbox of the backup goes on a server.
type place struct {
	box    uint32
	from   *Mailbox
	name   string      // on the server
	exists bool        // there
	use    []imap.Flag // special uses to make it with
	view   bool        // it shows messages that are in other mailboxes too

	result *RestoredMailbox // nil: not yet
}

// order puts those that show messages of others at the end.
func (p *place) order() int {
	if p.view {
		return 1
	}
	return 0
}

// target is the server that mailboxes are to go to.
type target struct {
	delim  string // "" when mailboxes have no levels
	prefix string // what names of personal mailboxes begin with
	below  string // mailbox to put all below, "" for none
	gmail  bool
	names  map[string]bool         // mailboxes that exist; false: nothing can be put in
	uses   map[string]string       // mailbox by special use, in lower case
	subs   map[string]bool         // those known to be subscribed to
	taken  map[string]bool         // by a mailbox of the backup
	wanted map[*Mailbox]translated // before one of two with the same name gets another
}

// translated is a name of a mailbox as the server can have it.
type translated struct {
	name    string
	altered bool // not the same levels
}

// specialUses are the attributes that a mailbox can be made with (RFC 6154 §2, RFC
// 8457), in lower case. Those that are true show messages of other mailboxes.
var specialUses = map[string]bool{
	`\archive`: false, `\drafts`: false, `\junk`: false, `\sent`: false, `\trash`: false,
	`\all`: true, `\flagged`: true, `\important`: true,
}

// isView reports whether a mailbox shows messages of other mailboxes.
func isView(m *Mailbox) bool {
	return slices.ContainsFunc(m.Attrs, func(a string) bool { return specialUses[strings.ToLower(a)] })
}

// holds reports whether a mailbox could have messages.
func holds(m *Mailbox) bool {
	return !slices.ContainsFunc(m.Attrs, func(a string) bool {
		return strings.EqualFold(a, `\Noselect`) || strings.EqualFold(a, `\NonExistent`)
	})
}

// newTarget looks at a listing.
func newTarget(list []imap.Mailbox, ns *imap.Namespaces, below string) *target {
	t := &target{below: below, names: map[string]bool{}, uses: map[string]string{}, subs: map[string]bool{}, taken: map[string]bool{}}
	for i := range list {
		m := &list[i]
		t.names[m.Name] = m.Selectable()
		if t.delim == "" || m.Name == inbox && m.Delim != "" {
			t.delim = m.Delim
		}
		for _, a := range m.Attrs {
			use := strings.ToLower(string(a))
			if _, known := specialUses[use]; known && t.uses[use] == "" {
				t.uses[use] = m.Name
			}
			if a.Equal(`\Subscribed`) {
				t.subs[m.Name] = true
			}
		}
	}
	if len(ns.Personal) > 0 {
		if t.prefix = ns.Personal[0].Prefix; ns.Personal[0].Delim != "" {
			t.delim = ns.Personal[0].Delim
		}
	}
	return t
}

// places says where each of the mailboxes goes. It depends on the server and on all
// mailboxes of the backup, not on which of them are to be restored: what was begun
// is found again. No two go to the same place. A name that the server has goes
// first, then the special use, for which the server has another name.
func (t *target) places(boxes []*place) {
	t.wanted = make(map[*Mailbox]translated, len(boxes))
	for _, p := range boxes {
		t.wanted[p.from] = t.translate(p.from)
		p.view = isView(p.from)
	}
	order := slices.Clone(boxes)
	slices.SortStableFunc(order, func(a, b *place) int { return cmp.Compare(t.rank(a), t.rank(b)) })
	for _, p := range order {
		if w := t.wanted[p.from].name; t.has(w) && !t.taken[w] {
			t.take(p, w)
		}
	}
	for _, p := range order {
		p.use = t.usesOf(p)
		for _, use := range p.use {
			if at := t.uses[strings.ToLower(string(use))]; p.name == "" && at != "" && !t.taken[at] {
				t.take(p, at)
			}
		}
	}
	for _, p := range order {
		if p.name != "" {
			continue
		}
		w := t.wanted[p.from].name
		for t.taken[w] {
			w += "_"
		}
		t.take(p, w)
	}
}

// rank orders names that are as they were before others.
func (t *target) rank(p *place) int {
	if t.wanted[p.from].altered {
		return 1
	}
	return 0
}

func (t *target) has(name string) bool { _, ok := t.names[name]; return ok }

func (t *target) take(p *place, name string) {
	p.name, p.exists = name, t.has(name)
	t.taken[name] = true
}

// usesOf returns the special uses of a mailbox. None is kept below another mailbox;
// views are kept where there are views.
func (t *target) usesOf(p *place) []imap.Flag {
	if t.below != "" || p.view && !t.gmail {
		return nil
	}
	var uses []imap.Flag
	for _, a := range p.from.Attrs {
		if _, ok := specialUses[strings.ToLower(a)]; ok {
			uses = append(uses, imap.Flag(a))
		}
	}
	return uses
}

// translate writes a name with the separator of the server. A separator within a
// level, and a level that is empty, become "_"; without separators the levels are
// joined by it.
func (t *target) translate(m *Mailbox) translated {
	levels := []string{m.Name}
	if m.Delim != "" {
		levels = strings.Split(m.Name, m.Delim)
	}
	if strings.EqualFold(levels[0], inbox) {
		levels[0] = inbox
	}
	var w translated
	for i, level := range levels {
		clean := level
		if t.delim != "" {
			clean = strings.ReplaceAll(level, t.delim, "_")
		}
		if clean == "" {
			clean = "_"
		}
		w.altered = w.altered || clean != level
		levels[i] = clean
	}
	delim := t.delim
	if delim == "" && len(levels) > 1 {
		delim, w.altered = "_", true
	}
	w.name = strings.Join(levels, delim)
	switch {
	case t.below != "":
		w.name = t.below + delim + w.name
	case t.prefix != "" && w.name != inbox && !hasPrefixFold(w.name, t.prefix):
		w.name = t.prefix + w.name
	}
	return w
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
