package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// brokenStore is a store of somebody else's, in which the mailboxes of one user take nothing.
type brokenStore struct {
	Store
	user string
}

type brokenAccount struct {
	Account
	broken bool
}

type brokenMailbox struct {
	Mailbox
	broken bool
}

func (s brokenStore) Account(user string) (Account, error) {
	a, err := s.Store.Account(user)
	return brokenAccount{a, user == s.user}, err
}

func (a brokenAccount) Mailbox(name string) (Mailbox, error) {
	m, err := a.Account.Mailbox(name)
	return brokenMailbox{m, a.broken}, err
}

func (m brokenMailbox) Append(ctx context.Context, messages []NewMessage) ([]MessageInfo, error) {
	if m.broken {
		return nil, errors.New("no space left")
	}
	return m.Mailbox.Append(ctx, messages)
}

// TestDeliverAllOrNone holds that a message for two users is in both mailboxes or in none, wherever it fails, so that
// the next try brings it once.
func TestDeliverAllOrNone(t *testing.T) {
	for _, c := range []struct {
		name  string
		store func(t *testing.T) (store Store, repair func() Store)
	}{
		{"another store", func(t *testing.T) (Store, func() Store) {
			inner := NewMemory()
			return brokenStore{inner, "bob"}, func() Store { return inner }
		}},
		{"body cannot be written", maildirWithout("tmp")},
		{"file cannot be placed", maildirWithout("new")},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, repair := c.store(t)
			srv := startCore(t, func(o *Options) { o.Store = store })
			const send = stepHelo + stepMail + stepRcpt + "C: RCPT TO:<alice@example.org>\nS: 250 2.1.5 recipient accepted\n" +
				stepData + "C> \"a: b\\r\\n\\r\\n.\\r\\n\"\n"
			// The one that fails is the first for one order of recipients and the last for the other.
			dialCore(t, srv.Addr("smtp")).talk(srv, send+"S: 451 4.3.0 cannot store the message\n"+stepQuit)
			dialCore(t, srv.Addr("smtp")).talk(srv, strings.NewReplacer("RCPT TO:<bob", "RCPT TO:<alice", "RCPT TO:<alice", "RCPT TO:<bob").Replace(send)+
				"S: 451 4.3.0 cannot store the message\n"+stepQuit)
			if got := inboxOf(t, srv, "alice"); len(got) > 0 {
				t.Errorf("alice: got %d messages after a failure, want none", len(got))
			}
			srv.store = repair()
			dialCore(t, srv.Addr("smtp")).talk(srv, send+"S: 250 2.0.0 message accepted\n"+stepQuit)
			for _, user := range []string{"alice", "bob"} {
				if got := inboxOf(t, srv, user); len(got) != 1 {
					t.Errorf("%s: got %d messages, want 1", user, len(got))
				}
			}
		})
	}
}

// maildirWithout makes a Maildir store in which a folder of bob's INBOX has something else in its place.
func maildirWithout(folder string) func(t *testing.T) (Store, func() Store) {
	return func(t *testing.T) (Store, func() Store) {
		dir := t.TempDir()
		store, err := OpenMaildir(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		if _, err := store.Account("bob"); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "bob", folder)
		if err := errors.Join(os.Rename(path, path+".away"), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		return store, func() Store {
			if err := errors.Join(os.Remove(path), os.Rename(path+".away", path)); err != nil {
				t.Fatal(err)
			}
			return store
		}
	}
}
