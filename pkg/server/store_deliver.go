package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
)

// letter is a message for a mailbox.
type letter struct {
	box     Mailbox
	message NewMessage
}

// deliverAll appends each message to its mailbox: all or, after an error, none. The
// mailboxes may be of several accounts of one store. Bodies are read one after the other
// before anything is seen of any of them.
//
// In a Maildir that holds after a crash too: what was not published to its end, and so
// never acknowledged, is taken back at the next start. A message is there twice only if
// the process ends between the return of deliverAll and the reply to the client, or if
// somebody has moved or copied one of them before the rest was published.
func deliverAll(ctx context.Context, letters []letter) (err error) {
	letters, follow := withoutLabels(letters)
	defer func() {
		if err == nil {
			follow()
		}
	}()
	all := make([]arriving, len(letters))
	var end func() error
	defer func() {
		if err != nil {
			withdraw(letters, all, end)
		}
	}()
	for i, l := range letters {
		if m, ok := l.box.(*mailbox); ok {
			if all[i].in, err = m.acct.takeAll(ctx, []NewMessage{l.message}); err != nil {
				return err
			}
		}
	}
	if end, err = pledge(letters, all); err != nil {
		return err
	}
	for i, l := range letters {
		if m, ok := l.box.(*mailbox); ok {
			in := all[i].in
			all[i].in = nil // publish drops it if it fails
			all[i].infos, err = m.publish(ctx, in)
		} else {
			all[i].infos, err = l.box.Append(ctx, []NewMessage{l.message})
		}
		if err != nil {
			return err
		}
	}
	return end()
}

// withoutLabels gives the mailboxes that the labels are made of. With follow the others get what was delivered: if that
// fails, or the process ends, it is done later.
func withoutLabels(letters []letter) (bare []letter, follow func()) {
	bare = slices.Clone(letters)
	var labels []*labelBox
	for i, l := range letters {
		if b, ok := l.box.(*labelBox); ok {
			bare[i].box = b.mailbox
			labels = append(labels, b)
		}
	}
	return bare, func() {
		for _, b := range labels {
			b.acct.begin()()
		}
	}
}

// withdraw takes back what was published, and forgets the pledge if that worked.
func withdraw(letters []letter, all []arriving, end func() error) {
	done := true
	for i, l := range letters {
		m, ok := l.box.(*mailbox)
		switch published := len(all[i].infos) > 0; {
		case published && ok:
			m.mu.Lock()
			m.takeBack([]uint32{all[i].infos[0].UID})
			m.mu.Unlock()
		case published:
			_, err := l.box.Expunge([]uint32{all[i].infos[0].UID})
			done = done && err == nil
		case ok:
			m.acct.drop(all[i].in)
		}
	}
	if done && end != nil {
		_ = end() // or at the next start
	}
}

// pledge notes durably what is about to be published together; end says that all of it
// or nothing is there. One mailbox needs no note.
func pledge(letters []letter, all []arriving) (end func() error, err error) {
	var keep storeKeeper
	var files []intentFile
	for i, l := range letters {
		m, ok := l.box.(*mailbox)
		if !ok || keep != nil && m.acct.store.keep != keep {
			return func() error { return nil }, nil
		}
		keep = m.acct.store.keep
		for _, one := range all[i].in {
			if file, ok := one.body.(*mailFile); ok {
				files = append(files, intentFile{User: m.acct.user, File: file.base})
			}
		}
	}
	store, ok := keep.(*maildirStore)
	if !ok || len(files) < 2 {
		return func() error { return nil }, nil
	}
	return store.intents.begin(files)
}

// intents is the journal of deliveries to several mailboxes, in intentsFile.
type intents struct {
	mu      sync.Mutex
	journal *journal
	open    map[string]intent
}

// intent is one delivery to several mailboxes, or the end of it.
type intent struct {
	ID    string       `json:"id"`
	Files []intentFile `json:"files,omitempty"` // none: all or nothing is there
}

// intentFile is one message of a delivery: File is the name as in journals of mailboxes,
// and has no characters that need escaping.
type intentFile struct {
	User string `json:"user"`
	File string `json:"file"`
}

// openIntents takes back the deliveries that were cut short. What cannot be taken back
// now is left to the next start.
func (s *maildirStore) openIntents(all *localStore) error {
	in := &intents{open: map[string]intent{}}
	var err error
	if in.journal, err = openJournal(s.disk, intentsFile, in.replay); err != nil {
		return err
	}
	s.intents = in
	for id, one := range in.open {
		if one.takeBack(all) == nil {
			delete(in.open, id)
		}
	}
	if in.journal.lines == 0 {
		return nil
	}
	return in.rewrite()
}

func (in *intents) replay(line []byte) error {
	var one intent
	if err := json.Unmarshal(line, &one); err != nil {
		return err
	}
	if in.open[one.ID] = one; len(one.Files) == 0 {
		delete(in.open, one.ID)
	}
	return nil
}

func (one intent) takeBack(s *localStore) error {
	for _, file := range one.Files {
		a, err := s.Account(file.User)
		if err != nil {
			return err
		}
		if err := a.(*account).expungeFile(file.File); err != nil {
			return err
		}
	}
	return nil
}

// expungeFile removes the message that is in the file called base.
func (a *account) expungeFile(base string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, m := range a.boxes {
		m.mu.Lock()
		for uid, body := range m.bodies {
			if file, ok := body.(*mailFile); ok && file.base == base {
				_, err := m.expunge([]uint32{uid})
				m.mu.Unlock()
				return err
			}
		}
		m.mu.Unlock()
	}
	return nil
}

func (in *intents) begin(files []intentFile) (end func() error, err error) {
	one := intent{ID: newID('I'), Files: files}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.journal.long() {
		if err := in.rewrite(); err != nil {
			return nil, err
		}
	}
	if err := in.journal.write(one); err != nil {
		if errors.Is(err, errUnsure) {
			in.journal.undo(intent{ID: one.ID})
		}
		return nil, err
	}
	in.open[one.ID] = one
	return func() error { return in.end(one.ID) }, nil
}

func (in *intents) end(id string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.journal.write(intent{ID: id}); err != nil {
		return err
	}
	delete(in.open, id)
	return nil
}

// rewrite leaves what is open.
func (in *intents) rewrite() error {
	var records []any
	for _, one := range in.open {
		records = append(records, one)
	}
	return in.journal.replace(records)
}

func (in *intents) close() error {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.journal.close()
}
