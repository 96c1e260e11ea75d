package server

import (
	"context"
	"errors"
	"slices"
)

// settlePasses bounds how often settle looks at what it has done itself.
const settlePasses = 4

// settle makes the mailboxes follow those that have changed:
//
//   - What is in Trash is nowhere else, and what is in Spam is in no other mailbox but that.
//   - Everything else is in the mailbox of all mail.
//   - The flags of a message are the same everywhere, but for \Deleted. Of several mailboxes with a change, that of all
//     mail counts.
//   - The messages marked \Flagged are those in Starred.
//
// A change that is not finished when the process ends is finished or taken back by that at the next start, and so is
// what other programs do to a Maildir. It tells if there was anything to do. What fails now is tried at the next call.
// The lock is held.
func (a *labelAccount) settle() (did bool) {
	for range settlePasses {
		before := make([]uint64, len(a.boxes))
		var news labelNews
		for i, b := range a.boxes {
			list, modSeq := b.news()
			before[i], b.settled = b.settled, modSeq
			news.add(b, list)
		}
		if len(news.list) == 0 {
			return did
		}
		did = true
		if err := a.follow(news.list); err != nil {
			for i, b := range a.boxes {
				b.settled = before[i]
			}
			return true
		}
	}
	return did
}

// labelNews are messages that have changed, each once.
type labelNews struct {
	list []labelled
	seen map[string]bool
}

// labelled is a message that is in a mailbox, as it is there.
type labelled struct {
	MessageInfo
	box *labelBox
}

func (n *labelNews) add(b *labelBox, list []MessageInfo) {
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	for _, m := range list {
		if !n.seen[m.ID] {
			n.seen[m.ID] = true
			n.list = append(n.list, labelled{m, b})
		}
	}
}

// follow brings all mailboxes in line with the messages that have changed.
func (a *labelAccount) follow(news []labelled) error {
	ids := make([]string, len(news))
	for i, m := range news {
		ids[i] = m.ID
	}
	for _, junk := range []*labelBox{a.trash, a.spam} {
		if err := a.only(junk, ids); err != nil {
			return err
		}
	}
	rest := slices.DeleteFunc(slices.Clone(news), func(m labelled) bool {
		_, spam := a.spam.find(m.ID)
		_, trash := a.trash.find(m.ID)
		return spam || trash
	})
	if err := a.gather(rest, a.all); err != nil {
		return err
	}
	if err := a.alike(rest); err != nil {
		return err
	}
	return a.stars(rest)
}

// only removes what is in a mailbox from all others.
func (a *labelAccount) only(junk *labelBox, ids []string) error {
	in := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, ok := junk.find(id); return !ok })
	if len(in) == 0 {
		return nil
	}
	for _, b := range a.boxes {
		if b != junk {
			if _, err := b.mailbox.Expunge(b.findAll(in)); err != nil {
				return err
			}
		}
	}
	return nil
}

// gather copies messages into a mailbox that they are not in.
func (a *labelAccount) gather(list []labelled, to *labelBox) error {
	missing := map[*labelBox][]uint32{}
	for _, m := range list {
		if _, ok := to.find(m.ID); ok {
			continue
		}
		if uid, ok := m.box.find(m.ID); ok && uid == m.UID {
			missing[m.box] = append(missing[m.box], m.UID)
		}
	}
	for _, b := range a.boxes { // in the order of the list, not of a map
		if uids := missing[b]; len(uids) > 0 {
			if _, err := a.copyTo(context.Background(), b, uids, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// alike gives messages the same flags in all mailboxes, but for \Deleted.
func (a *labelAccount) alike(list []labelled) error {
	flags := make(map[string][]string, len(list))
	ids := make([]string, len(list))
	for i, m := range list {
		flags[m.ID], ids[i] = m.Flags, m.ID
	}
	var errs []error
	for _, b := range a.boxes {
		_, err := b.mailbox.SetFlags(b.findAll(ids), sharedFlags(flags))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stars makes Starred hold what is marked \Flagged.
func (a *labelAccount) stars(list []labelled) error {
	var with []labelled
	var without []string
	for _, m := range list {
		if slices.Contains(m.Flags, flagFlagged) {
			with = append(with, m)
		} else {
			without = append(without, m.ID)
		}
	}
	if _, err := a.starred.mailbox.Expunge(a.starred.findAll(without)); err != nil {
		return err
	}
	return a.gather(with, a.starred)
}
